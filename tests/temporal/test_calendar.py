"""Civil arithmetic against the calendar itself."""

from __future__ import annotations

import calendar as reference
from datetime import UTC, date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoryscope_rag.temporal.calendar import (
    Unit,
    add_business_days,
    add_days,
    add_months,
    days,
    iso_week,
    nth_weekday,
    unit_around,
)
from memoryscope_rag.temporal.holidays import CHINESE, ENGLISH, by_name, easter
from memoryscope_rag.temporal.lunar import solar
from memoryscope_rag.temporal.numbers import chinese
from memoryscope_rag.temporal.relative import half_of, part_of, units_in

DAYS = st.dates(date(1600, 1, 1), date(2400, 12, 31))
TILING: tuple[Unit, ...] = (
    "day", "week", "month", "quarter", "season", "half", "year", "decade", "century",
)  # fmt: skip


@given(DAYS, st.sampled_from(TILING))
def test_l2_units_tile(day: date, unit: Unit) -> None:
    here = unit_around(day, unit, UTC)
    assert here.first <= day < here.after
    assert unit_around(day, unit, UTC, 1).start == here.end
    assert unit_around(day, unit, UTC, -1).end == here.start
    assert unit_around(here.first, unit, UTC) == here
    assert unit_around(add_days(here.after, -1), unit, UTC) == here


@given(DAYS)
def test_l2_weeks_are_iso_weeks(day: date) -> None:
    week = unit_around(day, "week", UTC)
    assert week.first.weekday() == 0
    assert (week.after - week.first).days == 7
    year, number, _ = day.isocalendar()
    assert iso_week(year, number, UTC) == week
    weekend = unit_around(day, "weekend", UTC)
    assert [weekend.first.weekday(), add_days(weekend.after, -1).weekday()] == [5, 6]
    assert weekend.end == week.end


@given(DAYS)
def test_l2_months_and_leap_days(day: date) -> None:
    month = unit_around(day, "month", UTC)
    assert (month.after - month.first).days == reference.monthrange(day.year, day.month)[1]
    year = unit_around(day, "year", UTC)
    assert (year.after - year.first).days == 365 + reference.isleap(day.year)


@given(DAYS, st.integers(-600, 600))
def test_l2_add_months(day: date, count: int) -> None:
    moved = add_months(day, count)
    assert (moved.year * 12 + moved.month) - (day.year * 12 + day.month) == count
    last = reference.monthrange(moved.year, moved.month)[1]
    assert moved.day == min(day.day, last)


@given(DAYS, st.integers(-40, 40))
def test_l2_business_days(day: date, count: int) -> None:
    moved, step = day, 1 if count >= 0 else -1
    left = abs(count)
    while left:
        moved += timedelta(days=step)
        left -= moved.weekday() < 5
    found = add_business_days(day, count)
    # From a weekend a whole number of weeks keeps the weekday.
    assert found == moved or (day.weekday() > 4 and count % 5 == 0)


@given(st.integers(1600, 2400), st.integers(1, 12), st.integers(0, 6), st.integers(1, 4))
def test_l2_nth_weekday(year: int, month: int, weekday: int, nth: int) -> None:
    wanted = [
        date(year, month, day)
        for day in range(1, reference.monthrange(year, month)[1] + 1)
        if date(year, month, day).weekday() == weekday
    ]
    assert nth_weekday(year, month, weekday, nth) == wanted[nth - 1]
    assert nth_weekday(year, month, weekday, -1) == wanted[-1]


@given(DAYS, st.sampled_from(["month", "quarter", "year", "decade"]))
def test_parts_and_halves(day: date, unit: Unit) -> None:
    whole = unit_around(day, unit, UTC)
    assert half_of(whole, False).end == half_of(whole, True).start
    assert half_of(whole, False).start == whole.start
    assert half_of(whole, True).end == whole.end
    assert part_of(whole, "early").start == whole.start
    assert part_of(whole, "late").end == whole.end


@given(DAYS)
def test_counted_weeks_are_those_of_the_iso_year(day: date) -> None:
    year = unit_around(day, "year", UTC)
    assert units_in(year, "week", 1) == iso_week(day.year, 1, UTC)
    last = date(day.year, 12, 28).isocalendar().week
    assert units_in(year, "week", -1) == iso_week(day.year, last, UTC)
    assert units_in(year, "month", -1, 4).first == date(day.year, 9, 1)


@pytest.mark.parametrize(
    ("year", "month", "day"),
    [
        (1990, 4, 15),
        (2000, 4, 23),
        (2008, 3, 23),
        (2011, 4, 24),
        (2019, 4, 21),
        (2024, 3, 31),
        (2025, 4, 20),
        (2038, 4, 25),
    ],
)
def test_easter(year: int, month: int, day: int) -> None:
    assert easter(year) == date(year, month, day)


@pytest.mark.parametrize(
    ("year", "spring", "autumn"),
    [
        (2000, (2, 5), (9, 12)),
        (2012, (1, 23), (9, 30)),
        (2020, (1, 25), (10, 1)),
        (2023, (1, 22), (9, 29)),
        (2024, (2, 10), (9, 17)),
        (2025, (1, 29), (10, 6)),
        (2026, (2, 17), (9, 25)),
    ],
)
def test_lunar_days(year: int, spring: tuple[int, int], autumn: tuple[int, int]) -> None:
    assert solar(year, 1, 1) == date(year, *spring)
    assert solar(year, 8, 15) == date(year, *autumn)


def test_lunar_years_join() -> None:
    for year in range(1990, 2060):
        assert add_days(solar(year, 12, -1), 1) <= solar(year + 1, 1, 1)
        assert date(year, 1, 20) < solar(year, 1, 1) < date(year, 2, 22)
    with pytest.raises(ValueError, match="not in the table"):
        solar(2061, 1, 1)


def test_every_holiday_has_a_day() -> None:
    for rule in [*by_name(ENGLISH).values(), *by_name(CHINESE).values()]:
        for year in range(1991, 2060):
            assert abs(rule(year).year - year) <= 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("十", 10),
        ("十二", 12),
        ("二十三", 23),
        ("一百零五", 105),
        ("二〇二三", 2023),
        ("两", 2),
        ("廿八", 28),
        ("12", 12),
        ("两千", 2000),
    ],
)
def test_chinese_numbers(text: str, value: int) -> None:
    assert chinese(text) == value


def test_an_unnatural_end_is_refused() -> None:
    with pytest.raises((ValueError, OverflowError)):
        days(
            date(9999, 12, 31),
            add_days(date(9999, 12, 31), 1),
            unit_around(date(2000, 1, 1), "day", UTC).grain,
            UTC,
        )
