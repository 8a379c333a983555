"""Dates with parts left open ("May", "the 4th", "Monday"), and how the open parts are filled.

A part that was said decides; what was not said is taken from the nearest past or future, as
:class:`Context` prefers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, tzinfo
from typing import Literal

from memoryscope_rag.schema import Grain
from memoryscope_rag.temporal.calendar import (
    Stretch,
    add_days,
    add_months,
    days,
    unit_around,
)
from memoryscope_rag.temporal.holidays import Rule

Prefer = Literal["past", "future", "nearest"]
"""Where a time lies of which too little was said. ``nearest``: a date without its year on the side
where it is nearer, all else in the past."""

_MONTHS_TRIED = 60
"""Enough to meet a Monday the 31st or the 29th of February."""


@dataclass(frozen=True, slots=True)
class Context:
    """What an expression is read against."""

    now: datetime
    prefer: Prefer
    inclusive: bool = True
    """Whether the day, month or year that ends a range belongs to it."""

    @property
    def today(self) -> date:
        """The civil day of the reference."""
        return self.now.date()

    @property
    def past(self) -> bool:
        """Whether of two sides the earlier one is meant."""
        return self.prefer != "future"

    @property
    def zone(self) -> tzinfo | None:
        """The reference's time zone."""
        return self.now.tzinfo

    def day(self, day: date) -> Stretch:
        """One civil day."""
        return days(day, add_days(day, 1), Grain.DAY, self.zone)

    def nearest(
        self,
        build: Callable[[int], Stretch],
        here: int = 0,
        reach: int = 8,
        *,
        today_counts: bool = True,
    ) -> Stretch:
        """The stretch the preference asks for among ``build(here - reach … here + reach)``.

        They must come in order of time; keys that have none (``ValueError``) are passed over.
        Past: the last that began before now, unless ``today_counts`` is false and it holds now.
        Future: the first that ends after now. Raises ``ValueError`` if there is none.
        """
        past = self.past
        step = -1 if past else 1
        for key in range(here - step, here + step * (reach + 1), step):
            try:
                stretch = build(key)
            except (ValueError, OverflowError):
                continue
            over = stretch.after <= self.today
            if not past and not over:
                return stretch
            if past and stretch.first <= self.today and (today_counts or over):
                return stretch
        raise ValueError("no such date near the reference")

    def yearly(self, build: Callable[[int], Stretch]) -> Stretch:
        """The nearest year's ``build(year)``, on the preferred side if there is one."""
        if self.prefer != "nearest":
            return self.nearest(build, self.today.year)
        before = replace(self, prefer="past").yearly(build)
        after = replace(self, prefer="future").yearly(build)
        return after if after.first - self.today < self.today - before.first else before

    def holiday(self, rule: Rule, year: int | None = None) -> Stretch:
        """The holiday of a year, else the nearest one."""
        if year is not None:
            return self.day(rule(year))
        return self.yearly(lambda near: self.day(rule(near)))


@dataclass(frozen=True, slots=True)
class Fields:
    """The parts of a date that were said; ``weekday`` counts from Monday 0."""

    year: int | None = None
    month: int | None = None
    day: int | None = None
    weekday: int | None = None

    def borrow(self, other: Fields) -> Fields:
        """These fields with the coarser ones filled in from the other side of a range."""
        if self.year is not None or (self.weekday is not None and self.day is None):
            return self
        month = other.month if self.month is None and self.day is not None else self.month
        return replace(self, year=other.year, month=month)

    def resolve(self, context: Context) -> Stretch:
        """The stretch meant; ``ValueError`` if there is no such date."""
        if self.day is not None:
            if self.month is None:
                return self._day_of_some_month(context)
            if self.year is not None:
                return context.day(date(self.year, self.month, self.day))
            return self._day_of_some_year(context, self.month, self.day)
        if self.month is not None:
            month = self.month
            if self.year is not None:
                return unit_around(date(self.year, month, 1), "month", context.zone)
            return context.yearly(
                lambda year: unit_around(date(year, month, 1), "month", context.zone)
            )
        if self.year is not None:
            return unit_around(date(self.year, 1, 1), "year", context.zone)
        if self.weekday is None:
            raise ValueError("an empty date")
        week = add_days(context.today, self.weekday - context.today.weekday())
        return context.nearest(
            lambda n: context.day(add_days(week, 7 * n)), reach=2, today_counts=False
        )

    def _day_of_some_month(self, context: Context) -> Stretch:
        day, begin = self.day or 1, date(context.today.year, context.today.month, 1)

        def build(offset: int) -> Stretch:
            found = add_months(begin, offset).replace(day=day)
            if self.weekday is not None and found.weekday() != self.weekday:
                raise ValueError("another weekday")
            return context.day(found)

        return context.nearest(build, reach=_MONTHS_TRIED)

    def _day_of_some_year(self, context: Context, month: int, day: int) -> Stretch:
        found = context.yearly(lambda year: context.day(date(year, month, day)))
        if self.weekday is None or found.first.weekday() == self.weekday:
            return found
        # "Tuesday May 9" names its year by the weekday, if a neighbouring year fits.
        for offset in (1, -1):
            try:
                near = date(found.first.year + offset, month, day)
            except ValueError:
                continue
            if near.weekday() == self.weekday:
                return context.day(near)
        return found


Point = Fields | Stretch
"""Something a grammar rule has read: a date still open, or a stretch that is settled."""


Read = tuple[int, int, Stretch]
"""First character of an expression, the one after its last, and the time it names."""


def settle(point: Point, context: Context) -> Stretch:
    """The stretch a grammar result stands for."""
    return point.resolve(context) if isinstance(point, Fields) else point


def longest_reading(
    rules: Iterable[Callable[[int], tuple[Point, int] | None]], i: int, context: Context
) -> tuple[Stretch, int] | None:
    """The longest of what the rules read at ``i``, the first of equals.

    A rule that ends outside the calendar has read nothing.
    """
    best: tuple[Stretch, int] | None = None
    for rule in rules:
        try:
            found = rule(i)
            settled = (settle(found[0], context), found[1]) if found else None
        except (ValueError, OverflowError):
            continue
        if settled and (best is None or settled[1] > best[1]):
            best = settled
    return best


def join(left: Point, right: Point, context: Context) -> Stretch:
    """From the start of ``left`` to the end of ``right`` (or its start, if not inclusive).

    Each side lends the other the year or month it lacks: "5 to 7 May", "Nov to Feb 2017",
    "from next Monday to Friday". A clock time ends where it stands. Raises ``ValueError`` if the
    end is not after the start.
    """
    if isinstance(left, Fields) and isinstance(right, Fields):
        first, last = left.borrow(right), right.borrow(left)
        if (
            left.month is None
            and first.month
            and first.day
            and last.day
            and (first.month == last.month and first.day > last.day)
        ):  # "from the 27th to the 3rd of April" begins in March
            first = replace(first, month=(first.month - 2) % 12 + 1)
        if first.year is None and last.year is None and first.month and last.month:
            # while its last month runs a range is not over, wherever it is said to end
            whole = replace(context, inclusive=True)
            year = whole.yearly(lambda near: _span(first, last, near, near, whole)).first.year
            return _span(first, last, year, year, context)
        if (first.day and first.month is None) or (left.weekday is not None and not left.day):
            begin = first.resolve(context)
            return _between(begin, _following(last, begin, context), context)
        return _span(first, last, first.year, last.year, context, left.year is None)
    if isinstance(left, Fields):
        ending = settle(right, context)
        if left.year is None and ending.start is not None:
            before = replace(context, now=ending.start, prefer="past")
            return _between(left.resolve(before), ending, context)
        return _between(settle(left, context), ending, context)
    return _between(left, _following(right, left, context), context)


def _following(point: Point, begin: Stretch, context: Context) -> Stretch:
    if isinstance(point, Fields) and point.year is None and begin.start is not None:
        return point.resolve(replace(context, now=begin.start, prefer="future"))
    return settle(point, context)


def _span(
    first: Fields,
    last: Fields,
    start_year: int | None,
    end_year: int | None,
    context: Context,
    start_moves: bool = False,
) -> Stretch:
    """Join two dates of known years; the one whose year was not said gives way."""
    begin = replace(first, year=start_year).resolve(context)
    end = replace(last, year=end_year).resolve(context)
    if begin.first >= end.after and start_year is not None and end_year is not None:
        if start_moves:
            begin = replace(first, year=start_year - 1).resolve(context)
        else:
            end = replace(last, year=end_year + 1).resolve(context)
    return _between(begin, end, context)


CLOCK = (Grain.HOUR, Grain.MINUTE, Grain.SECOND)


def _is_last_part(stretch: Stretch) -> bool:
    """Whether this is "the end of" a month or year, which ends a range in either reading."""
    if stretch.start is None or stretch.end is None or stretch.end.day != 1:
        return False
    length = stretch.after - stretch.first
    if stretch.grain is Grain.WEEK:
        return length.days > 7
    return stretch.grain is Grain.MONTH and length.days > 31 and stretch.end.month == 1


def _between(left: Stretch, right: Stretch, context: Context) -> Stretch:
    ends_whole = context.inclusive or _is_last_part(right)
    end = right.end if ends_whole and right.grain not in CLOCK else right.start
    if left.start is None or end is None or end <= left.start:
        raise ValueError("the range ends before it starts")
    order = list(Grain)
    return Stretch(left.start, end, min(left.grain, right.grain, key=order.index))
