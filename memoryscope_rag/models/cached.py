"""Remembers the vectors of texts seen lately."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

import numpy as np

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.ports import Embedder, EmbedderSpec, FloatArray


def text_key(text: str) -> bytes:
    """32 bytes that stand for a text: SHA-256, so that no cache holds a memory's content."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class CachedEmbedder:
    """An embedder around another that keeps its last ``capacity`` vectors, queries and documents.

    A text that stands twice in one call goes to the inner embedder once. Safe for threads and
    tasks; two that miss the same text at once both compute it. A failed call leaves no trace.
    Memory: ``capacity`` × (dimension × 4 + about 200) bytes. Closing it closes the inner one.
    """

    def __init__(self, inner: Embedder, capacity: int = 4096) -> None:
        if capacity < 0:
            raise InvalidInput("capacity", f"is {capacity}, must not be negative")
        self._inner = inner
        self._capacity = capacity
        self._vectors: OrderedDict[tuple[str, bytes], FloatArray] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def spec(self) -> EmbedderSpec:
        """The inner embedder's."""
        return self._inner.spec

    def __len__(self) -> int:
        return len(self._vectors)

    async def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> FloatArray:
        """As the inner embedder, which is asked only for what is not known."""
        keys = [(kind, text_key(text)) for text in texts]
        found: dict[tuple[str, bytes], FloatArray] = {}
        with self._lock:
            for key in keys:
                if key in self._vectors:
                    self._vectors.move_to_end(key)
                    found[key] = self._vectors[key]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if missing:
            fresh = await self._inner.embed(list(missing.values()), kind)
            # Copies of rows: a view would keep the whole array alive.
            found.update((key, row.copy()) for key, row in zip(missing, fresh, strict=True))
            with self._lock:
                for key in missing:
                    self._vectors[key] = found[key]
                    self._vectors.move_to_end(key)
                while len(self._vectors) > self._capacity:
                    self._vectors.popitem(last=False)
        result = np.empty((len(texts), self.spec.dimension), dtype=np.float32)
        for row, key in enumerate(keys):
            result[row] = found[key]
        return result

    def pieces(self, text: str) -> tuple[tuple[int, int], ...]:
        """The inner embedder's."""
        return self._inner.pieces(text)

    def close(self) -> None:
        """Forget all vectors and close the inner embedder."""
        with self._lock:
            self._vectors.clear()
        self._inner.close()
