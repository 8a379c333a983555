"""Times of day: clock times, parts of the day, and how they land on a civil day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from typing import Literal

from memoryscope_rag.schema import Grain
from memoryscope_rag.temporal.calendar import Stretch, add_days, add_seconds, days
from memoryscope_rag.temporal.relative import at_hour

DayPart = Literal["dawn", "morning", "noon", "afternoon", "evening", "night"]

HOURS: dict[DayPart, tuple[int, int]] = {
    "dawn": (0, 6),
    "morning": (6, 12),
    "noon": (11, 14),
    "afternoon": (12, 18),
    "evening": (17, 24),
    "night": (20, 28),
}
"""First hour and hour after the last; wider than most dictionaries, to lose no memory at an edge.
Hours from 24 on belong to the next morning."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day. ``sure`` tells that the half of the day was said."""

    hour: int
    minute: int = 0
    second: int = 0
    sure: bool = False
    grain: Grain = Grain.HOUR

    def in_half(self, afternoon: bool) -> Clock:
        """The same face of the clock in the named half of the day."""
        hour = self.hour % 12 + 12 * afternoon if self.hour <= 12 else self.hour
        return replace(self, hour=hour, sure=True)

    def in_part(self, part: DayPart) -> Clock:
        """The reading that lies in a part of the day: 7 in the evening is 19 h, 1 at night 25 h."""
        if self.sure or self.hour > 12:
            return self
        if part == "night" and (self.hour == 12 or self.hour < 6):
            return replace(self, hour=self.hour % 12 + 24, sure=True)
        if part == "noon":
            return self.in_half(self.hour < 11 or self.hour == 12)
        if part == "morning" and self.hour == 12:
            return replace(self, sure=True)
        return self.in_half(part in ("afternoon", "evening", "night"))

    def guessed(self) -> Clock:
        """Without a hint people mean the waking day: 1 to 6 is in the afternoon."""
        if self.sure or not 1 <= self.hour <= 6:
            return self
        return self.in_half(True)

    @property
    def seconds(self) -> int:
        """Seconds since midnight."""
        return (self.hour * 60 + self.minute) * 60 + self.second


@dataclass(frozen=True, slots=True)
class ClockSpan:
    """From one time of day to another."""

    start: Clock
    end: Clock


Moment = Clock | ClockSpan | DayPart


def clock(hour: int, minute: int | None = None, second: int | None = None) -> Clock | None:
    """A checked time of day; ``None`` if there is no such time. 24:00 is the next midnight."""
    if hour > 24 or (minute or 0) > 59 or (second or 0) > 59 or (hour == 24 and minute):
        return None
    grain = Grain.HOUR if minute is None else Grain.MINUTE if second is None else Grain.SECOND
    return Clock(hour, minute or 0, second or 0, hour > 12 or hour == 0, grain)


def _moment(day: date, time: Clock, zone: tzinfo | None) -> datetime:
    found = at_hour(day, time.hour, zone)
    return found.replace(minute=time.minute, second=time.second)


def at_clock(day: Stretch, time: Clock, part: DayPart | None = None) -> Stretch:
    """The hour, minute or second of ``day`` that ``time`` names."""
    time = time.in_part(part) if part else time.guessed()
    begin = _moment(day.first, time, day.start.tzinfo if day.start else None)
    length = {Grain.HOUR: 3600, Grain.MINUTE: 60, Grain.SECOND: 1}[time.grain]
    return Stretch(begin, add_seconds(begin, length), time.grain)


def at_span(day: Stretch, span: ClockSpan, part: DayPart | None = None) -> Stretch:
    """From one clock time of ``day`` to another; an end before the start is on the next day.

    The half of the day said at the end holds for the start too ("2 to 4 pm"), if that keeps the
    order; an end without one follows the start by less than twelve hours where it can.
    """
    start, end = span.start, span.end
    if part:
        start, end = start.in_part(part), end.in_part(part)
    elif not start.sure and end.sure and end.hour >= 12:
        later = start.in_half(True)
        start = later if later.seconds < end.seconds else replace(start, sure=True)
    elif not start.sure:
        start = replace(start, sure=True) if end.sure else start.guessed()
    if not end.sure and end.seconds <= start.seconds and end.hour <= 12:
        end = end.in_half(True)
    zone = day.start.tzinfo if day.start else None
    begin, finish = _moment(day.first, start, zone), _moment(day.first, end, zone)
    if finish <= begin:
        finish = finish + timedelta(days=1)
    return Stretch(begin, finish, min(start.grain, end.grain, key=list(Grain).index))


def at_part(day: Stretch, part: DayPart) -> Stretch:
    """A part of a civil day; of a longer stretch it is the stretch itself."""
    if day.grain is not Grain.DAY:
        return day
    zone = day.start.tzinfo if day.start else None
    first, after = HOURS[part]
    return Stretch(
        at_hour(day.first, first, zone), at_hour(day.first, after, zone), Grain.PART_OF_DAY
    )


def at(day: Stretch, moment: Moment, part: DayPart | None = None) -> Stretch:
    """``day`` narrowed to a time of day; ``ValueError`` unless it is a single day."""
    if day.grain not in (Grain.DAY, Grain.PART_OF_DAY):
        raise ValueError("a clock time needs a day")
    day = days(
        day.first, add_days(day.first, 1), Grain.DAY, day.start.tzinfo if day.start else None
    )
    if isinstance(moment, Clock):
        return at_clock(day, moment, part)
    if isinstance(moment, ClockSpan):
        return at_span(day, moment, part)
    return at_part(day, moment)


def nearest(now: datetime, prefer_past: bool, build: Callable[[date], Stretch]) -> Stretch:
    """The occurrence of a time of day that is nearest to now on the preferred side."""
    found = build(now.date())
    if found.start is None or found.end is None:
        raise ValueError("open time")
    if prefer_past and found.start > now:
        return build(add_days(now.date(), -1))
    if not prefer_past and found.end <= now:
        return build(add_days(now.date(), 1))
    return found
