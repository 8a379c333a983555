"""What comes back: the rule, and the occurrence nearest to the reference."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from memoryscope_rag.schema import Recurrence
from memoryscope_rag.temporal import find_times

REFERENCE = datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "rule", "first"),
    [
        ("every day", Recurrence("day"), date(2026, 11, 21)),
        ("we run daily", Recurrence("day"), date(2026, 11, 21)),
        ("every Monday", Recurrence("week", weekday=0), date(2026, 11, 16)),
        ("on Mondays", Recurrence("week", weekday=0), date(2026, 11, 16)),
        ("every other Monday", Recurrence("week", 2, weekday=0), date(2026, 11, 16)),
        ("every two weeks", Recurrence("week", 2), date(2026, 11, 16)),
        ("once a month", Recurrence("month"), date(2026, 11, 1)),
        ("every year on May 7", Recurrence("year", month=5, day=7), date(2026, 5, 7)),
        ("May 7 every year", Recurrence("year", month=5, day=7), date(2026, 5, 7)),
        ("each summer", Recurrence("year", month=6), date(2026, 6, 1)),
        ("every Christmas", Recurrence("year", month=12, day=25), date(2025, 12, 25)),
        ("every Easter", Recurrence("year"), date(2026, 4, 5)),
        ("the 1st of every month", Recurrence("month", day=1), date(2026, 11, 1)),
        ("every day at 8am", Recurrence("day", hour=8, minute=0), date(2026, 11, 21)),
        ("annually", Recurrence("year"), date(2026, 1, 1)),
        ("每天", Recurrence("day"), date(2026, 11, 21)),
        ("每周一", Recurrence("week", weekday=0), date(2026, 11, 16)),
        ("每个星期一", Recurrence("week", weekday=0), date(2026, 11, 16)),
        ("隔周", Recurrence("week", 2), date(2026, 11, 16)),
        ("每两周", Recurrence("week", 2), date(2026, 11, 16)),
        ("每年五月七日", Recurrence("year", month=5, day=7), date(2026, 5, 7)),
        ("每月1号", Recurrence("month", day=1), date(2026, 11, 1)),
        ("每年春节", Recurrence("year"), date(2026, 2, 17)),
        ("每天早上八点", Recurrence("day", hour=8, minute=0), date(2026, 11, 21)),
    ],
)
def test_rule(text: str, rule: Recurrence, first: date) -> None:
    (found,) = find_times(text, reference=REFERENCE)
    assert found.recurrence == rule
    assert found.interval.start is not None
    assert found.interval.start.date() == first


def test_future_occurrence() -> None:
    (found,) = find_times("every Monday", reference=REFERENCE, prefer="future")
    assert found.interval.start == datetime(2026, 11, 23, tzinfo=UTC)
