"""Stand-ins for models and the clock: deterministic, without files, fast enough for any test."""

from __future__ import annotations

import asyncio
import re
import threading
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.lexical import estimate_tokens
from memoryscope_rag.models.segment import pieces
from memoryscope_rag.ports import (
    ChatMessage,
    Coverage,
    CoveredBlock,
    Delta,
    EmbedderSpec,
    FloatArray,
    JsonSchema,
    Reply,
    Sampling,
    Usage,
)
from memoryscope_rag.schema import Clue, ClueKind, Message, Scope, check_time

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
        """The next reply; ModelError, not to be retried, when there is none left."""
        self.history.append(tuple(messages))
        self.schemas.append(schema)
        self.samplings.append(sampling)
        if self.delay:
            await asyncio.sleep(self.delay)
        try:
            reply = next(self._replies)
        except StopIteration:
            raise ModelError(
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


class ScriptedMemory:
    """A beacon memory without a model: what it covers is kept, what it recalls stands in a script.

    ``clues`` and ``attention`` go by scope: what every question gets, or a function of the
    question; a scope that is not named gets nothing. ``cover`` makes a scope covered without
    ``write``. A message is a block of its own, at ratio 1.

    ``failure`` is raised by ``write``, ``clues`` and ``attention`` while it is set; ``delay`` is in
    seconds. While ``hangs`` is set these three never return: ``"await"`` until they are cancelled,
    ``"thread"`` because a thread of theirs works on that nobody can cancel, as torch's does.
    ``calls`` counts by method; ``written`` lists what each ``write`` was given.
    """

    def __init__(
        self,
        *,
        clues: Mapping[Scope, Sequence[Clue] | Callable[[str], Sequence[Clue]]] | None = None,
        attention: (
            Mapping[Scope, Mapping[str, float] | Callable[[str], Mapping[str, float]]] | None
        ) = None,
        failure: Exception | None = None,
        delay: float = 0.0,
        hangs: Literal["await", "thread"] | None = None,
        model: str = "scripted",
    ) -> None:
        self.scripted_clues = dict(clues or {})
        self.scripted_attention = dict(attention or {})
        self.failure = failure
        self.delay = delay
        self.hangs = hangs
        self.calls: Counter[str] = Counter()
        self.written: list[tuple[Scope, int, tuple[str, ...]]] = []
        self.closed = False
        self._model = model
        self._covered: dict[Scope, Coverage] = {}
        self._freed = threading.Event()

    @property
    def model(self) -> str:
        """The name it was given."""
        return self._model

    def cover(self, scope: Scope, messages: Iterable[Message]) -> None:
        """Let ``messages`` be what is covered."""
        self._covered[scope] = _covering(CoveredBlock(*_sizes(m), (m.id,)) for m in messages)

    async def coverage(self, scope: Scope) -> Coverage:
        """What was written, or given to :meth:`cover`."""
        self.calls["coverage"] += 1
        return self._covered.get(scope, Coverage())

    async def write(self, scope: Scope, messages: Sequence[Message], *, keep: int) -> Coverage:
        """See :class:`~memoryscope_rag.ports.HistoryMemory`."""
        await self._work("write")
        kept = self._covered.get(scope, Coverage()).blocks
        known = {name for block in kept[:keep] for name in block.message_ids}
        if keep > len(kept):
            raise InvalidInput("keep", f"is {keep}, but {len(kept)} messages are covered")
        for message in messages:
            if message.id in known:
                raise InvalidInput("messages", f"{message.id!r} is covered already")
            known.add(message.id)
        new = (CoveredBlock(*_sizes(message), (message.id,)) for message in messages)
        self._covered[scope] = _covering((*kept[:keep], *new))
        self.written.append((scope, keep, tuple(message.id for message in messages)))
        return self._covered[scope]

    async def drop(self, scope: Scope) -> None:
        """Forget what is covered; the script stays."""
        self.calls["drop"] += 1
        self._covered.pop(scope, None)

    async def clues(self, scope: Scope, query: str, kinds: Sequence[ClueKind]) -> tuple[Clue, ...]:
        """Those of the script that are of ``kinds``, in the order of these."""
        await self._work("clues")
        script = self.scripted_clues.get(scope, ())
        given = script(query) if callable(script) else script
        return tuple(clue for kind in kinds for clue in given if clue.kind == kind)

    async def attention(self, scope: Scope, query: str) -> Mapping[str, float]:
        """That of the script."""
        await self._work("attention")
        script = self.scripted_attention.get(scope, {})
        return dict(script(query) if callable(script) else script)

    async def close(self) -> None:
        """Noted in ``closed``; threads that hang end."""
        self.closed = True
        self._freed.set()

    async def _work(self, name: str) -> None:
        self.calls[name] += 1
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.hangs == "await":
            await asyncio.Event().wait()
        elif self.hangs == "thread":
            await self._hang_in_thread()
        if self.failure is not None:
            raise self.failure

    async def _hang_in_thread(self) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def work() -> None:
            self._freed.wait()
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=work, name=f"{self._model} hangs", daemon=True).start()
        await ended.wait()


def _sizes(message: Message) -> tuple[int, int, int]:
    """Tokens (about), ratio and bytes of the block that holds ``message``."""
    return estimate_tokens(message.content), 1, len(message.content.encode())


def _covering(blocks: Iterable[CoveredBlock]) -> Coverage:
    kept = tuple(blocks)
    tokens = sum(block.tokens for block in kept)
    return Coverage(
        message_ids=tuple(name for block in kept for name in block.message_ids),
        tokens=tokens,
        rows=tokens,
        bytes=sum(block.bytes for block in kept),
        blocks=kept,
    )


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
