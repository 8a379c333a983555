"""Made-up histories of any size: English words by Zipf's law and random vectors, from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from memoryscope_rag import lexical
from memoryscope_rag.configs.load import packaged_text
from memoryscope_rag.ports import EmbedderSpec, FloatArray, IndexedNode, LogEntry
from memoryscope_rag.schema import MemoryNode, NewMessage

START = datetime(2024, 1, 1, tzinfo=UTC)
VOCABULARY = 20_000
"""Words used at most: the whole words of the vocabulary that ships with the default model."""
SESSION = 20
"""Messages of one session."""


class Texts:
    """An endless supply of texts of 6 to 30 words, word ranks by Zipf's law."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        listed = packaged_text("models", "bert_uncased_vocab.txt").split("\n")
        self._words = [word for word in listed if word.isascii() and word.isalpha()][:VOCABULARY]
        weights = 1.0 / np.arange(1, len(self._words) + 1)
        self._cumulated = np.cumsum(weights / weights.sum())

    def take(self, count: int, *, shortest: int = 6, longest: int = 30) -> list[str]:
        """``count`` texts."""
        lengths = self._random.integers(shortest, longest + 1, count)
        ranks = np.searchsorted(self._cumulated, self._random.random(int(lengths.sum())))
        words = [self._words[min(int(rank), len(self._words) - 1)] for rank in ranks]
        ends = np.cumsum(lengths)
        return [
            " ".join(words[end - length : end])
            for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)
        ]


def unit_vectors(random: np.random.Generator, count: int, dimension: int) -> FloatArray:
    """Random unit vectors, shape ``(count, dimension)``."""
    vectors: FloatArray = random.standard_normal((count, dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


class RandomEmbedder:
    """An embedder of random vectors: what is left of a call when the model costs nothing."""

    def __init__(self, spec: EmbedderSpec, seed: int) -> None:
        self.spec = spec
        self._random = np.random.default_rng(seed)

    async def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> FloatArray:
        """Random unit vectors."""
        return unit_vectors(self._random, len(texts), self.spec.dimension)

    def pieces(self, text: str) -> tuple[tuple[int, int], ...]:
        """The text in one piece."""
        return ((0, len(text)),)

    def close(self) -> None:
        """Nothing to close."""


def entries(
    count: int, dimension: int, *, seed: int, analyse: bool = True, batch: int = 500
) -> Iterator[list[LogEntry]]:
    """``count`` messages as a store takes them, in batches; sessions of 20 turns, two speakers.

    Without ``analyse`` the words themselves are the tokens, which is several times faster.
    """
    texts = Texts(seed)
    random = np.random.default_rng(seed + 1)
    before: tuple[str, ...] = ()
    for first in range(0, count, batch):
        size = min(batch, count - first)
        vectors = unit_vectors(random, 2 * size, dimension)
        made = []
        for offset, text in enumerate(texts.take(size)):
            index = first + offset
            terms = tuple(lexical.analyze(text) if analyse else text.split())
            context = terms if index % SESSION == 0 else before + terms
            made.append(_entry(index, text, terms, context, vectors[2 * offset : 2 * offset + 2]))
            before = terms
        yield made


def _entry(
    index: int, text: str, terms: tuple[str, ...], context: tuple[str, ...], vectors: FloatArray
) -> LogEntry:
    user = index % 2 == 0
    message = NewMessage(
        id=f"m{index}",
        session_id=f"s{index // SESSION}",
        role="user" if user else "assistant",
        content=text,
        created_at=START + timedelta(minutes=index),
        speaker="Ann" if user else "Bot",
    )
    node = MemoryNode(
        id=f"m{index}#0",
        kind="conversation",
        content=text,
        said_at=message.created_at,
        provenance=(message.id,),
        session_id=message.session_id,
        speaker=message.speaker,
        role=message.role,
        span=(0, len(text)),
    )
    return LogEntry(message, (IndexedNode(node, terms, context, vectors[0], vectors[1]),))
