"""retrieve_candidates: candidates among facts, and among the turns themselves."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from memoryscope_rag.ports import SearchRequest
from memoryscope_rag.schema import Kind
from memoryscope_rag.workers.base import NoParams, Worker
from memoryscope_rag.workers.frontend.state import RetrievalState

CONVERSATION: frozenset[Kind] = frozenset({"conversation"})


class RetrieveCandidates(Worker[RetrievalState]):
    """Searches observations, notes and insights, and turns word for word, in one round trip.

    They are two searches, so that many facts do not crowd out the turns they were drawn from.
    """

    name = "retrieve_candidates"
    reads = frozenset({"scope", "queries", "kinds", "as_of", "during", "session_id"})
    gives = frozenset({"memory", "evidence"})

    class Params(NoParams):
        """Nodes taken from each of the dense and the lexical searches, a query: of facts in
        ``memory``, of turns in ``evidence``.
        """

        memory: int = Field(60, ge=1, le=10_000)
        evidence: int = Field(60, ge=1, le=10_000)

    params: Params

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``memory`` and ``evidence``, each only if its kinds are asked for."""
        wanted = {
            "memory": (state.kinds - CONVERSATION, self.params.memory),
            "evidence": (state.kinds & CONVERSATION, self.params.evidence),
        }
        requests = {
            field: SearchRequest(
                queries=state.queries,
                kinds=kinds,
                limit=limit,
                as_of=state.as_of,
                during=state.during,
                session_id=state.session_id,
            )
            for field, (kinds, limit) in wanted.items()
            if kinds
        }
        found = await self.services.store.search(state.scope, list(requests.values()))
        candidates = dict(zip(requests, found, strict=True))
        return replace(state, memory=candidates.get("memory"), evidence=candidates.get("evidence"))
