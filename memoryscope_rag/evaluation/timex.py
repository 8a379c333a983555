"""Scores :func:`memoryscope_rag.temporal.find_times` on Microsoft's Recognizers-Text cases.

A file holds JSON lines ``{"input", "reference", "results": [{"Text", "Start", "End", "TypeName",
"Resolution": {"values": [...]}}]}`` (their DateTime specs), plain or xz-compressed.
"""

from __future__ import annotations

import json
import lzma
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.schema import Grain
from memoryscope_rag.temporal import TimeExpression, find_times, reading

TYPES = ("date", "daterange", "datetime", "datetimerange")
"""The kinds that name a stretch of the calendar; durations, sets and lone times do not count."""

Side = datetime | None
Cause = Literal["not found", "wrong span", "end included", "hours of the day", "wrong interval"]
_CLOCKED = (Grain.SECOND, Grain.MINUTE, Grain.HOUR)


@dataclass(frozen=True, slots=True)
class Miss:
    """One expected time that no found interval equals.

    ``cause`` says how near it came. "end included": equal but for one unit at the end, which we
    include in "5 to 7 May" and Microsoft do not. "hours of the day": the same part of the same
    day, with other hours.
    """

    input: str
    reference: str
    type: str
    text: str
    values: tuple[str, ...]
    found: tuple[str, ...]
    cause: Cause


@dataclass(frozen=True, slots=True)
class Report:
    """Counts over one file; ``by_type`` maps a type to (n, right)."""

    n: int
    right: int
    by_type: Mapping[str, tuple[int, int]]
    misses: tuple[Miss, ...]

    @property
    def accuracy(self) -> float:
        """The share that is right, 0 for an empty file."""
        return self.right / self.n if self.n else 0.0

    @property
    def causes(self) -> Mapping[str, int]:
        """How many misses there are of each cause."""
        return Counter(miss.cause for miss in self.misses)


def evaluate(
    path: str | Path,
    language: Literal["en", "zh"] | None = None,
    *,
    ends: Literal["inclusive", "exclusive"] = "exclusive",
) -> Report:
    """Read ``path`` and score every expected time that has concrete values.

    One call of ``find_times`` an input, with ``prefer=reading(input)``; references are taken as
    UTC. A date must equal the civil day, a range its half-open ends as Microsoft give them, a
    datetime our interval's start at a grain of an hour or finer. ``ends`` is handed on: Microsoft
    leave the last unit of a range out, ``find_times`` by default does not, so report both. Raises
    :class:`~memoryscope_rag.errors.InvalidInput` for a line that is no such case.
    """
    total: Counter[str] = Counter()
    right: Counter[str] = Counter()
    misses: list[Miss] = []
    for case in _cases(Path(path)):
        try:
            text, golds = case["input"], [gold for gold in case["results"] if _values(gold)]
            if not golds:
                continue
            moment = datetime.fromisoformat(case["reference"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("timex case", f"cannot be read: {error}") from None
        found = find_times(
            text,
            reference=moment.replace(tzinfo=UTC),
            prefer=reading(text),
            language=language,
            ends=ends,
        )
        for gold in golds:
            kind = gold["TypeName"].rpartition(".")[2]
            total[kind] += 1
            if any(_equal(one, value) for one in found for value in _values(gold)):
                right[kind] += 1
            else:
                misses.append(_miss(text, case["reference"], kind, gold, found))
    return Report(
        total.total(),
        right.total(),
        {kind: (total[kind], right[kind]) for kind in TYPES if total[kind]},
        tuple(misses),
    )


def _cases(path: Path) -> Iterator[dict[str, Any]]:
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def _values(gold: Mapping[str, Any]) -> list[tuple[str, Side, Side]]:
    """The listed readings as (kind, start, end); a "not resolved" one has no concrete value."""
    kind = str(gold["TypeName"]).rpartition(".")[2]
    if kind not in TYPES:
        return []
    readings: list[tuple[str, Side, Side]] = []
    for value in (gold.get("Resolution") or {}).get("values") or ():
        try:
            if "start" in value or "end" in value:
                readings.append((kind, _moment(value.get("start")), _moment(value.get("end"))))
            elif "value" in value:
                begin = _moment(value["value"])
                readings.append((kind, begin, begin and begin + timedelta(days=1)))
        except ValueError:  # "not resolved", or a year beyond the calendar
            continue
    return readings


def _moment(text: str | None) -> Side:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text is not None else None


def _equal(found: TimeExpression, value: tuple[str, Side, Side]) -> bool:
    kind, start, end = value
    if kind == "datetime":
        return found.interval.start == start and found.grain in _CLOCKED
    return (found.interval.start, found.interval.end) == (start, end)


def _miss(
    text: str, reference: str, kind: str, gold: Mapping[str, Any], found: tuple[TimeExpression, ...]
) -> Miss:
    begin = int(gold["Start"])
    end = int(gold.get("End", begin + len(gold["Text"]) - 1)) + 1
    near = [one for one in found if one.start < end and begin < one.end]
    values = _values(gold)
    cause: Cause = "wrong interval"
    if not near:
        cause = "not found"
    elif any(_end_included(one, value) for one in near for value in values):
        cause = "end included"
    elif any(_same_part(one, value) for one in near for value in values):
        cause = "hours of the day"
    elif not any(one.start <= begin + 5 and abs(one.end - end) <= 1 for one in near):
        cause = "wrong span"
    return Miss(
        text,
        reference,
        kind,
        str(gold["Text"]),
        tuple(f"{start} .. {end_}" for _, start, end_ in values),
        tuple(f"{one.text!r}: {one.interval.start} .. {one.interval.end}" for one in near),
        cause,
    )


def _end_included(found: TimeExpression, value: tuple[str, Side, Side]) -> bool:
    """Whether only the last day, month, quarter or year of a range makes the difference."""
    _, start, end = value
    ours = found.interval
    if end is None or ours.end is None or ours.start != start:
        return False
    return timedelta(0) < ours.end - end <= timedelta(days=366)


def _same_part(found: TimeExpression, value: tuple[str, Side, Side]) -> bool:
    start = value[1]
    ours = found.interval.start
    return (
        found.grain is Grain.PART_OF_DAY
        and start is not None
        and ours is not None
        and start.date() == ours.date()
    )
