"""Times as they are written into a fact, and as a model writes them. Pure functions."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.schema import Event, Grain, Interval

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_MONTHLY = {Grain.MONTH, Grain.QUARTER, Grain.SEASON}
_YEARLY = {Grain.YEAR, Grain.DECADE, Grain.CENTURY}
_TIMED = {Grain.HOUR, Grain.MINUTE, Grain.SECOND}
_ISO = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:[T ](?P<hour>\d\d):(?P<minute>\d\d)(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?)?)?"
)


def written(event: Event, language: str) -> str:
    """When ``event`` is, in English or Chinese ("zh") and no finer than its grain.

    "7 May 2023", "May 2023", "6 May 2023 to 7 May 2023", "since 2019"; times of day are those of
    the interval's zone.
    """
    chinese = language == "zh"
    start, end = event.interval.start, event.interval.end
    first = None if start is None else _moment(start, event.grain, chinese)
    last = None
    if end is not None:
        last = _moment(end - timedelta(microseconds=1), event.grain, chinese)
    if event.grain in _TIMED and start is not None:
        last = first  # "15:00 to 15:59" says no more than "15:00"
        if end is not None and end.date() != start.date() and end - start > timedelta(hours=1):
            last = _moment(end, event.grain, chinese)
    if first is None:
        return f"截至{last}" if chinese else f"until {last}"
    if last is None:
        return f"自{first}" if chinese else f"since {first}"
    if first == last:
        return first
    return f"{first}至{last}" if chinese else f"{first} to {last}"


def _moment(at: datetime, grain: Grain, chinese: bool) -> str:
    if grain in _YEARLY:
        return f"{at.year}年" if chinese else str(at.year)
    if grain in _MONTHLY:
        return f"{at.year}年{at.month}月" if chinese else f"{_MONTHS[at.month - 1]} {at.year}"
    if chinese:
        day = f"{at.year}年{at.month}月{at.day}日"
    else:
        day = f"{at.day} {_MONTHS[at.month - 1]} {at.year}"
    if grain not in _TIMED:
        return day
    return f"{day}{at:%H:%M}" if chinese else f"{day}, {at:%H:%M}"


def iso_event(text: str, zone: tzinfo | None) -> Event | None:
    """The year, month, day or minute that ``text`` names in ISO 8601; ``None`` for anything else.

    An offset in it is passed over: what people say is meant in their own zone.
    """
    match = _ISO.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute = (
        None if part is None else int(part) for part in match.groups()
    )
    assert year is not None  # the pattern has it
    try:
        start = datetime(year, month or 1, day or 1, hour or 0, minute or 0, tzinfo=zone)
        if month is None:
            end, grain = start.replace(year=year + 1), Grain.YEAR
        elif day is None:
            later = year + month // 12
            end, grain = start.replace(year=later, month=month % 12 + 1), Grain.MONTH
        elif hour is None:
            # a calendar day of the zone, which may have 23 or 25 hours
            end, grain = start + timedelta(days=1), Grain.DAY
        else:
            end, grain = start + timedelta(minutes=1), Grain.MINUTE
        return Event(Interval(start, end), grain)
    except (ValueError, OverflowError, InvalidInput):  # 30 February, the year 0 or 9999
        return None
