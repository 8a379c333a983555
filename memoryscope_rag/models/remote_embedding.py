"""What embedding over HTTP has in common: batches, threads, checks on what comes back."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

import numpy as np

from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.models.failures import Asked, Failure
from memoryscope_rag.models.remote_threads import RemoteThreads
from memoryscope_rag.models.segment import IntArray, pieces
from memoryscope_rag.models.sendable import speaking
from memoryscope_rag.ports import EmbedderSpec, FloatArray

REQUEST_BYTES = 250_000
"""Text in one request at most: OpenAI takes 300 000 tokens, and no token is less than a byte."""


class RemoteEmbedder(ABC):
    """An :class:`~memoryscope_rag.ports.Embedder` that asks a server, from threads of its own.

    Tokens cannot be counted here, so a byte of UTF-8 is taken for one, and no token is less:
    pieces are shorter than they would have to be and always fit.

    Args:
        dimension: the width of the vectors; another width in a reply is an error.
        query_prefix, document_prefix: put before every text of that kind.
        max_tokens: of the longest input.
        batch: texts in one request at most.
        concurrency: requests under way at most.
    """

    def __init__(
        self,
        model: str,
        dimension: int,
        asked: Asked,
        *,
        query_prefix: str = "",
        document_prefix: str = "",
        max_tokens: int = 512,
        batch: int = 64,
        concurrency: int = 4,
    ) -> None:
        self._model = model
        self._asked = asked
        self._prefix = {"query": query_prefix, "document": document_prefix}
        self._batch = batch
        self._budget = max_tokens - max(len(text.encode()) for text in self._prefix.values())
        if self._budget < 8:
            raise InvalidInput("prefix", f"leaves no room in {max_tokens} tokens")
        parts = (model, str(dimension), query_prefix, document_prefix)
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
        self._spec = EmbedderSpec(model, dimension, digest, max_tokens)
        self._threads = RemoteThreads(model, concurrency)

    @property
    def spec(self) -> EmbedderSpec:
        """Its fingerprint covers model, dimension and prefixes; the weights are out of sight."""
        return self._spec

    async def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> FloatArray:
        """See :class:`~memoryscope_rag.ports.Embedder`. Batches go out side by side."""
        prefix = self._prefix[kind]
        ready = [prefix + self._cut(speaking(text)) for text in texts]
        if not ready:
            return np.empty((0, self._spec.dimension), dtype=np.float32)
        return await self._threads.run(
            partial(self._vectors, part, kind) for part in self._batches(ready)
        )

    def pieces(self, text: str) -> tuple[tuple[int, int], ...]:
        """Spans that cover ``text``, each of at most ``max_tokens`` bytes with either prefix."""
        return pieces(text, _starts, self._budget)

    def close(self) -> None:
        """Drop what is waiting and close the connections; a second call does nothing."""
        self._threads.close()
        self._close()

    @abstractmethod
    def _request(
        self, texts: list[str], kind: Literal["query", "document"]
    ) -> dict[int, list[float]]:
        """One request: the vectors by the place of their text. Raises ModelError."""

    @abstractmethod
    def _close(self) -> None: ...

    def _vectors(self, texts: list[str], kind: Literal["query", "document"]) -> FloatArray:
        found = self._request(texts, kind)
        if set(found) != set(range(len(texts))):
            raise Failure("malformed").error(self._asked)
        try:
            result = np.array([found[row] for row in range(len(texts))], dtype=np.float32)
        except (ValueError, TypeError):
            raise Failure("malformed").error(self._asked) from None
        if result.ndim != 2:
            raise Failure("malformed").error(self._asked)
        if result.shape[1] != self._spec.dimension:
            raise ModelError(
                f"{self._asked}: {self._model!r} gives vectors of width {result.shape[1]}, "
                f"not {self._spec.dimension}; set embedder.dimension"
            )
        norms = np.linalg.norm(result, axis=1, keepdims=True)
        if not (np.isfinite(norms) & (norms > 0)).all():
            raise Failure("malformed").error(self._asked)
        result /= norms
        return result

    def _cut(self, text: str) -> str:
        data = text.encode()
        return data[: self._budget].decode("utf-8", "ignore") if len(data) > self._budget else text

    def _batches(self, texts: list[str]) -> Iterator[list[str]]:
        part: list[str] = []
        size = 0
        for text in texts:
            length = len(text.encode())
            if part and (len(part) == self._batch or size + length > REQUEST_BYTES):
                yield part
                part, size = [], 0
            part.append(text)
            size += length
        if part:
            yield part


def _starts(text: str) -> IntArray:
    """The character that each byte belongs to."""
    codes = np.fromiter(map(ord, text), dtype=np.int64, count=len(text))
    widths = 1 + (codes > 0x7F) + (codes > 0x7FF) + (codes > 0xFFFF)
    return np.repeat(np.arange(len(text), dtype=np.int64), widths)
