"""One reference for the tables of this folder: Saturday 21 November 2026, 10:00, in Shanghai."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from memoryscope_rag.temporal import TimeExpression, find_times
from memoryscope_rag.temporal.fields import Prefer

ZONE = ZoneInfo("Asia/Shanghai")
REFERENCE = datetime(2026, 11, 21, 10, 0, tzinfo=ZONE)


def side(text: str) -> datetime | None:
    """``2026-11-20``, ``2026-11-20 15:30`` or ``-`` for an open side."""
    return None if text == "-" else datetime.fromisoformat(text).replace(tzinfo=ZONE)


@pytest.fixture
def check() -> Callable[[str, str, Prefer], None]:
    """Asserts that a text holds one expression, with "start end" as its interval."""

    def one(text: str, expected: str, prefer: Prefer = "past") -> None:
        found = find_times(text, reference=REFERENCE, prefer=prefer)
        assert len(found) == 1, found
        start, end = expected.split(" .. ")
        expression: TimeExpression = found[0]
        assert (expression.interval.start, expression.interval.end) == (side(start), side(end))
        assert text[expression.start : expression.end] == expression.text

    return one
