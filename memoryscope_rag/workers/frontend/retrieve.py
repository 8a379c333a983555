"""retrieve_candidates: candidates among facts, and among the turns themselves."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from memoryscope_rag.indexing import stem_of, stems
from memoryscope_rag.ports import SearchRequest
from memoryscope_rag.schema import Kind
from memoryscope_rag.workers.base import NoParams, Worker
from memoryscope_rag.workers.frontend.state import RetrievalState

CONVERSATION: frozenset[Kind] = frozenset({"conversation"})


class RetrieveCandidates(Worker[RetrievalState]):
    """Searches observations, notes and insights, and turns word for word, in one round trip.

    They are two searches, so that many facts do not crowd out the turns they were drawn from.
    Clues are further queries of the same searches, and what draws attention in the beacon memory
    joins the turns. What has been searched for as it is asked now is not searched for again.
    """

    name = "retrieve_candidates"
    reads = frozenset({"scope", "queries", "kinds", "as_of", "during", "session_id"})
    uses = frozenset({"leads", "attended", "searched"})
    gives = frozenset({"memory", "evidence", "searched"})

    class Params(NoParams):
        """Nodes taken from each of the dense and the lexical searches, a query: of facts in
        ``memory``, of turns in ``evidence``.
        """

        memory: int = Field(60, ge=1, le=10_000)
        evidence: int = Field(60, ge=1, le=10_000)

    params: Params

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``memory`` and ``evidence``, each only if its kinds are asked for."""
        queries = state.rows
        if state.searched == queries and not _missing(state):
            return state
        wanted = {
            "memory": (state.kinds - CONVERSATION, self.params.memory),
            "evidence": (state.kinds & CONVERSATION, self.params.evidence),
        }
        requests = {
            field: SearchRequest(
                queries=queries,
                kinds=kinds,
                limit=limit,
                as_of=state.as_of,
                during=state.during,
                session_id=state.session_id,
                messages=state.attended if kinds == CONVERSATION else (),
            )
            for field, (kinds, limit) in wanted.items()
            if kinds
        }
        found = await self.services.store.search(state.scope, list(requests.values()))
        candidates = dict(zip(requests, found, strict=True))
        return replace(
            state,
            memory=candidates.get("memory"),
            evidence=candidates.get("evidence"),
            searched=queries,
        )


def _missing(state: RetrievalState) -> bool:
    """Whether a message that is attended to is no candidate yet."""
    if not state.kinds & CONVERSATION:
        return False
    here = {stem_of(name) for name in state.evidence.ids} if state.evidence is not None else set()
    return any(here.isdisjoint(stems(name)) for name in state.attended)
