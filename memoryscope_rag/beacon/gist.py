"""A memory of summaries: windows of text are retold in brief, and the retellings are remembered.

MemoRAG's *Lite* (arXiv 2409.05591, its package's ``MemoRAGLite``): any chat model serves, and the
memory holds its own keys and values of the gists, uncompressed. Beyond it, the memory grows: a
window is retold once, when it is full, and what follows the last full window is remembered as it
is until its own is full.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

from memoryscope_rag.beacon.compressor import Full
from memoryscope_rag.beacon.engine import BeaconEngine, TokenizedMessage
from memoryscope_rag.beacon.frame import Frame
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.errors import InvalidInput, MalformedReply
from memoryscope_rag.models.torch_runtime import TorchThread

P = ParamSpec("P")
T = TypeVar("T")

WINDOW = 4096
"""Tokens that are retold together, as there."""
LONGEST = 256
"""Tokens that a gist has at most, a sixteenth of the window (512 there). So a book of 120 000
tokens, the unfinished window included, takes at most 0.35 GB of keys and values of a 1.5 B model,
28 672 bytes a row.
"""
_LONGEST_CHARACTER = 8
"""Tokens that a character has at most, and some."""

Summarise = Callable[[Sequence[str]], Awaitable[Sequence[str]]]
"""Retells texts, each by itself; see :mod:`.gist_writers`."""


@dataclass(frozen=True, slots=True, eq=False)
class Gist:
    """A window retold.

    Attributes:
        text: the retelling.
        pieces: what was retold: messages and parts of messages, in order.
    """

    text: str
    pieces: tuple[TokenizedMessage, ...]

    @property
    def tokens(self) -> int:
        """How many raw tokens it stands for."""
        return sum(len(piece.ids) for piece in self.pieces)

    @property
    def message_ids(self) -> tuple[str, ...]:
        """The messages that it rests on, in order."""
        return tuple(dict.fromkeys(piece.message_id for piece in self.pieces))


@dataclass(frozen=True, slots=True, eq=False)
class GistState:
    """A memory of gists. Nothing of it changes; a longer one is a new one.

    Attributes:
        memory: head, gists and tail, to be asked with the engine. A gist is a message of its own
            there, with the id of :func:`gist_id`.
        before_tail: the same without the tail.
        gists: one for each full window, in order.
        tail: messages and parts of messages that wait for their window to be full.
    """

    memory: MemoryState
    before_tail: MemoryState
    gists: tuple[Gist, ...] = ()
    tail: tuple[TokenizedMessage, ...] = ()

    @property
    def tokens(self) -> int:
        """Raw tokens of the history."""
        waiting = sum(len(piece.ids) for piece in self.tail)
        return sum(gist.tokens for gist in self.gists) + waiting


def gist_id(number: int) -> str:
    """The id of the gist with this number, among the spans of a memory."""
    return f"gist-{number}"


class Gister:
    """Reads histories into memories of gists; holds none of them.

    Args:
        engine: with the compressor *full* and a tokenizer.
        frame: of the engine's model; its ``head`` is what memories begin with.
        thread: runs the engine.
        window: tokens that are retold together.

    Raises:
        InvalidInput: the engine compresses, has no tokenizer, or the window is too small.
    """

    def __init__(
        self,
        engine: BeaconEngine,
        frame: Frame,
        summarise: Summarise,
        thread: TorchThread,
        *,
        window: int = WINDOW,
    ) -> None:
        if not isinstance(engine.encoder.compressor, Full):
            name = engine.encoder.compressor.name
            raise InvalidInput("engine", f"compresses with {name}; gists need the compressor full")
        if engine.tokenizer is None:
            raise InvalidInput("engine", "has no tokenizer")
        if window <= _LONGEST_CHARACTER:
            raise InvalidInput("window", f"is {window}, must be above {_LONGEST_CHARACTER}")
        self._engine = engine
        self._frame = frame
        self._summarise = summarise
        self._thread = thread
        self._window = window

    async def empty(self, language: str) -> GistState:
        """A memory of nothing, with the instructions in ``language`` before it."""
        head = self._frame.head(language)
        memory = await self._run(self._engine.append_ids, self._engine.empty(), head)
        return GistState(memory, memory)

    async def append(self, state: GistState, messages: Sequence[TokenizedMessage]) -> GistState:
        """``state`` and then ``messages``. Only windows that become full are retold.

        Raises:
            InvalidInput: a token is none of the model's, or the state is another engine's.
            ModelError: the summariser failed, or the gists do not fit the model.
            MalformedReply: it said nothing, or not as many gists as it was given texts.
        """
        windows, tail = self._cut([*state.tail, *messages])
        if not windows:
            memory = await self._run(self._engine.append, state.memory, messages)
            return replace(state, memory=memory, tail=tail)
        texts = [self._text(pieces) for pieces in windows]
        told = [text.strip() for text in await self._summarise(texts)]
        if len(told) != len(texts) or not all(told):
            raise MalformedReply(
                f"{len(texts)} windows were to be retold, {sum(map(bool, told))} were",
                "".join(told),
            )
        made = tuple(map(Gist, told, windows))
        new = [
            TokenizedMessage(gist_id(number), self._frame.text(f"{gist.text}\n"))
            for number, gist in enumerate(made, len(state.gists))
        ]
        before_tail = await self._run(self._engine.append, state.before_tail, new)
        memory = await self._run(self._engine.append, before_tail, tail)
        return GistState(memory, before_tail, (*state.gists, *made), tail)

    async def forget(self, state: GistState, message_ids: Collection[str]) -> GistState:
        """``state`` as if these messages had never been: what follows the first is retold anew.

        Raises:
            InvalidInput, ModelError, MalformedReply: as for :meth:`append`.
        """
        gone = set(message_ids)
        pieces = [*(gist.pieces for gist in state.gists), state.tail]
        touched = (n for n, some in enumerate(pieces) if any(p.message_id in gone for p in some))
        first = next(touched, None)
        if first is None:
            return state
        kept = {gist_id(number) for number in range(first)}
        later = {span.message_id for span in state.memory.spans} - kept
        before = await self._run(self._engine.forget, state.memory, later)
        stays = [p for some in pieces[first:] for p in some if p.message_id not in gone]
        return await self.append(GistState(before, before, state.gists[:first]), stays)

    # ------------------------------------------------------------ within

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.wrap_future(self._thread.submit(work, *args, **kwargs))

    def _cut(
        self, messages: Sequence[TokenizedMessage]
    ) -> tuple[list[tuple[TokenizedMessage, ...]], tuple[TokenizedMessage, ...]]:
        """(full windows, what is left)."""
        windows: list[tuple[TokenizedMessage, ...]] = []
        left = tuple(message for message in messages if message.ids)
        while sum(len(piece.ids) for piece in left) >= self._window:
            count = self._whole_characters(left)
            windows.append(_part(left, 0, count))
            left = _part(left, count, None)
        return windows, left

    def _whole_characters(self, pieces: Sequence[TokenizedMessage]) -> int:
        """How many tokens the next window has: where it would end in a character, some fewer."""
        ids = [token for piece in _part(pieces, 0, self._window) for token in piece.ids]
        for fewer in range(_LONGEST_CHARACTER):
            end = self._window - fewer
            last = ids[max(0, end - 2 * _LONGEST_CHARACTER) : end]
            if not self._engine.tokenizer.decode(last).endswith("\ufffd"):
                return end
        return self._window

    def _text(self, pieces: Sequence[TokenizedMessage]) -> str:
        ids = [token for piece in pieces for token in piece.ids]
        return str(self._engine.tokenizer.decode(ids, skip_special_tokens=True))


def _part(
    pieces: Sequence[TokenizedMessage], start: int, end: int | None
) -> tuple[TokenizedMessage, ...]:
    """The tokens from ``start`` to ``end``, counted over all ``pieces``."""
    found: list[TokenizedMessage] = []
    at = 0
    for piece in pieces:
        last = None if end is None else max(0, end - at)
        ids = piece.ids[max(0, start - at) : last]
        if ids:
            found.append(piece if len(ids) == len(piece.ids) else replace(piece, ids=ids))
        at += len(piece.ids)
    return tuple(found)
