"""semantic_rank: a cross-encoder's opinion on the best candidates, where one is configured."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from memoryscope_rag.workers.base import NoParams, Worker
from memoryscope_rag.workers.frontend.ranking import rank
from memoryscope_rag.workers.frontend.state import RetrievalState


class SemanticRank(Worker[RetrievalState]):
    """Scores the texts of the best ``shortlist`` candidates with the Reranker port.

    Optional: without a reranker, when it fails or misses the deadline, the order stays that of
    the linear ranker. What was scored before is not scored again.
    """

    name = "semantic_rank"
    reads = frozenset({"text", "explain", "queries", "memory", "evidence"})
    uses = frozenset({"times", "attention", "attended", "leads", "reranked"})
    gives = frozenset({"reranked"})
    optional = True

    class Params(NoParams):
        """``shortlist``: how many candidates the reranker reads."""

        shortlist: int = Field(30, ge=1, le=1000)

    params: Params

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``reranked``: scores by node id."""
        reranker = self.services.reranker
        if reranker is None:
            return state
        best = rank(state, self.services.ranker, self.params.shortlist).best
        new = [item.id for item in best if item.id not in state.reranked]
        if not new:
            return state
        nodes = await self.services.store.nodes(state.scope, new)
        scores = await reranker.rerank(state.text, [node.content for node in nodes])
        found = {node.id: float(score) for node, score in zip(nodes, scores, strict=True)}
        return replace(state, reranked={**state.reranked, **found})
