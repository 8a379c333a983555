"""The words of this package as frozen types: scope, message, node, event, evidence.

Texts, ids and names are kept letter for letter. What cannot be stored faithfully (lone
surrogates, NUL in an id, a naive datetime) is refused by the constructor with
:class:`~memoryscope_rag.errors.InvalidInput`, so nothing of the kind exists past this file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, get_args

from memoryscope_rag.errors import InvalidInput

MAX_NAME = 256
"""Longest id or name, in characters."""
MAX_CONTENT = 4_000_000
"""Longest message or note, in characters."""

Role = Literal["system", "user", "assistant", "tool"]
Kind = Literal["conversation", "observation", "note", "insight"]
MessageState = Literal["pending", "consolidated", "parked"]
ClueKind = Literal["span", "surrogate", "draft"]
Profile = Literal["fast", "read", "clues", "deep", "auto"]
ROLES: tuple[Role, ...] = get_args(Role)
KINDS: tuple[Kind, ...] = get_args(Kind)
PROFILES: tuple[Profile, ...] = get_args(Profile)
"""How much is done for an answer: ``fast`` asks no model, ``read`` reads what the query
draws attention to in the beacon memory, ``clues`` also asks that for clues, ``deep`` searches once
more for what the first evidence lacks, ``auto`` goes on from ``fast`` only where it is in doubt."""

Metadata = Mapping[str, str | int | float | bool | None]
_NO_METADATA: Metadata = MappingProxyType({})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_text(name: str, value: str, *, limit: int = MAX_CONTENT) -> str:
    """``value`` itself, or :class:`InvalidInput` naming ``name`` if UTF-8 cannot carry it."""
    if not isinstance(value, str):
        raise InvalidInput(name, f"must be a string, not {type(value).__name__}")
    if len(value) > limit:
        raise InvalidInput(name, f"has {len(value)} characters, the limit is {limit}")
    if value.isascii():
        return value
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput(
            name, f"holds a lone surrogate at character {error.start}, which is not text"
        ) from None
    return value


def check_name(name: str, value: str) -> str:
    """As :func:`check_text` for ids and names: 1 to 256 characters, no control characters."""
    check_text(name, value, limit=MAX_NAME)
    if not value:
        raise InvalidInput(name, "must not be empty")
    if found := _CONTROL.search(value):
        raise InvalidInput(name, f"holds the control character {found[0]!r} at {found.start()}")
    return value


def check_time(name: str, value: datetime) -> datetime:
    """``value`` itself, or :class:`InvalidInput` if it is no datetime with a time zone."""
    if not isinstance(value, datetime):
        raise InvalidInput(name, f"must be a datetime, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise InvalidInput(name, "has no time zone; pass an aware datetime")
    return value


def check_metadata(value: Metadata) -> Metadata:
    """A read-only copy of ``value``: string keys to JSON scalars, at most 64 KiB as JSON."""
    if not value:
        return _NO_METADATA
    for key, item in value.items():
        check_name("metadata key", key)
        if not isinstance(item, str | int | float | bool | None):
            raise InvalidInput(f"metadata[{key!r}]", "must be a string, number, bool or None")
        if isinstance(item, str):
            check_text(f"metadata[{key!r}]", item)
    try:
        size = len(json.dumps(dict(value), allow_nan=False))
    except ValueError:
        raise InvalidInput("metadata", "holds NaN or infinity") from None
    if size > 65_536:
        raise InvalidInput("metadata", f"is {size} bytes as JSON, the limit is 65536")
    return MappingProxyType(dict(value))


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """Whose memory. Every store call takes one, and nothing crosses from one to another."""

    user_id: str
    agent_id: str = "default"
    tenant_id: str = "default"

    def __post_init__(self) -> None:
        check_name("user_id", self.user_id)
        check_name("agent_id", self.agent_id)
        check_name("tenant_id", self.tenant_id)

    @property
    def digest(self) -> str:
        """40 hex digits that stand for it where no id may stand, such as in the name of a file."""
        whole = json.dumps([self.tenant_id, self.user_id, self.agent_id])
        return hashlib.sha256(whole.encode()).hexdigest()[:40]


class Grain(StrEnum):
    """How exactly a time is known, finest first."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    PART_OF_DAY = "part_of_day"
    DAY = "day"
    WEEKEND = "weekend"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    SEASON = "season"
    YEAR = "year"
    DECADE = "decade"
    CENTURY = "century"


@dataclass(frozen=True, slots=True)
class Interval:
    """A half-open stretch of time ``[start, end)``; ``None`` leaves that side open."""

    start: datetime | None
    end: datetime | None

    def __post_init__(self) -> None:
        if self.start is not None:
            check_time("interval start", self.start)
        if self.end is not None:
            check_time("interval end", self.end)
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise InvalidInput("interval", "must end after it starts")

    def contains(self, moment: datetime) -> bool:
        """Whether ``moment`` lies inside."""
        return (self.start is None or self.start <= moment) and (
            self.end is None or moment < self.end
        )

    def overlaps(self, other: Interval) -> bool:
        """Whether the two share at least one moment."""
        return (self.start is None or other.end is None or self.start < other.end) and (
            other.start is None or self.end is None or other.start < self.end
        )


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Something that comes back: every ``every`` units of ``unit``, with what is fixed in it.

    ``month`` 1-12, ``day`` 1-31, ``weekday`` 0 (Monday) to 6, ``hour``/``minute`` of the day.
    A birthday is ``Recurrence("year", month=5, day=7)``.
    """

    unit: Literal["hour", "day", "week", "month", "year"]
    every: int = 1
    month: int | None = None
    day: int | None = None
    weekday: int | None = None
    hour: int | None = None
    minute: int | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("every", 1, 1000),
            ("month", 1, 12),
            ("day", 1, 31),
            ("weekday", 0, 6),
            ("hour", 0, 23),
            ("minute", 0, 59),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InvalidInput(f"recurrence {name}", f"{value} is not in {low}..{high}")


@dataclass(frozen=True, slots=True)
class Event:
    """When something happens or happened, how exactly that is known, and whether it recurs."""

    interval: Interval
    grain: Grain = Grain.DAY
    recurrence: Recurrence | None = None


@dataclass(frozen=True, slots=True)
class NewMessage:
    """One turn as the host hands it in. ``id`` makes recording it twice harmless."""

    id: str
    session_id: str
    role: Role
    content: str
    created_at: datetime
    speaker: str | None = None
    metadata: Metadata = field(default_factory=lambda: _NO_METADATA)

    def __post_init__(self) -> None:
        check_name("message id", self.id)
        check_name("session_id", self.session_id)
        if self.role not in ROLES:
            raise InvalidInput("role", f"{self.role!r} is unknown; known: {', '.join(ROLES)}")
        check_text("content", self.content)
        check_time("created_at", self.created_at)
        if self.speaker is not None:
            check_name("speaker", self.speaker)
        object.__setattr__(self, "metadata", check_metadata(self.metadata))


@dataclass(frozen=True, slots=True)
class Message(NewMessage):
    """One turn as the log holds it: ``seq`` counts up within the scope and is never reused.

    ``attempts`` counts the consolidations that failed, ``state_reason`` is why the last one did.
    """

    scope: Scope = field(kw_only=True)
    seq: int = field(kw_only=True)
    state: MessageState = field(default="pending", kw_only=True)
    state_reason: str | None = field(default=None, kw_only=True)
    attempts: int = field(default=0, kw_only=True)


@dataclass(frozen=True, slots=True)
class MemoryNode:
    """One retrievable piece of memory.

    ``provenance`` lists message ids (for an insight: node ids of observations). A
    ``conversation`` node is the piece ``span`` (start, end; characters) of one message. A fact
    that stopped being true has ``valid_to`` and mostly ``superseded_by``; it is kept.
    ``version`` counts the changes of this node from 1.
    """

    id: str
    kind: Kind
    content: str
    said_at: datetime
    provenance: tuple[str, ...] = ()
    session_id: str | None = None
    speaker: str | None = None
    role: Role | None = None
    seq: int = 0
    span: tuple[int, int] | None = None
    event: Event | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    superseded_by: str | None = None
    version: int = 1
    metadata: Metadata = field(default_factory=lambda: _NO_METADATA)

    def __post_init__(self) -> None:
        check_name("node id", self.id)
        if self.kind not in KINDS:
            raise InvalidInput("kind", f"{self.kind!r} is unknown; known: {', '.join(KINDS)}")
        check_text("content", self.content)
        check_time("said_at", self.said_at)
        for item in self.provenance:
            check_name("provenance", item)
        for name in ("session_id", "speaker", "superseded_by"):
            value = getattr(self, name)
            if value is not None:
                check_name(name, value)
        for name in ("valid_from", "valid_to"):
            moment = getattr(self, name)
            if moment is not None:
                check_time(name, moment)
        object.__setattr__(self, "metadata", check_metadata(self.metadata))

    def valid_at(self, moment: datetime) -> bool:
        """Whether this was believed at ``moment``."""
        start = self.valid_from if self.valid_from is not None else self.said_at
        return start <= moment and (self.valid_to is None or moment < self.valid_to)

    def with_(self, **changes: object) -> MemoryNode:
        """A copy with some fields replaced and checked anew."""
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Clue:
    """Text from a :class:`~memoryscope_rag.ports.HistoryMemory`, used as one more query.

    ``provenance`` lists ids of messages that it leans on, ``blocks`` the numbers of the blocks of
    a beacon memory; both are empty where nothing that is remembered echoes it.
    """

    text: str
    kind: ClueKind
    weight: float = 1.0
    provenance: tuple[str, ...] = ()
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ScorePart:
    """One signal's share in an item's score: ``value`` (standardised) × ``weight``."""

    signal: str
    value: float
    weight: float

    @property
    def contribution(self) -> float:
        """What this signal added to the score."""
        return self.value * self.weight


@dataclass(frozen=True, slots=True)
class EvidenceItem:
    """One node that was found, with what makes it readable.

    ``before`` and ``after`` are the neighbouring turns of its session. ``packed`` tells whether
    it is in the packed text. ``outdated``: what this turn told is not true any more, as later ones
    say; it is ranked lower and marked in the text. ``parts`` and ``found_by`` are filled when
    ``explain`` was asked for.
    """

    node: MemoryNode
    score: float
    before: tuple[Message, ...] = ()
    after: tuple[Message, ...] = ()
    packed: bool = True
    outdated: bool = False
    parts: tuple[ScorePart, ...] = ()
    found_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What ``retrieve`` returns.

    ``items`` are in order of score. ``text`` is the packed block for a prompt, in time order,
    within the token budget. ``left_out`` names what a deadline or a failure kept from running.
    ``timings`` are milliseconds a step. ``profile`` is what was done in the end. ``clues`` led the
    search, the first is ``clue 1`` in an item's ``found_by``; ``unsupported`` counts those that
    nothing in memory echoes, which did not.
    """

    query: str
    items: tuple[EvidenceItem, ...]
    text: str
    tokens: int
    intervals: tuple[Interval, ...] = ()
    left_out: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    profile: Profile = "fast"
    clues: tuple[Clue, ...] = ()
    unsupported: int = 0

    def __iter__(self) -> Iterator[EvidenceItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def utc_now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)
