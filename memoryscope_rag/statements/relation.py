"""What a newer statement makes of an older one: by words, slots and marks of change, no model.

The order of the questions matters: what was said to have ended or to have changed first, then
what takes the place of a single value, then repetition. In doubt two statements are compatible:
a fact that is closed wrongly is lost to retrieval, one that is kept twice is only a nuisance.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from memoryscope_rag.schema import Interval
from memoryscope_rag.statements.language import Language, Pattern
from memoryscope_rag.statements.languages import language_of
from memoryscope_rag.statements.slots import Slot, Who, clauses, slots_of, who_of
from memoryscope_rag.temporal import find_times, telling

Judgement = Literal["repeated", "contained", "contradicted", "compatible"]
_DIGITS = re.compile(r"\d+")
_NAMES = re.compile(r"(?<=[a-z,] )[A-Z][\w'’]+")
NEAR = timedelta(days=2)
"""Events that are said to be further apart are two events."""


@dataclass(frozen=True, slots=True)
class Said:
    """A statement and when it was said; ``said_at`` dates its "yesterday"."""

    text: str
    said_at: datetime


@dataclass(frozen=True, slots=True)
class _View:
    """A statement taken apart for comparison."""

    text: str
    language: Language
    who: Who
    slots: tuple[Slot, ...]
    units: Counter[str]
    negative: bool
    ended: bool
    change: bool
    past: bool
    times: tuple[Interval, ...]


def relation(older: Said, newer: Said) -> Judgement:
    """What ``newer`` makes of ``older``; both are taken to be said by the same person."""
    one, two = _view(older), _view(newer)
    if one.language is not two.language:
        return "compatible"
    if _contradicts(one, two):
        return "contradicted"
    if one.negative != two.negative or _apart(one, two):
        return "compatible"
    if one.units and one.units == two.units:
        return "repeated"
    if not _same_person(one, two):
        return "compatible"
    if two.units and _within(two, one):
        return "repeated"
    if one.units and _within(one, two):
        return "contained"
    return "compatible"


_WRITTEN_DATE = re.compile(r"\s*[(（][^()（）]*\d{4}[^()（）]*[)）]")


def _view(said: Said) -> _View:
    language = language_of(said.text)
    # the date that consolidation writes behind "today" is no part of what was said
    flat = " ".join(_WRITTEN_DATE.sub("", said.text).split())
    times = find_times(said.text, reference=said.said_at, prefer=telling(said.text))
    dislike = language.dislike.search(flat) is not None
    denied = language.negation.search(flat) is not None
    return _View(
        text=flat,
        language=language,
        who=who_of(flat, language),
        slots=slots_of(flat, language),
        units=Counter(language.units(flat)),
        negative=dislike or denied,
        ended=language.ended.search(flat) is not None,
        change=language.change.search(flat) is not None,
        past=language.past.search(flat) is not None,
        times=()
        if language.habitual.search(flat)
        else tuple(time.interval for time in times if time.recurrence is None),
    )


def _same_person(one: _View, two: _View) -> bool:
    return one.who.may_be(two.who) or one.who == Who() or two.who == Who()


def _apart(one: _View, two: _View) -> bool:
    """Whether both are dated and the dates are those of two events."""
    if not one.times or not two.times:
        return False
    return not any(_near(a, b) for a in one.times for b in two.times)


def _near(one: Interval, two: Interval) -> bool:
    if one.overlaps(two):
        return True
    gaps = [
        abs(start - end)
        for start, end in ((one.start, two.end), (two.start, one.end))
        if start is not None and end is not None
    ]
    return bool(gaps) and min(gaps) < NEAR


def _within(part: _View, whole: _View) -> bool:
    """Whether every content word (character) of ``part`` stands in ``whole``, numbers included."""
    if not part.units or part.units - whole.units:
        return False
    # one word can stand in anything, unless the other begins with the very same words
    return len(part.units) > 1 or whole.text.casefold().startswith(
        part.text.casefold().rstrip(" .!。！")
    )


# ---------------------------------------------------------------- contradiction


def _contradicts(one: _View, two: _View) -> bool:
    if one.past and not two.past:
        return False
    return _replaced(one, two) or _ended(one, two) or _denied(one, two) or _called_off(one, two)


def _replaced(one: _View, two: _View) -> bool:
    """Another value of an attribute that holds one at a time."""
    if two.past:
        return False
    for old in one.slots:
        for new in two.slots:
            if (
                old.attribute == new.attribute
                and old.single
                and old.who.may_be(new.who)
                and not old.negative
                and not new.negative
                and old.value
                and new.value
                and _differ(old.value, new.value, one.language)
            ):
                return True
    return False


def _differ(old: str, new: str, language: Language) -> bool:
    """Whether two values exclude each other: neither is a part of the other."""
    first, second = Counter(language.units(old)), Counter(language.units(new))
    if not first or not second:
        return old.casefold() != new.casefold()
    return bool(first - second) and bool(second - first)


def _ended(one: _View, two: _View) -> bool:
    """The newer says that what the older tells has stopped."""
    if not two.ended or one.ended or one.negative or not _same_person(one, two):
        return False
    return _covers(one, _clauses_with(two, two.language.ended))


def _denied(one: _View, two: _View) -> bool:
    """One affirms what the other denies, of the same thing and no narrower."""
    if one.negative == two.negative or not _same_person(one, two):
        return False
    old, new = _objects(one), _objects(two)
    if not old or not new:
        return False
    # "I drink coffee" and "I never drink coffee after lunch" both hold
    return new <= old and _enough(new, one) and (two.change or len(old - new) <= 1)


def _called_off(one: _View, two: _View) -> bool:
    """The newer calls off or moves what the older plans."""
    if two.language.cancelled.search(two.text) is None or one.ended:
        return False
    if one.language.scheduled.search(one.text) is None:
        return False
    return _covers(one, _clauses_with(two, two.language.cancelled))


def _clauses_with(view: _View, pattern: Pattern) -> frozenset[str]:
    """What those clauses are about in which ``pattern`` stands, the whole text if none has it."""
    parts = [part for part in clauses(view.text, view.language) if pattern.search(part)]
    units = view.language.units(" ".join(parts) if parts else view.text)
    return frozenset(units) - view.language.light


def _covers(one: _View, new: frozenset[str]) -> bool:
    """Whether ``new`` speaks of what ``one`` is about: half of either is shared."""
    old = _objects(one)
    shared = old & new
    # a single character is enough where it is all that is said to have ended
    enough = _enough(shared, one) or (bool(shared) and shared == new)
    return enough and 2 * len(shared) >= min(len(old), len(new))


def _objects(view: _View) -> frozenset[str]:
    """What a statement is about: its content without the verbs that may differ."""
    return frozenset(view.units) - view.language.light


def _enough(shared: frozenset[str], view: _View) -> bool:
    return len(shared) >= (1 if view.language.name == "en" else 2)
