"""A model that reads histories and sessions into memories and is asked what they hold.

In the calling thread, for one thread at a time; :mod:`.memories` is the same without waiting, for
all scopes, with files.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path
from typing import Final

from memoryscope_rag.beacon.age_tiers import fit
from memoryscope_rag.beacon.asking import replies
from memoryscope_rag.beacon.clue_asking import CLUE_PROMPTS, clues_in
from memoryscope_rag.beacon.core import BRIEF
from memoryscope_rag.beacon.echo import Echo
from memoryscope_rag.beacon.engine import BeaconEngine, TokenizedMessage
from memoryscope_rag.beacon.files.bank import Source
from memoryscope_rag.beacon.files.block_tensors import stored_bytes
from memoryscope_rag.beacon.files.maker import Maker
from memoryscope_rag.beacon.files.quantize import Encoding
from memoryscope_rag.beacon.frame import Frame
from memoryscope_rag.beacon.heads import HeadSet
from memoryscope_rag.beacon.key_difference import KeyDifference
from memoryscope_rag.beacon.memorizing import GivenUp, Memorizer
from memoryscope_rag.beacon.opening import doubled_ratios
from memoryscope_rag.beacon.prompts import MemoryPrompts
from memoryscope_rag.beacon.read_attention import Head, Readable, make_readable, read_attention
from memoryscope_rag.beacon.select import Select
from memoryscope_rag.beacon.session_memory import beginning, session_line
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.beacon.state import Block, MemoryState
from memoryscope_rag.beacon.transcript import transcript_line
from memoryscope_rag.errors import BeaconMismatch, InvalidInput, ModelError
from memoryscope_rag.schema import Clue, ClueKind, NewMessage, Scope, check_text

logger = logging.getLogger(__name__)
SESSION_WINDOW: Final = 128
"""Tokens of a session that are compressed together. Few, since what waits for its window to be full
is kept in every row, and a session seldom ends with one."""
_ECHOES = 8
_BELOW = 0.98
"""So much of a budget is used when it is exceeded, lest every write has to make room."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Whether and how sessions are kept for reading attention.

    ``ratio`` is tokens a row, more in a session that the model could not take otherwise; ``heads``
    are read, where they are known.
    """

    sessions: bool
    ratio: int
    heads: HeadSet | None = None


class HistoryModel:
    """Makes memories of histories and sessions longer, and asks them.

    Args:
        name: of the model.
        zone: in which times are written; ``None``: as the messages have them.

    Raises:
        ModelError: it is no chat model.
    """

    def __init__(
        self,
        engine: BeaconEngine,
        name: str,
        prompts: MemoryPrompts,
        zone: tzinfo | None,
        reading: Reading,
    ) -> None:
        self.name = name
        self._engine = engine
        self._prompts = prompts
        self._zone = zone
        self._frame = Frame(engine.tokenizer, name, engine.model.capacity, prompts)
        self._memorizer = Memorizer(engine)
        self._sessions = _session_engine(engine, reading.ratio) if reading.sessions else None
        self.heads = _heads(engine, name, reading.heads)
        self._echoes: OrderedDict[Scope, Echo] = OrderedDict()

    @property
    def whole(self) -> Source:
        """Where memories of whole histories come from."""
        contexts = [self._prompts.get("context", one) for one in self._prompts.languages]
        return Source(self._engine.empty(), Maker.of(self._engine, contexts))

    @property
    def sessions(self) -> Source | None:
        """Where memories of sessions come from; ``None``: they are not kept."""
        engine = self._sessions
        return None if engine is None else Source(engine.empty(), Maker.of(engine))

    # ------------------------------------------------------------ reading

    def longer(
        self, state: MemoryState, kept: Collection[str], messages: Sequence[NewMessage]
    ) -> Iterator[MemoryState]:
        """The history of the messages in ``kept``, which ``state`` begins with, then ``messages``.

        Step by step; the last state is that, and without any there is nothing to do.

        Raises:
            ModelError: they do not fit the model, or it failed.
        """
        gone = _without(state, kept)
        if state.spans and len(gone) < len({span.message_id for span in state.spans}):
            language = self._language(state)
        else:
            language = self._prompts.language("\n".join(one.content for one in messages))
        new = [
            TokenizedMessage(one.id, self._frame.text(transcript_line(one, self._zone)))
            for one in messages
        ]
        head = self._frame.head(language)
        return _rewritten(self._engine, self._memorizer, state, head, gone, new)

    def longer_session(
        self, state: MemoryState, kept: Collection[str], messages: Sequence[NewMessage]
    ) -> Iterator[MemoryState]:
        """As :meth:`longer`, of a session. What it has of ``messages`` already is passed over."""
        engine = self._sessions
        assert engine is not None
        new = [session_line(engine, one, self._zone) for one in messages]
        gone = _without(state, kept)
        ahead = [span for span in state.spans if span.message_id in gone]
        if ahead:
            ids = state.token_ids().tolist()
            held = [(span.message_id, ids[span.start : span.end]) for span in ahead]
            if held == [(one.message_id, list(one.ids)) for one in new[: len(held)]]:
                gone, new = frozenset(), new[len(held) :]
        return _rewritten(engine, Memorizer(engine), state, beginning(engine), gone, new)

    def fitted(
        self, state: MemoryState, budget_bytes: int, recent_tokens: int, encoding: Encoding
    ) -> MemoryState:
        """``state`` within ``budget_bytes`` of files, what is older at a higher ratio.

        Where that is not enough, fewer than ``recent_tokens`` are spared.

        Raises:
            ModelError: it cannot be made so small.
        """

        def size(block: Block) -> int:
            return stored_bytes(block, encoding)

        if stored_size(state, encoding) <= budget_bytes:
            return state
        spared = recent_tokens
        while True:
            try:
                found = fit(self._engine, state, int(_BELOW * budget_bytes), spared, size)
            except InvalidInput as error:
                if not spared:
                    raise ModelError(f"the memory does not fit its budget: {error}") from error
                spared //= 2
                continue
            if spared < recent_tokens:
                logger.warning(
                    "a beacon memory keeps its last %d tokens as they are, not %d: the budget of "
                    "%d bytes is too small",
                    spared,
                    recent_tokens,
                    budget_bytes,
                )
            return found

    # ------------------------------------------------------------ asking

    def clues(
        self,
        scope: Scope,
        state: MemoryState,
        query: str,
        kinds: Sequence[ClueKind],
        given_up: GivenUp,
    ) -> tuple[Clue, ...]:
        """Clues of these kinds from ``state``, the memory of ``scope``.

        Raises:
            Stopped: ``given_up`` said so.
            InvalidInput: the query is empty.
            ModelError: the question does not fit behind the memory, or the model failed.
        """
        if not check_text("query", query).strip():
            raise InvalidInput("query", "is empty")
        asked_in, told_in = self._prompts.language(query), self._language(state)
        asked = [
            self._frame.question(
                told_in, self._prompts.render(CLUE_PROMPTS[kind], asked_in, question=query)
            )
            for kind in kinds
        ]
        if not asked:
            return ()
        known = (query, self._prompts.get("acknowledged", told_in))
        echo = self._echo(scope)
        told = replies(self._engine, self.name, state, asked, BRIEF, given_up)
        return tuple(
            clue
            for kind, reply in zip(kinds, told, strict=True)
            for clue in clues_in(reply, kind, known, lambda line: echo.ground(state, line))
        )

    def readable(self, state: MemoryState) -> Readable:
        """A session made ready for :meth:`attention`."""
        assert self._sessions is not None
        assert self.heads is not None
        return make_readable(self._sessions, [state], self.heads)[0]

    def attention(self, sessions: Sequence[Readable], query: str) -> dict[str, float]:
        """See :func:`~memoryscope_rag.beacon.read_attention.read_attention`."""
        assert self._sessions is not None
        return read_attention(self._sessions, sessions, query)

    def let_go(self, scope: Scope) -> None:
        """Keep no copy of anything of ``scope``."""
        self._echoes.pop(scope, None)
        self._engine.let_go()
        if self._sessions is not None:
            self._sessions.let_go()

    # ------------------------------------------------------------ within

    def _language(self, state: MemoryState) -> str:
        """The one in which the memory was begun."""
        begun = state.token_ids()[: state.spans[0].start].tolist()
        for language in self._prompts.languages:
            if self._frame.head(language) == begun:
                return language
        raise BeaconMismatch(f"the memory was begun with another prompt than those of {self.name}")

    def _echo(self, scope: Scope) -> Echo:
        found = self._echoes.pop(scope, None) or Echo(self._engine.tokenizer)
        self._echoes[scope] = found
        if len(self._echoes) > _ECHOES:
            self._echoes.popitem(last=False)
        return found


def stored_size(state: MemoryState, encoding: Encoding) -> int:
    """Bytes of the tensors that ``state`` takes in files."""
    blocks = sum(stored_bytes(block, encoding) for block in state.blocks)
    return replace(state, blocks=()).nbytes + blocks


def _without(state: MemoryState, kept: Collection[str]) -> frozenset[str]:
    """Ids of the messages of ``state`` that are not ``kept``."""
    return frozenset(span.message_id for span in state.spans) - frozenset(kept)


def _rewritten(
    engine: BeaconEngine,
    memorizer: Memorizer,
    state: MemoryState,
    head: Sequence[int],
    gone: Collection[str],
    new: Sequence[TokenizedMessage],
) -> Iterator[MemoryState]:
    """``state`` without what is ``gone``, and then ``new``."""
    if gone:
        if any(span.message_id not in gone for span in state.spans):
            state = engine.forget(state, gone)
        else:
            engine.let_go()
            state = engine.empty()
        yield state
    if new:
        for longer, _ in memorizer.steps(state, head, new):
            yield longer


def _session_engine(engine: BeaconEngine, ratio: int) -> BeaconEngine:
    """Another one on the same model. Sessions are read by questions as they are, so their rows are
    those of the model itself, also where it has beacons, whose rows the heads were not chosen for.
    """
    return BeaconEngine(
        engine.model.stock,
        engine.tokenizer,
        settings=BeaconSettings(
            window=SESSION_WINDOW, ratios=doubled_ratios(ratio, SESSION_WINDOW), mix="adapt"
        ),
        compressor=Select(KeyDifference()),
    )


def _heads(engine: BeaconEngine, name: str, heads: HeadSet | None) -> tuple[Head, ...] | None:
    """Those of this very model, in the order of their choice."""
    if heads is None:
        return None
    try:
        return heads.for_engine(engine, Path(name).name)
    except BeaconMismatch as error:
        logger.warning("%s", error)
        return None
