"""What reranking over HTTP has in common, and the interface of Jina, Cohere and vLLM."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial

import numpy as np

from memoryscope_rag.models.failures import Asked, Failure
from memoryscope_rag.models.remote_threads import RemoteThreads
from memoryscope_rag.models.sendable import sendable, speaking
from memoryscope_rag.ports import FloatArray

MOST_DOCUMENTS = 500
"""Texts that one request may hold: DashScope takes no more."""


class RemoteReranker(ABC):
    """A :class:`~memoryscope_rag.ports.Reranker` that asks a server, from threads of its own.

    More than :data:`MOST_DOCUMENTS` texts go in several requests, which changes nothing: a score
    does not depend on the texts that it came with.

    Args:
        concurrency: requests under way at most.
    """

    def __init__(self, model: str, asked: Asked, *, concurrency: int = 4) -> None:
        self._model = model
        self._asked = asked
        self._threads = RemoteThreads(model, concurrency)

    @property
    def model(self) -> str:
        """The name that is sent."""
        return self._model

    async def rerank(self, query: str, texts: Sequence[str]) -> FloatArray:
        """Relevance as the server gives it, shape ``(len(texts),)``; all 0 for an empty query.

        Raises:
            ModelError: the model failed; ``retryable`` says whether to try again.
        """
        if not texts or not query.strip():
            return np.zeros(len(texts), dtype=np.float32)
        ready = [speaking(text) for text in texts]
        return await self._threads.run(
            partial(self._scores, sendable(query), ready[start : start + MOST_DOCUMENTS])
            for start in range(0, len(ready), MOST_DOCUMENTS)
        )

    def close(self) -> None:
        """Drop what is waiting and close the connections; a second call does nothing."""
        self._threads.close()
        self._close()

    @abstractmethod
    def _request(self, query: str, texts: list[str]) -> dict[int, float]:
        """One request: the scores by the place of their text. Raises ModelError."""

    @abstractmethod
    def _close(self) -> None: ...

    def _scores(self, query: str, texts: list[str]) -> FloatArray:
        found = self._request(query, texts)
        if set(found) != set(range(len(texts))):
            raise Failure("malformed").error(self._asked)
        result = np.array([found[row] for row in range(len(texts))], dtype=np.float32)
        if not np.isfinite(result).all():
            raise Failure("malformed").error(self._asked)
        return result
