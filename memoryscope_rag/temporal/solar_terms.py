"""The days on which the sun reaches a longitude: solstices, equinoxes, the Chinese solar terms."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from math import radians, sin

_EPOCH = datetime(2000, 1, 1, 12, tzinfo=UTC)
_TROPICAL_YEAR = 365.2422
_CENTURY = 36_525.0
_YEARS = range(1900, 2101)
BEIJING = 8.0
"""Hours ahead of UTC in which Chinese calendars reckon."""


def longitude(days: float) -> float:
    """The sun's apparent longitude in degrees, ``days`` after noon UTC of 1 January 2000.

    To 0.01°, a quarter of an hour of its way (Meeus, *Astronomical Algorithms*, chapter 25).
    """
    t = days / _CENTURY
    anomaly = radians(357.52911 + 35_999.05029 * t - 0.0001537 * t * t)
    centre = (
        (1.914602 - 0.004817 * t - 0.000014 * t * t) * sin(anomaly)
        + (0.019993 - 0.000101 * t) * sin(2 * anomaly)
        + 0.000289 * sin(3 * anomaly)
    )
    mean = 280.46646 + 36_000.76983 * t + 0.0003032 * t * t
    node = radians(125.04 - 1_934.136 * t)
    return (mean + centre - 0.00569 - 0.00478 * sin(node)) % 360


def solar_term(year: int, degrees: float, hours: float = BEIJING) -> date:
    """The day in ``year``, ``hours`` ahead of UTC, on which the sun reaches ``degrees``.

    Spring begins at 0, the Chinese one at 315. Raises ``ValueError`` before 1900 and after 2100.
    """
    if year not in _YEARS:
        raise ValueError(f"no solar terms of {year}")
    begin = (datetime(year, 1, 1, tzinfo=UTC) - _EPOCH) / timedelta(days=1)
    # the sun stands at about 280° when the year begins
    days = begin + (degrees - 280) % 360 / 360 * _TROPICAL_YEAR
    for _ in range(4):
        missing = (degrees - longitude(days) + 180) % 360 - 180
        days += missing / 360 * _TROPICAL_YEAR
    moment = _EPOCH + timedelta(days=days)
    return moment.astimezone(timezone(timedelta(hours=hours))).date()
