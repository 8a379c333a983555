"""A memory of summaries: windows of text are retold in brief, and the retellings are remembered.

MemoRAG's *Lite* (arXiv 2409.05591, its package's ``MemoRAGLite``): any chat model serves, and the
memory holds its own keys and values of the gists, uncompressed. Beyond it, the memory grows: a
window is retold once, when it is full, and what follows the last full window is remembered as it
is until its own is full.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter

from memoryscope_rag.beacon.compressor import Full
from memoryscope_rag.beacon.engine import BeaconEngine, TokenizedMessage
from memoryscope_rag.beacon.frame import Frame
from memoryscope_rag.beacon.memorizing import GivenUp, Memorizer, Progress
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.errors import InvalidInput, MalformedReply

WINDOW = 4096
"""Tokens that are retold together, as there."""
LONGEST = 256
"""Tokens that a gist has at most, a sixteenth of the window (512 there). So a book of 120 000
tokens, the unfinished window included, takes at most 0.35 GB of keys and values of a 1.5 B model,
28 672 bytes a row.
"""
_SHORTEST = 32
"""So many it may have in any case."""
TOGETHER = 8
"""Windows that are retold at once, at most."""
_LONGEST_CHARACTER = 8
"""Tokens that a character has at most, and some."""
_ID = re.compile(r"\x1dgist \d+ ([0-9a-f]{64})")
"""An id of a gist; no id of a message holds a control character."""

Summarise = Callable[[Sequence[str], GivenUp], Sequence[str]]
"""Retells texts, each by itself; raises Stopped. See :mod:`.gist_writers`."""


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
        return _size(self.pieces)

    @property
    def message_ids(self) -> tuple[str, ...]:
        """The messages that it rests on, in order."""
        return tuple(dict.fromkeys(piece.message_id for piece in self.pieces))

    def to_json(self) -> bytes:
        """The same gist, the same bytes."""
        pieces = [[piece.message_id, list(piece.ids)] for piece in self.pieces]
        return json.dumps({"text": self.text, "pieces": pieces}).encode()


@dataclass(frozen=True, slots=True, eq=False)
class GistState:
    """A memory of gists. Nothing of it changes; a longer one is a new one.

    Attributes:
        memory: head, gists and tail, to be asked with the engine. A gist is a message of its own
            there, which :func:`gist_digest` knows by its id.
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
        return sum(gist.tokens for gist in self.gists) + _size(self.tail)

    @property
    def head_tokens(self) -> int:
        """Tokens of the memory before the first gist: the instructions."""
        spans = self.memory.spans
        return spans[0].start if spans else self.memory.tokens

    @property
    def message_ids(self) -> tuple[str, ...]:
        """The messages that it has seen, in order."""
        retold = (name for gist in self.gists for name in gist.message_ids)
        return tuple(dict.fromkeys((*retold, *(piece.message_id for piece in self.tail))))

    def behind(self, ids: Collection[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """(messages, numbers of gists) that spans of the memory with these ``ids`` rest on."""
        names = [span.message_id for span in self.memory.spans[: len(self.gists)]]
        numbers = tuple(number for number, name in enumerate(names) if name in ids)
        retold = (name for number in numbers for name in self.gists[number].message_ids)
        waiting = (piece.message_id for piece in self.tail if piece.message_id in ids)
        return tuple(dict.fromkeys((*retold, *waiting))), numbers


def gist_id(number: int, gist: Gist) -> str:
    """The id among the spans of a memory of its gist with this number; it seals the gist."""
    return f"\x1dgist {number} {hashlib.sha256(gist.to_json()).hexdigest()}"


def gist_digest(span_id: str) -> str | None:
    """The SHA-256 in hex of :meth:`Gist.to_json` of the gist with this id; ``None``: a message."""
    found = _ID.fullmatch(span_id)
    return None if found is None else found[1]


class Gister:
    """Reads histories into memories of gists, in the calling thread; holds none of them.

    Args:
        engine: with the compressor *full* and a tokenizer.
        frame: of the engine's model; its ``head`` is what memories begin with.
        window: tokens that are retold together.

    Raises:
        InvalidInput: the engine compresses, has no tokenizer, or the window is too small.
    """

    def __init__(
        self,
        engine: BeaconEngine,
        frame: Frame,
        summarise: Summarise,
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
        self._memorizer = Memorizer(engine)
        self._window = window

    def empty(self, language: str) -> GistState:
        """A memory of nothing, with the instructions in ``language`` before it."""
        memory = self._engine.append_ids(self._engine.empty(), self._frame.head(language))
        return GistState(memory, memory)

    def restored(self, memory: MemoryState, gists: Sequence[Gist]) -> GistState:
        """The state whose ``memory`` and ``gists`` these are.

        Raises:
            InvalidInput: the memory is another engine's.
        """
        ids, waiting = memory.token_ids().tolist(), memory.spans[len(gists) :]
        before_tail = self._engine.forget(memory, {span.message_id for span in waiting})
        tail = tuple(TokenizedMessage(one.message_id, ids[one.start : one.end]) for one in waiting)
        return GistState(memory, before_tail, tuple(gists), tail)

    def append(
        self,
        state: GistState,
        messages: Sequence[TokenizedMessage],
        progress: Progress = lambda done, total: None,
        stopped: GivenUp = lambda: False,
    ) -> GistState:
        """``state`` and then ``messages``. Only windows that become full are retold.

        Args:
            progress: counts the tokens of these windows and of what waits after them.

        Raises:
            Stopped: ``stopped`` said so.
            InvalidInput: a token is none of the model's, or the state is another engine's.
            ModelError: the summariser failed, or the gists do not fit the model.
            MalformedReply: it said nothing, or not as many gists as it was given texts.
        """
        windows, tail = self._cut([*state.tail, *messages])
        if not windows:
            memory = self._longer(state.memory, messages, progress, stopped)
            return replace(state, memory=memory, tail=tail)
        total = _size(piece for pieces in (*windows, tail) for piece in pieces)
        made: list[Gist] = []
        progress(0, total)
        for start in range(0, len(windows), TOGETHER):
            made += self._retold(windows[start : start + TOGETHER], stopped)
            progress(sum(gist.tokens for gist in made), total)
        new = [
            TokenizedMessage(gist_id(number, gist), self._frame.text(f"{gist.text}\n"))
            for number, gist in enumerate(made, len(state.gists))
        ]
        before_tail = self._longer(state.before_tail, new, _unseen, stopped)
        memory = self._longer(before_tail, tail, _unseen, stopped)
        progress(total, total)
        return GistState(memory, before_tail, (*state.gists, *made), tail)

    def rollback(self, state: GistState, gists: int) -> GistState:
        """``state`` when its first ``gists`` gists were made, without what came after them.

        Raises:
            InvalidInput: it has fewer, or is another engine's.
        """
        if not 0 <= gists <= len(state.gists):
            raise InvalidInput("blocks", f"is {gists}, must be 0 to {len(state.gists)}")
        later = {span.message_id for span in state.memory.spans[gists:]}
        before = self._engine.forget(state.memory, later)
        return GistState(before, before, state.gists[:gists])

    def forget(
        self,
        state: GistState,
        message_ids: Collection[str],
        stopped: GivenUp = lambda: False,
    ) -> GistState:
        """``state`` as if these messages had never been: what follows the first is retold anew.

        Raises:
            Stopped, InvalidInput, ModelError, MalformedReply: as for :meth:`append`.
        """
        gone = set(message_ids)
        pieces = [*(gist.pieces for gist in state.gists), state.tail]
        touched = (n for n, some in enumerate(pieces) if any(p.message_id in gone for p in some))
        first = next(touched, None)
        if first is None:
            return state
        stays = [p for some in pieces[first:] for p in some if p.message_id not in gone]
        return self.append(self.rollback(state, first), stays, stopped=stopped)

    # ------------------------------------------------------------ within

    def _retold(
        self, windows: Sequence[tuple[TokenizedMessage, ...]], stopped: GivenUp
    ) -> list[Gist]:
        texts = [self._text(pieces) for pieces in windows]
        told = [text.strip() for text in self._summarise(texts, stopped)]
        if len(told) != len(texts) or not all(told):
            raise MalformedReply(
                f"{len(texts)} windows were to be retold, {sum(map(bool, told))} were",
                "".join(told),
            )
        return list(map(Gist, told, windows))

    def _longer(
        self,
        state: MemoryState,
        messages: Sequence[TokenizedMessage],
        progress: Progress,
        stopped: GivenUp,
    ) -> MemoryState:
        # the head is in every state of gists already
        return self._memorizer.longer(state, (), messages, progress, stopped)

    def _cut(
        self, messages: Sequence[TokenizedMessage]
    ) -> tuple[list[tuple[TokenizedMessage, ...]], tuple[TokenizedMessage, ...]]:
        """(full windows, what is left)."""
        windows: list[tuple[TokenizedMessage, ...]] = []
        left = _joined(message for message in messages if message.ids)
        while _size(left) >= self._window:
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


def longest_gist(window: int) -> int:
    """Tokens that a gist of ``window`` tokens has at most."""
    return max(_SHORTEST, window * LONGEST // WINDOW)


def _unseen(done: int, total: int) -> None:
    """Progress that nobody is told of."""


def _size(pieces: Iterable[TokenizedMessage]) -> int:
    return sum(len(piece.ids) for piece in pieces)


def _joined(pieces: Iterable[TokenizedMessage]) -> tuple[TokenizedMessage, ...]:
    """``pieces``, adjacent ones of one message as one: where it was cut before leaves no trace."""
    return tuple(
        TokenizedMessage(name, [token for piece in some for token in piece.ids])
        for name, some in groupby(pieces, key=attrgetter("message_id"))
    )


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
