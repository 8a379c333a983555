"""Stand-ins for models and the clock: deterministic, without files, fast enough for any test."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.models.segment import pieces
from memoryscope_rag.ports import (
    ChatMessage,
    Delta,
    EmbedderSpec,
    FloatArray,
    JsonSchema,
    Reply,
    Sampling,
    Usage,
)
from memoryscope_rag.schema import check_time

ScriptedReply = str | Exception | Callable[[Sequence[ChatMessage]], str]
_WORD = re.compile(r"\w+")
_HAN = re.compile(r"[\u3400-\u9fff]+")
PIECE = 1000
"""Characters that :class:`HashEmbedder` reads of a text, and at most in one of its pieces."""


class HashEmbedder:
    """An embedder without a model: words and their trigrams, hashed into ``dimension`` buckets.

    Texts that share words are near (cosine about the share), others nearly orthogonal; Chinese
    goes by characters and pairs. Queries and documents are alike. The same on every machine.
    ``failure`` is raised by every ``embed`` while it is set; ``delay`` is in seconds; ``calls``
    lists (kind, texts) of every call.
    """

    def __init__(
        self,
        dimension: int = 64,
        *,
        name: str = "hash",
        failure: Exception | None = None,
        delay: float = 0.0,
    ) -> None:
        if dimension < 1:
            raise InvalidInput("dimension", f"is {dimension}, must be at least 1")
        self._spec = EmbedderSpec(name, dimension, f"{name}-{dimension}", PIECE)
        self.failure = failure
        self.delay = delay
        self.calls: list[tuple[Literal["query", "document"], tuple[str, ...]]] = []
        self.closed = False

    @property
    def spec(self) -> EmbedderSpec:
        """``max_tokens`` counts characters."""
        return self._spec

    async def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> FloatArray:
        """See :class:`~memoryscope_rag.ports.Embedder`."""
        self.calls.append((kind, tuple(texts)))
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.failure is not None:
            raise self.failure
        result = np.zeros((len(texts), self._spec.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for feature, weight in _features(text[:PIECE]):
                code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
                sign = 1.0 if zlib.adler32(feature.encode("utf-8", "surrogatepass")) & 1 else -1.0
                result[row, code % self._spec.dimension] += sign * weight
            norm = float(np.linalg.norm(result[row]))
            if norm == 0.0:  # no words, or features that cancel out
                result[row, 0] = norm = 1.0
            result[row] /= norm
        return result

    def pieces(self, text: str) -> tuple[tuple[int, int], ...]:
        """Spans of at most :data:`PIECE` characters, cut at sentence ends where there are any."""
        return pieces(text, lambda part: np.arange(len(part), dtype=np.int64), PIECE)

    def close(self) -> None:
        """Only noted, in ``closed``."""
        self.closed = True


class FrozenClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        self._now = check_time("now", now)

    def now(self) -> datetime:
        """The moment it was set to."""
        return self._now

    def advance(self, by: timedelta | float) -> datetime:
        """Move on by a timedelta or by seconds; returns the new moment."""
        self._now += by if isinstance(by, timedelta) else timedelta(seconds=by)
        return self._now


class ScriptedReranker:
    """A reranker with given scores: one a text in order, or a function of (query, text).

    ``history`` lists (query, texts) of every call; ``failure`` is raised while it is set;
    ``delay`` is in seconds.
    """

    def __init__(
        self,
        scores: Sequence[float] | Callable[[str, str], float],
        *,
        failure: Exception | None = None,
        delay: float = 0.0,
    ) -> None:
        self._scores = scores
        self.failure = failure
        self.delay = delay
        self.history: list[tuple[str, tuple[str, ...]]] = []

    async def rerank(self, query: str, texts: Sequence[str]) -> FloatArray:
        """Scores, shape ``(len(texts),)``; AssertionError if the script has too few."""
        self.history.append((query, tuple(texts)))
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.failure is not None:
            raise self.failure
        if callable(self._scores):
            values = [self._scores(query, text) for text in texts]
        elif len(self._scores) < len(texts):
            raise AssertionError(f"{len(texts)} texts, but only {len(self._scores)} scores")
        else:
            values = list(self._scores[: len(texts)])
        return np.array(values, dtype=np.float32)

    def close(self) -> None:
        """Nothing to close."""


class ScriptedGenerator:
    """A chat model that gives its replies in order; an exception among them is raised.

    A reply is a text, an exception, or a function of the messages that gives a text.
    ``history`` lists the messages of every call, ``schemas`` the schema or ``None``; ``delay`` is
    in seconds. A stream gives its text word by word.
    """

    def __init__(
        self,
        replies: Iterable[ScriptedReply],
        *,
        delay: float = 0.0,
        model: str = "scripted",
    ) -> None:
        self._replies = iter(replies)
        self.delay = delay
        self.model = model
        self.history: list[tuple[ChatMessage, ...]] = []
        self.schemas: list[JsonSchema | None] = []
        self.samplings: list[Sampling] = []
        self.closed = False

    @property
    def calls(self) -> int:
        """How many replies were asked for."""
        return len(self.history)

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: Sampling = Sampling(),
        schema: JsonSchema | None = None,
    ) -> Reply:
        """The next reply; AssertionError when there is none left."""
        self.history.append(tuple(messages))
        self.schemas.append(schema)
        self.samplings.append(sampling)
        if self.delay:
            await asyncio.sleep(self.delay)
        try:
            reply = next(self._replies)
        except StopIteration:
            raise AssertionError(
                f"call {len(self.history)}, but the script has no reply left"
            ) from None
        if isinstance(reply, Exception):
            raise reply
        text = reply(messages) if callable(reply) else reply
        usage = Usage(sum(len(m.content) for m in messages) // 4, len(text) // 4)
        return Reply(text, self.model, usage)

    async def stream(
        self, messages: Sequence[ChatMessage], *, sampling: Sampling = Sampling()
    ) -> AsyncIterator[Delta]:
        """The next reply in words."""
        reply = await self.generate(messages, sampling=sampling)
        for piece in re.findall(r"\S+\s*|\s+", reply.text):
            yield Delta(piece)
        yield Delta("", reply)

    async def close(self) -> None:
        """Only noted, in ``closed``."""
        self.closed = True


def _features(text: str) -> Iterator[tuple[str, float]]:
    text = text.lower()
    for word in _WORD.findall(_HAN.sub(" ", text)):
        yield word, 1.0
        padded = f"<{word}>"
        for start in range(len(padded) - 2):
            yield padded[start : start + 3], 0.3
    for run in _HAN.findall(text):
        for char in run:
            yield char, 0.5
        for start in range(len(run) - 1):
            yield run[start : start + 2], 1.0
