"""set_query: the user's words as tokens and as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from memoryscope_rag import lexical
from memoryscope_rag.errors import ModelError
from memoryscope_rag.ports import FloatArray, Query
from memoryscope_rag.workers.base import Worker
from memoryscope_rag.workers.frontend.state import RetrievalState


class SetQuery(Worker[RetrievalState]):
    """Analyses and embeds the query and, when it has several sentences, each of these.

    Without vectors (no embedder, it failed, or the deadline came first) search is lexical only,
    and ``dense_failure`` says why.
    """

    name = "set_query"
    reads = frozenset({"text", "deadline"})
    gives = frozenset({"queries", "parts", "dense_failure"})

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``queries``, the first being the user's own, and how many ``parts`` follow it."""
        parts = lexical.query_parts(state.text)
        texts = (state.text, *parts)
        names = ("query", *(f"part {index}" for index in range(1, len(texts))))
        vectors, failure = await self._embed(state, texts)
        queries = tuple(
            Query(name, tuple(lexical.analyze(text)), vector)
            for name, text, vector in zip(names, texts, vectors, strict=True)
        )
        return replace(state, queries=queries, parts=len(parts), dense_failure=failure)

    async def _embed(
        self, state: RetrievalState, texts: Sequence[str]
    ) -> tuple[Sequence[FloatArray | None], str | None]:
        nothing = [None] * len(texts)
        embedder = self.services.embedder
        if embedder is None or not state.text.strip():
            return nothing, None
        try:
            return list(await state.deadline.within(embedder.embed(texts, "query"))), None
        except TimeoutError:
            return nothing, "dense search: deadline"
        except ModelError as error:
            return nothing, f"dense search: {error}"
