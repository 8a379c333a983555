"""What a picture of a beacon memory shows: the log, what is covered of it, where a query led.

Messages stand side by side in the order of the log, each one wide, so that an evening's chat is as
legible as the month of silence after it is short. Nothing here draws.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from types import MappingProxyType

from memoryscope_rag.ports import Coverage
from memoryscope_rag.schema import Clue, Evidence, EvidenceItem, Message, Scope

Span = tuple[float, float]
"""From and to, in messages: ``(0, 1.5)`` is the first message and half of the second."""
_BESIDE = "neighbour"
_NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Tier:
    """The blocks that keep one row for ``ratio`` tokens, and where their messages stand."""

    ratio: int
    blocks: int
    tokens: int
    bytes: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Lane:
    """What one query or clue led to: places of messages, ``ranks`` of what was found (from 1).

    ``clue`` is ``None`` for the query and its parts.
    """

    name: str
    text: str
    clue: Clue | None = None
    leans_on: tuple[int, ...] = ()
    ranks: tuple[int, ...] = ()


@dataclass(frozen=True)
class MemoryMap:
    """The beacon memory of ``scope``: ``coverage`` of ``messages`` (the whole log, in its order).

    ``attention`` is what :meth:`~memoryscope_rag.ports.HistoryMemory.attention` gives for the query
    of ``evidence``, which was retrieved with ``explain``. What is covered and not in the log is
    shown nowhere: it was forgotten.
    """

    scope: Scope
    model: str
    messages: tuple[Message, ...]
    coverage: Coverage
    attention: Mapping[str, float] = field(default_factory=lambda: _NONE)
    evidence: Evidence | None = None

    @cached_property
    def places(self) -> Mapping[str, int]:
        """By message id its place in the log, from 0."""
        return {message.id: place for place, message in enumerate(self.messages)}

    @cached_property
    def covered(self) -> tuple[Message, ...]:
        """The messages that the memory has read, in the order of the log."""
        read = set(self.coverage.message_ids)
        return tuple(message for message in self.messages if message.id in read)

    @cached_property
    def behind(self) -> tuple[Message, ...]:
        """The messages that it has not read yet."""
        read = set(self.coverage.message_ids)
        return tuple(message for message in self.messages if message.id not in read)

    @cached_property
    def gone(self) -> int:
        """How many messages it has read that the log does not hold any more."""
        return len(set(self.coverage.message_ids) - self.places.keys())

    @property
    def behind_spans(self) -> tuple[Span, ...]:
        """Where :attr:`behind` stands."""
        return _runs((place, place + 1.0) for place in self._places_of(m.id for m in self.behind))

    @cached_property
    def sessions(self) -> tuple[tuple[Message, Span], ...]:
        """The first message of every stretch of one session, and where that stretch is."""
        found = []
        for _, members in groupby(enumerate(self.messages), lambda one: one[1].session_id):
            (start, first), *others = members
            found.append((first, (float(start), start + len(others) + 1.0)))
        return tuple(found)

    @cached_property
    def _holders(self) -> Mapping[str, tuple[int, ...]]:
        """By message id the blocks that hold tokens of it; the tail is one more than the last."""
        holders: dict[str, list[int]] = {}
        for number, block in enumerate(self.coverage.blocks):
            for name in block.message_ids:
                holders.setdefault(name, []).append(number)
        tail = len(self.coverage.blocks)
        in_blocks = set(holders)
        last = self.coverage.message_ids[-1:] if self.coverage.tail_tokens else ()
        for name in self.coverage.message_ids:
            if name not in in_blocks or name in last:
                holders.setdefault(name, []).append(tail)
        return {name: tuple(numbers) for name, numbers in holders.items()}

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """The blocks by ratio, the least compressed first."""
        blocks = self.coverage.blocks
        tiers = []
        for ratio in sorted({block.ratio for block in blocks}):
            numbers = {number for number, block in enumerate(blocks) if block.ratio == ratio}
            chosen = [blocks[number] for number in numbers]
            tiers.append(
                Tier(
                    ratio,
                    len(chosen),
                    sum(block.tokens for block in chosen),
                    sum(block.bytes for block in chosen),
                    self._spans(numbers),
                )
            )
        return tuple(tiers)

    @property
    def tail(self) -> tuple[Span, ...]:
        """Where the messages stand whose tokens wait for their block to be full."""
        return self._spans({len(self.coverage.blocks)})

    def _spans(self, numbers: Collection[int]) -> tuple[Span, ...]:
        """Where blocks stand; a message in several of them is shared out evenly."""
        return _runs(
            (place + part / len(held), place + (part + 1) / len(held))
            for name, held in self._holders.items()
            for place in self._places_of([name])
            for part, number in enumerate(held)
            if number in numbers
        )

    @cached_property
    def found(self) -> tuple[tuple[EvidenceItem, tuple[int, ...]], ...]:
        """The evidence, best first, each with the places of the messages that it rests on."""
        if self.evidence is None:
            return ()
        return tuple(
            (item, tuple(self._places_of(item.node.provenance))) for item in self.evidence.items
        )

    @cached_property
    def lanes(self) -> tuple[Lane, ...]:
        """The query with its parts first, then its clues, then whatever else brought something."""
        if self.evidence is None:
            return ()
        by: dict[str, list[int]] = {}
        for rank, item in enumerate(self.evidence.items, 1):
            for name in dict.fromkeys(map(_lane, item.found_by or (_BESIDE,))):
                by.setdefault(name, []).append(rank)
        lanes = [Lane("query", self.evidence.query, ranks=tuple(by.pop("query", ())))]
        for number, clue in enumerate(self.evidence.clues, 1):
            name = f"clue {number}"
            leans_on = tuple(self._places_of(clue.provenance))
            lanes.append(Lane(name, clue.text, clue, leans_on, tuple(by.pop(name, ()))))
        return (*lanes, *(Lane(name, "", ranks=tuple(ranks)) for name, ranks in by.items()))

    def _places_of(self, ids: Iterable[str]) -> Iterable[int]:
        return (self.places[name] for name in ids if name in self.places)


def _lane(name: str) -> str:
    return "query" if name.startswith("part ") else name


def _runs(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Spans in order, those that touch made one."""
    runs: list[Span] = []
    for start, end in sorted(spans):
        if runs and start <= runs[-1][1] + 1e-9:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((start, end))
    return tuple(runs)
