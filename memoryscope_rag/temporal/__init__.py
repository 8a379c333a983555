"""English and Chinese time expressions as half-open intervals, by rules and tables alone.

>>> from datetime import datetime, UTC
>>> now = datetime(2026, 11, 21, 10, tzinfo=UTC)
>>> [(t.text, t.interval.start.date()) for t in find_times("We met last Friday.", reference=now)]
[('last Friday', datetime.date(2026, 11, 20))]
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.schema import Event, Grain, Interval, Recurrence, check_time
from memoryscope_rag.temporal.chinese import read_chinese
from memoryscope_rag.temporal.english import English
from memoryscope_rag.temporal.fields import Context, Prefer, Read
from memoryscope_rag.temporal.questions import is_question, reading, telling

__all__ = ["TimeExpression", "find_times", "is_question", "reading", "telling", "told_event"]

_HAN = re.compile(r"[\u3400-\u9fff]")
_YEARS = range(2, 9999)
"""Years whose moments every time zone can still write."""


@dataclass(frozen=True, slots=True)
class TimeExpression:
    """A time named in a text: ``text`` is ``input[start:end]``.

    ``interval`` lies in the reference's time zone; a side that was not said is ``None``. With a
    ``recurrence`` it is the nearest occurrence. ``grain`` tells how exact the words were: "two
    months ago" is a day, known to the month.
    """

    text: str
    start: int
    end: int
    interval: Interval
    grain: Grain
    recurrence: Recurrence | None = None

    @property
    def event(self) -> Event:
        """What happens then."""
        return Event(self.interval, self.grain, self.recurrence)


def find_times(
    text: str,
    *,
    reference: datetime,
    prefer: Prefer = "past",
    language: Literal["en", "zh"] | None = None,
    ends: Literal["inclusive", "exclusive"] = "inclusive",
) -> tuple[TimeExpression, ...]:
    """The time expressions of ``text``, in order, none overlapping (the longest wins).

    ``reference`` is the moment the text was written, with the writer's time zone; a naive one
    raises :class:`~memoryscope_rag.errors.InvalidInput`. "On Monday", "in May" and the like are
    taken from the side that ``prefer`` names; ``nearest``, a date without its year from the side
    where it is nearer, all else from the past. "5 to 7 May" and "on or before 7 May" include the
    7th; with ``ends="exclusive"`` they stop where it begins, as Microsoft's Recognizers-Text do.
    Expressions beyond the calendar are left out.
    """
    context = Context(check_time("reference", reference), prefer, ends == "inclusive")
    if prefer not in get_args(Prefer):
        raise InvalidInput("prefer", f"must be 'past', 'future' or 'nearest', not {prefer!r}")
    if ends not in ("inclusive", "exclusive"):
        raise InvalidInput("ends", f"must be 'inclusive' or 'exclusive', not {ends!r}")
    if language not in (None, "en", "zh"):
        raise InvalidInput("language", f"must be 'en', 'zh' or None, not {language!r}")
    found: list[Read] = []
    if language != "zh":
        found += English.of(text, context).read()
    if language == "zh" or (language is None and _HAN.search(text)):
        found += read_chinese(text, context)
    return tuple(_expressions(text, _longest(found)))


def told_event(text: str, said_at: datetime) -> Event | None:
    """When it happens what somebody told at ``said_at``: the first time that ``text`` names."""
    times = find_times(text, reference=said_at, prefer=telling(text))
    return times[0].event if times else None


def _longest(found: list[Read]) -> list[Read]:
    """Of overlapping spans the longest, and of equally long ones the last read (Chinese)."""
    kept: list[Read] = []
    for one in sorted(enumerate(found), key=lambda item: (item[1][0], -item[0])):
        read = one[1]
        if kept and read[0] < kept[-1][1]:
            if read[1] - read[0] > kept[-1][1] - kept[-1][0]:
                kept[-1] = read
            continue
        kept.append(read)
    return kept


def _expressions(text: str, found: Iterable[Read]) -> Iterable[TimeExpression]:
    for start, end, stretch in found:
        sides = [side.year in _YEARS for side in (stretch.start, stretch.end) if side is not None]
        if not sides or not all(sides):
            continue
        try:
            interval = Interval(stretch.start, stretch.end)
        except InvalidInput:  # an hour that the clocks turned back
            continue
        yield TimeExpression(
            text[start:end], start, end, interval, stretch.grain, stretch.recurrence
        )
