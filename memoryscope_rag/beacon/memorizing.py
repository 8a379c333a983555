"""Reading messages into a memory at a ratio with which all of it fits the model.

A history keeps one ratio. When it outgrows that, it is read again from its tokens at twice the
ratio, so that in the end no token was read more than about twice; memories of memories, which no
training has seen, are not made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from memoryscope_rag.beacon.engine import BeaconEngine, TokenizedMessage
from memoryscope_rag.beacon.state import MemoryState, Span
from memoryscope_rag.errors import ModelError
from memoryscope_rag.models.decoding import Stopped

ROOM = 1024
"""Positions that are left for a question and its answer; a quarter of those of a small model."""

Progress = Callable[[int, int], None]
"""Is told (tokens read, tokens to read)."""
GivenUp = Callable[[], bool]
"""Says whether nobody waits for the result any more."""


class Memorizer:
    """Makes memories longer."""

    def __init__(self, engine: BeaconEngine) -> None:
        self._engine = engine

    def longer(
        self,
        state: MemoryState,
        head: Sequence[int],
        messages: Sequence[TokenizedMessage],
        progress: Progress,
        stopped: GivenUp,
    ) -> MemoryState:
        """``state`` and then ``messages``.

        Args:
            head: the tokens that a memory begins with, and that ``state`` begins with.

        Raises:
            Stopped: ``stopped`` said so.
            ModelError: they do not fit the model.
        """
        todo = 0
        for step in self.steps(state, head, messages):
            state, left = step
            todo = max(todo, left)
            progress(todo - left, todo)
            if left and stopped():
                raise Stopped
        return state

    def steps(
        self, state: MemoryState, head: Sequence[int], messages: Sequence[TokenizedMessage]
    ) -> Iterator[tuple[MemoryState, int]]:
        """As :meth:`longer`, window by window, with the tokens that are left; the last has all."""
        total = (state.tokens or len(head)) + sum(len(message.ids) for message in messages)
        ratio = self._ratio(total)
        if state.tokens and ratio > (state.fixed_ratio or 0):
            messages = [*_messages(state), *messages]
            state = self._engine.empty()
        if not state.tokens:
            state = replace(self._engine.empty(), fixed_ratio=ratio)
            state = self._engine.append_ids(state, head)
        waiting = deque(message for message in messages if message.ids)
        left = sum(len(message.ids) for message in waiting)
        settings = self._engine.encoder.settings
        yield state, left
        while waiting:
            prefix = settings.skip_first - len(state.prefix_ids)
            batch = _take(waiting, prefix + settings.window - len(state.tail_ids))
            state = self._engine.append(state, batch)
            state = replace(state, spans=_merged(state.spans))
            left -= sum(len(message.ids) for message in batch)
            yield state, left

    def _ratio(self, tokens: int) -> int:
        """The lowest ratio at which a history of ``tokens`` tokens leaves room for a question."""
        encoder, capacity = self._engine.encoder, self._engine.model.capacity
        room = min(ROOM, capacity // 4)
        ratios = sorted(encoder.settings.candidates)
        for ratio in ratios:
            empty = replace(self._engine.empty(), fixed_ratio=ratio)
            try:
                peak = encoder.plan(empty, tokens).peak
            except ModelError:
                continue
            if peak + room <= capacity:
                return ratio
        how = f"at a ratio of {ratios[-1]}" if ratios[-1] else "uncompressed"
        raise ModelError(
            f"a history of {tokens} tokens does not fit the model's {capacity} positions {how}, "
            "with room for a question; use select or beacon, a smaller window, or a model with a "
            "longer context"
        )


def _messages(state: MemoryState) -> list[TokenizedMessage]:
    """What was read into ``state`` after its head."""
    ids = state.token_ids().tolist()
    return [TokenizedMessage(span.message_id, ids[span.start : span.end]) for span in state.spans]


def _take(waiting: deque[TokenizedMessage], count: int) -> list[TokenizedMessage]:
    """The first ``count`` tokens of ``waiting``, or all; a message may be divided."""
    taken: list[TokenizedMessage] = []
    while waiting and count:
        message = waiting.popleft()
        if len(message.ids) > count:
            waiting.appendleft(replace(message, ids=message.ids[count:]))
            message = replace(message, ids=message.ids[:count])
        taken.append(message)
        count -= len(message.ids)
    return taken


def _merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    """``spans``, adjacent ones of one message as one."""
    found: list[Span] = []
    for span in spans:
        last = found[-1] if found else None
        if last is not None and (last.message_id, last.end) == (span.message_id, span.start):
            found[-1] = replace(last, end=span.end)
        else:
            found.append(span)
    return tuple(found)
