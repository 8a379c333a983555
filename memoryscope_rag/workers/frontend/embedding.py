"""Texts to search by as vectors, as far as the embedding model answers in time."""

from __future__ import annotations

from collections.abc import Sequence

from memoryscope_rag.errors import ModelError
from memoryscope_rag.ports import Embedder, FloatArray
from memoryscope_rag.workers.base import Deadline


async def embed_queries(
    embedder: Embedder | None, texts: Sequence[str], deadline: Deadline
) -> tuple[Sequence[FloatArray | None], str | None]:
    """A vector a text, and why there is none: no embedder (which is no failure), or it failed."""
    nothing = [None] * len(texts)
    if embedder is None or not any(text.strip() for text in texts):
        return nothing, None
    try:
        return list(await deadline.within(embedder.embed(texts, "query"))), None
    except TimeoutError:
        return nothing, "dense search: deadline"
    except ModelError as error:
        return nothing, f"dense search: {error}"
