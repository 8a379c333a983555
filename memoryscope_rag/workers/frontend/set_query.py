"""set_query: the user's words as tokens and as vectors."""

from __future__ import annotations

from dataclasses import replace

from memoryscope_rag import lexical
from memoryscope_rag.ports import Query
from memoryscope_rag.workers.base import Worker
from memoryscope_rag.workers.frontend.embedding import embed_queries
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
        vectors, failure = await embed_queries(self.services.embedder, texts, state.deadline)
        queries = tuple(
            Query(name, tuple(lexical.analyze(text)), vector)
            for name, text, vector in zip(names, texts, vectors, strict=True)
        )
        return replace(state, queries=queries, parts=len(parts), dense_failure=failure)
