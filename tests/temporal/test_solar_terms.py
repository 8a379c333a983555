"""Solar terms against published calendars."""

from __future__ import annotations

from datetime import date

import pytest

from memoryscope_rag.temporal.solar_terms import solar_term

DEGREES = (315, 0, 15, 45, 90, 135, 180, 225, 270)
DAYS = {
    2021: "02-03 03-20 04-04 05-05 06-21 08-07 09-23 11-07 12-21",
    2023: "02-04 03-21 04-05 05-06 06-21 08-08 09-23 11-08 12-22",
    2024: "02-04 03-20 04-04 05-05 06-21 08-07 09-22 11-07 12-21",
    2025: "02-03 03-20 04-04 05-05 06-21 08-07 09-23 11-07 12-21",
}
"""Start of spring, spring equinox, Qingming, start of summer, summer solstice, start of autumn,
autumn equinox, start of winter and winter solstice in the Chinese calendar."""


@pytest.mark.parametrize("year", DAYS)
def test_days_of_published_calendars(year: int) -> None:
    expected = [date.fromisoformat(f"{year}-{day}") for day in DAYS[year].split()]
    assert [solar_term(year, degrees) for degrees in DEGREES] == expected


@pytest.mark.parametrize("year", range(1990, 2061))
def test_qingming_by_its_closed_form(year: int) -> None:
    # [Y × 0.2422 + C] − [Y / 4], which holds from 1990 to 2060 by PyEphem 4.2.1
    short = year % 100
    day = int(short * 0.2422 + (5.59 if year < 2000 else 4.81)) - short // 4
    assert solar_term(year, 15) == date(year, 4, day)


def test_one_moment_is_two_days() -> None:
    # the solstice of 2021 was at 15:59 UTC, that of 2023 at 03:27
    assert solar_term(2021, 270, hours=0) == date(2021, 12, 21)
    assert solar_term(2023, 270, hours=-8) == date(2023, 12, 21)
    assert solar_term(2023, 270) == date(2023, 12, 22)


@pytest.mark.parametrize("year", [1899, 2101])
def test_only_known_years(year: int) -> None:
    with pytest.raises(ValueError, match="no solar terms"):
        solar_term(year, 0)
