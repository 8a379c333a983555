"""set_query: the user's words as tokens and as a vector."""

from __future__ import annotations

from dataclasses import replace

from memoryscope_rag import lexical
from memoryscope_rag.errors import ModelError
from memoryscope_rag.ports import FloatArray, Query
from memoryscope_rag.workers.base import Worker
from memoryscope_rag.workers.frontend.state import RetrievalState


class SetQuery(Worker[RetrievalState]):
    """Analyses and embeds the query once.

    Without a vector (no embedder, it failed, or the deadline came first) search is lexical only,
    and ``dense_failure`` says why.
    """

    name = "set_query"
    reads = frozenset({"text", "deadline"})
    gives = frozenset({"queries", "dense_failure"})

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``queries``, the first being the user's own."""
        vector, failure = await self._embed(state)
        query = Query("query", tuple(lexical.analyze(state.text)), vector)
        return replace(state, queries=(query,), dense_failure=failure)

    async def _embed(self, state: RetrievalState) -> tuple[FloatArray | None, str | None]:
        embedder = self.services.embedder
        if embedder is None or not state.text.strip():
            return None, None
        try:
            vectors = await state.deadline.within(embedder.embed([state.text], "query"))
        except TimeoutError:
            return None, "dense search: deadline"
        except ModelError as error:
            return None, f"dense search: {error}"
        return vectors[0], None
