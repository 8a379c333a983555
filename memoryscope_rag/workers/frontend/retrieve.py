"""retrieve_memory and retrieve_evidence: candidates among facts, and among the turns themselves."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from memoryscope_rag.ports import Candidates, SearchRequest
from memoryscope_rag.schema import Kind
from memoryscope_rag.workers.base import NoParams, Worker
from memoryscope_rag.workers.frontend.state import RetrievalState

CONVERSATION: frozenset[Kind] = frozenset({"conversation"})


class _Search(Worker[RetrievalState]):
    reads = frozenset({"scope", "queries", "kinds", "as_of", "during", "session_id"})

    class Params(NoParams):
        """``limit``: nodes taken from each of the dense and the lexical searches, a query."""

        limit: int = Field(60, ge=1, le=10_000)

    params: Params

    async def _candidates(self, state: RetrievalState, kinds: frozenset[Kind]) -> Candidates | None:
        if not kinds:
            return None
        return await self.services.store.search(
            state.scope,
            SearchRequest(
                queries=state.queries,
                kinds=kinds,
                limit=self.params.limit,
                as_of=state.as_of,
                during=state.during,
                session_id=state.session_id,
            ),
        )


class RetrieveMemory(_Search):
    """Observations, notes and insights."""

    name = "retrieve_memory"
    gives = frozenset({"memory"})

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``memory``."""
        found = await self._candidates(state, state.kinds - CONVERSATION)
        return replace(state, memory=found)


class RetrieveEvidence(_Search):
    """Turns of the conversation, word for word."""

    name = "retrieve_evidence"
    gives = frozenset({"evidence"})

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``evidence``."""
        found = await self._candidates(state, state.kinds & CONVERSATION)
        return replace(state, evidence=found)
