"""Arithmetic relative to the reference: last and next units, "ago", parts and ordinals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, tzinfo
from typing import Literal

from memoryscope_rag.schema import Grain
from memoryscope_rag.temporal.calendar import (
    DAYS_IN,
    GRAINS,
    MONTHS_IN,
    SECONDS_IN,
    Stretch,
    Unit,
    add_days,
    add_months,
    add_seconds,
    days,
    midnight,
    step,
    unit_around,
    unit_start,
)
from memoryscope_rag.temporal.fields import Context

Part = Literal["early", "mid", "late"]

_MAX = 10**7
"""Counts beyond this lie outside the calendar in any unit that matters."""


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time as it was said; ``unit`` is the finest one."""

    months: int = 0
    days: int = 0
    business_days: int = 0
    seconds: float = 0
    unit: Unit = "day"

    def plus(self, other: Duration) -> Duration:
        """Both one after the other."""
        return Duration(
            self.months + other.months,
            self.days + other.days,
            self.business_days + other.business_days,
            self.seconds + other.seconds,
            other.unit,
        )


def duration(count: float, unit: Unit) -> Duration:
    """``count`` units; halves of a day or longer are rounded to days or months."""
    if count > _MAX:
        raise OverflowError("no such length of time")
    if unit in SECONDS_IN:
        return Duration(seconds=count * SECONDS_IN[unit], unit=unit)
    if unit == "business_day":
        return Duration(business_days=int(count), unit=unit)
    if unit in DAYS_IN:
        length = count * DAYS_IN[unit]
        if length != int(length) and unit == "day":
            return Duration(seconds=length * 86400, unit="hour")
        return Duration(days=int(length), unit=unit)
    months = count * MONTHS_IN[unit]
    return Duration(months=int(months), days=int((months - int(months)) * 30), unit=unit)


def moved(day: date, length: Duration, sign: int) -> date:
    """``day`` moved by the civil part of ``length``."""
    day = add_days(add_months(day, sign * length.months), sign * length.days)
    return step(day, "business_day", sign * length.business_days) if length.business_days else day


def shifted(context: Context, length: Duration, sign: int, base: Stretch | None = None) -> Stretch:
    """The moment or day that lies ``length`` before (-1) or after (+1) the base, else now.

    The answer is a civil day, unless seconds to hours were named: then it is that second, minute
    or hour of elapsed time.
    """
    clocked = base is not None and base.grain in (Grain.HOUR, Grain.MINUTE, Grain.SECOND)
    start = context.now if base is None else base.start
    if start is None:
        raise ValueError("nothing to count from")
    if not length.seconds:
        if clocked and base is not None and base.end is not None:
            begin = start.replace(tzinfo=None).time()
            moment = datetime.combine(moved(start.date(), length, sign), begin, context.zone)
            return Stretch(moment, add_seconds(moment, SECONDS_IN["minute"]), Grain.MINUTE)
        return context.day(moved(start.date(), length, sign))
    day = moved(start.date(), length, sign)
    moment = (
        start if day == start.date() else start.replace(year=day.year, month=day.month, day=day.day)
    )
    moment = add_seconds(moment, sign * length.seconds)
    unit: Unit = "second" if length.unit == "second" else "minute"
    return Stretch(moment, add_seconds(moment, SECONDS_IN[unit]), GRAINS[length.unit])


def rolling(context: Context, length: Duration, sign: int, *, today: bool = False) -> Stretch:
    """The stretch of ``length`` before or after now, in whole days where days or longer.

    Future days count from tomorrow, unless ``today`` belongs to it ("within 3 days").
    """
    if length.seconds:
        edge = shifted(context, length, sign).start
        ends = (edge, context.now) if sign < 0 else (context.now, edge)
        return Stretch(ends[0], ends[1], GRAINS[length.unit])
    if sign < 0:
        begin, after = moved(context.today, length, -1), context.today
    elif length.business_days:
        begin = step(context.today, "business_day", 1)
        after = add_days(step(context.today, "business_day", length.business_days), 1)
    else:
        begin = context.today if today else add_days(context.today, 1)
        after = moved(begin, length, 1)
    return days(begin, after, GRAINS[length.unit], context.zone)


def whole(context: Context, unit: Unit, offset: int, count: int = 1) -> Stretch:
    """``count`` calendar units from the one ``offset`` after the present one."""
    if abs(offset) > _MAX or count > _MAX:
        raise OverflowError("no such unit")
    if unit in SECONDS_IN:
        size = SECONDS_IN[unit]
        if offset < 0:
            begin = add_seconds(context.now, offset * size)
        elif offset > 0:
            begin = add_seconds(context.now, (offset - 1) * size)
        else:
            keep = {"second": {}, "minute": {"second": 0}, "hour": {"minute": 0, "second": 0}}
            begin = context.now.replace(microsecond=0, **keep[unit])  # type: ignore[arg-type]
        return Stretch(begin, add_seconds(begin, size * count), GRAINS[unit])
    if unit == "business_day":
        day = step(context.today, unit, offset)
        return days(day, add_days(day, 1), Grain.DAY, context.zone)
    first = unit_around(context.today, unit, context.zone, offset)
    last = unit_around(context.today, unit, context.zone, offset + count - 1)
    return Stretch(first.start, last.end, GRAINS[unit])


def part_of(stretch: Stretch, part: Part) -> Stretch:
    """The early, middle or late part of a stretch.

    Months are cut at the 11th, 16th and 21st and years after April and August, as Microsoft's
    Recognizers-Text do; everything else into thirds of its days.
    """
    first, after = stretch.first, stretch.after
    zone = stretch.start.tzinfo if stretch.start is not None else None
    length = (after - first).days
    if stretch.grain is Grain.DAY:
        hours = {"early": (0, 12), "mid": (10, 14), "late": (12, 24)}[part]
        edges = [at_hour(first, hour, zone) for hour in hours]
        return Stretch(edges[0], edges[1], Grain.PART_OF_DAY)
    if stretch.grain is Grain.MONTH and length <= 31:
        cut = {"early": (0, 15), "mid": (9, 20), "late": (15, length)}[part]
        begin, end = add_days(first, cut[0]), add_days(first, cut[1])
        return days(begin, end, Grain.WEEK, zone)
    months = (after.year - first.year) * 12 + after.month - first.month
    if stretch.grain in (Grain.YEAR, Grain.DECADE, Grain.CENTURY, Grain.QUARTER, Grain.SEASON):
        nth = {"early": 0, "mid": 1, "late": 2}[part]
        begin = add_months(first, months * nth // 3)
        end = add_months(first, months * (nth + 1) // 3)
        return days(begin, end, Grain.MONTH if months <= 12 else Grain.YEAR, zone)
    third = {
        "early": (0, length // 2),
        "mid": (length // 3, -(-length * 2 // 3)),
        "late": (length // 2, length),
    }[part]
    return days(add_days(first, third[0]), add_days(first, third[1]), Grain.DAY, zone)


def at_hour(day: date, hour: int, zone: tzinfo | None) -> datetime:
    """The full hour of a civil day; 24 and more fall on the days after."""
    extra, hour = divmod(hour, 24)
    return midnight(add_days(day, extra), zone).replace(hour=hour)


def half_of(stretch: Stretch, second: bool) -> Stretch:
    """The first or second half of a year, month, week or other stretch of days."""
    first, after = stretch.first, stretch.after
    zone = stretch.start.tzinfo if stretch.start is not None else None
    months = (after.year - first.year) * 12 + after.month - first.month
    if months >= 2 and first.day == 1:
        cut = add_months(first, months // 2)
        grain = Grain.QUARTER if months <= 12 else Grain.YEAR
    else:
        length = (after - first).days
        cut = add_days(first, 15 if stretch.grain is Grain.MONTH else length // 2)
        grain = Grain.WEEK if length > 7 else Grain.DAY
    return days(cut, after, grain, zone) if second else days(first, cut, grain, zone)


def units_in(stretch: Stretch, unit: Unit, nth: int, count: int = 1) -> Stretch:
    """Units ``nth`` (from 1; from the end with -1) to ``nth + count - 1`` inside a stretch.

    A week belongs to the stretch that holds its Thursday (ISO 8601). With a negative ``nth`` the
    ``count`` units end at that one. Raises ``ValueError`` if the stretch does not have them.
    """
    if stretch.start is None or stretch.end is None or not 1 <= count <= _MAX:
        raise ValueError("no such unit")
    zone = stretch.start.tzinfo
    if unit in SECONDS_IN:
        raise ValueError("clock units are not counted")
    first, after = stretch.first, stretch.after
    if unit in ("week", "weekend"):
        probe = 3 if unit == "week" else 5
        begin = add_days(first, (probe - first.weekday()) % 7)
        last = add_days(after, -1)
        ending = add_days(last, -((last.weekday() - probe) % 7))
    elif unit == "business_day":
        begin = first if first.weekday() < 5 else step(first, unit, 1)
        ending = step(after, unit, -1)
    else:
        begin = unit_start(first, unit)
        begin = begin if begin == first else step(begin, unit, 1)
        ending = unit_start(add_days(after, -1), unit)
    start = step(begin, unit, nth - 1) if nth > 0 else step(ending, unit, nth + 2 - count)
    end = step(start, unit, count - 1)
    if start < begin or end > ending:
        raise ValueError(f"it has no such {unit}")
    first_unit = unit_around(start, unit, zone)
    return replace(first_unit, end=unit_around(end, unit, zone).end)


def weekday_in(stretch: Stretch, weekday: int, nth: int) -> date:
    """The ``nth`` (or from the end, -1) such weekday inside a stretch; ``ValueError`` if none."""
    first, last = stretch.first, add_days(stretch.after, -1)
    if nth > 0:
        found = add_days(first, (weekday - first.weekday()) % 7 + 7 * (nth - 1))
    else:
        found = add_days(last, -((last.weekday() - weekday) % 7) + 7 * (nth + 1))
    if not first <= found <= last:
        raise ValueError("it has no such weekday")
    return found
