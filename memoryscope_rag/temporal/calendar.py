"""Civil arithmetic: days, ISO weeks, months and longer stretches of one time zone.

A :class:`Stretch` starts and ends at wall-clock moments, so a day is 23 or 25 hours long where
the clocks change. Every function raises ``ValueError`` or ``OverflowError`` beyond the years 1 to
9999; :func:`memoryscope_rag.temporal.find_times` drops such expressions.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal

from memoryscope_rag.schema import Grain, Recurrence

Unit = Literal[
    "second",
    "minute",
    "hour",
    "day",
    "business_day",
    "weekend",
    "week",
    "month",
    "quarter",
    "half",
    "season",
    "year",
    "decade",
    "century",
]

GRAINS: dict[Unit, Grain] = {
    "second": Grain.SECOND,
    "minute": Grain.MINUTE,
    "hour": Grain.HOUR,
    "day": Grain.DAY,
    "business_day": Grain.DAY,
    "weekend": Grain.WEEKEND,
    "week": Grain.WEEK,
    "month": Grain.MONTH,
    "quarter": Grain.QUARTER,
    "half": Grain.QUARTER,
    "season": Grain.SEASON,
    "year": Grain.YEAR,
    "decade": Grain.DECADE,
    "century": Grain.CENTURY,
}
MONTHS_IN: dict[Unit, int] = {
    "month": 1,
    "quarter": 3,
    "season": 3,
    "half": 6,
    "year": 12,
    "decade": 120,
    "century": 1200,
}
DAYS_IN: dict[Unit, int] = {"day": 1, "week": 7, "weekend": 7}
SECONDS_IN: dict[Unit, int] = {"second": 1, "minute": 60, "hour": 3600}


def units_by_word(table: dict[Unit, str]) -> dict[str, Unit]:
    """Each word of a table of units and their words, with its unit."""
    return {word: unit for unit, words in table.items() for word in words.split()}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Half-open time ``[start, end)`` with its grain; ``None`` leaves a side open."""

    start: datetime | None
    end: datetime | None
    grain: Grain
    recurrence: Recurrence | None = None

    @property
    def first(self) -> date:
        """The civil day it starts on; ``ValueError`` if it has no start."""
        if self.start is None:
            raise ValueError("open start")
        return self.start.date()

    @property
    def after(self) -> date:
        """The civil day that follows it; ``ValueError`` if it has no end."""
        if self.end is None:
            raise ValueError("open end")
        return (self.end - timedelta(microseconds=1)).date() + timedelta(days=1)


def midnight(day: date, zone: tzinfo | None) -> datetime:
    """The moment the civil day begins."""
    return datetime.combine(day, time.min, tzinfo=zone)


def days(first: date, after: date, grain: Grain, zone: tzinfo | None) -> Stretch:
    """The civil days from ``first`` up to but not including ``after``."""
    return Stretch(midnight(first, zone), midnight(after, zone), grain)


def add_days(day: date, count: int) -> date:
    """``day`` moved by whole days."""
    return day + timedelta(days=count)


def add_months(day: date, count: int) -> date:
    """``day`` moved by whole months, held back to the last day of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + count, 12)
    if not 1 <= year <= 9999:
        raise OverflowError(f"year {year} is out of range")
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def add_seconds(moment: datetime, seconds: float) -> datetime:
    """``moment`` moved by elapsed time, not by wall-clock time."""
    return (moment.astimezone(UTC) + timedelta(seconds=seconds)).astimezone(moment.tzinfo)


def unit_start(day: date, unit: Unit) -> date:
    """The first day of the calendar unit around ``day``; a weekend is that of its ISO week.

    Seasons are the meteorological ones of the northern hemisphere: spring starts on 1 March.
    """
    if unit == "week":
        return add_days(day, -day.weekday())
    if unit == "weekend":
        return add_days(day, 5 - day.weekday())
    if unit == "season":
        return add_months(date(day.year, day.month, 1), -(day.month % 3))
    if unit in ("decade", "century"):
        years = MONTHS_IN[unit] // 12
        return date(max(day.year - day.year % years, 1), 1, 1)
    if unit in MONTHS_IN:
        size = MONTHS_IN[unit]
        return date(day.year, (day.month - 1) // size * size + 1, 1)
    return day


def step(day: date, unit: Unit, count: int) -> date:
    """``day`` moved by ``count`` units of a day or longer."""
    if unit == "business_day":
        return add_business_days(day, count)
    if unit in MONTHS_IN:
        return add_months(day, MONTHS_IN[unit] * count)
    return add_days(day, DAYS_IN[unit] * count)


def unit_around(day: date, unit: Unit, zone: tzinfo | None, offset: int = 0) -> Stretch:
    """The calendar unit ``offset`` units after the one around ``day``."""
    start = step(unit_start(day, unit), unit, offset)
    end = add_days(start, 2) if unit == "weekend" else step(start, unit, 1)
    return days(start, end, GRAINS[unit], zone)


def add_business_days(day: date, count: int) -> date:
    """``day`` moved over ``count`` days from Monday to Friday."""
    weeks, rest = divmod(abs(count), 5)
    sign = 1 if count >= 0 else -1
    day = add_days(day, 7 * weeks * sign)
    while rest:
        day = add_days(day, sign)
        rest -= day.weekday() < 5
    return day


def iso_week(year: int, week: int, zone: tzinfo | None) -> Stretch:
    """ISO week ``week`` of ``year``; ``ValueError`` if that year has no such week."""
    start = date.fromisocalendar(year, week, 1)
    return days(start, add_days(start, 7), Grain.WEEK, zone)


def nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    """The ``nth`` (from 1, or from the end with -1) Monday 0 … Sunday 6 of a month."""
    if nth > 0:
        first = date(year, month, 1)
        found = add_days(first, (weekday - first.weekday()) % 7 + 7 * (nth - 1))
    else:
        last = add_days(add_months(date(year, month, 1), 1), -1)
        found = add_days(last, -((last.weekday() - weekday) % 7) + 7 * (nth + 1))
    if found.month != month:
        raise ValueError(f"month {year}-{month} has no such weekday")
    return found
