"""English time expressions in running text: the ranges and open sides around timed dates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from memoryscope_rag.schema import Grain
from memoryscope_rag.temporal.calendar import Stretch
from memoryscope_rag.temporal.english_dates import Found
from memoryscope_rag.temporal.english_parts import EnglishDates
from memoryscope_rag.temporal.english_repeats import Repeats
from memoryscope_rag.temporal.english_timed import CLOCKED
from memoryscope_rag.temporal.english_words import (
    AFTER,
    BACKWARDS,
    BEFORE,
    DECADES,
    HOLIDAY_NAMES,
    MONTHS,
    NAMED_DAYS,
    OFFSETS,
    ONWARDS,
    PARTS,
    REPEATED,
    SEASONS,
    SINCE,
    STAGES,
    UNITS,
    UP_TO,
    WEEKDAY_PLURALS,
    WEEKDAYS,
)
from memoryscope_rag.temporal.fields import Context, Fields, Read, join, longest_reading, settle
from memoryscope_rag.temporal.numbers import ORDINAL_TENS, ORDINAL_UNITS, TENS
from memoryscope_rag.temporal.numbers import UNITS as NUMBER_WORDS
from memoryscope_rag.temporal.words import Words, longest

_JOINTS = frozenset(["to", "-", "till", "til", "until", "through", "thru", "~", "and"])
_STARTERS = frozenset().union(
    BEFORE,
    AFTER,
    SINCE,
    DECADES,
    HOLIDAY_NAMES,
    MONTHS,
    NAMED_DAYS,
    OFFSETS,
    PARTS,
    REPEATED,
    SEASONS,
    STAGES,
    UNITS,
    WEEKDAY_PLURALS,
    WEEKDAYS,
    ORDINAL_TENS,
    ORDINAL_UNITS,
    TENS,
    NUMBER_WORDS,
    [
        "the",
        "a",
        "an",
        "in",
        "within",
        "inside",
        "from",
        "between",
        "at",
        "every",
        "each",
        "once",
        "more",
        "less",
        "half",
        "couple",
        "few",
        "several",
        "q",
        "h",
        "cy",
        "rest",
        "remainder",
        "remaining",
        "later",
        "earlier",
        "sometime",
        "so",
        "ytd",
        "mtd",
        "qtd",
        "wtd",
        "now",
        "right",
        "present",
        "current",
        "tonight",
        "noon",
        "midday",
        "midnight",
        "all",
    ],
)
"""The words an expression can begin with; all others are passed over at once."""


@dataclass(frozen=True, slots=True)
class English(Repeats):
    """Reads the expressions of one text from left to right, the longest first."""

    @classmethod
    def of(cls, text: str, context: Context) -> English:
        """Prepare ``text``."""
        words = Words.of(text)
        return cls(words, context, EnglishDates(words, context))

    def read(self) -> Iterator[Read]:
        """Every expression, in order, none overlapping."""
        i = 0
        while i < len(self.words):
            word = self.words.words[i]
            found = None
            if word[0].isdigit() or word in _STARTERS:
                found = self.expression(i)
            if found is None:
                i += 1
                continue
            stretch, end = found
            yield self.words.starts[i], self.words.ends[end - 1], stretch
            i = max(end, i + 1)

    def expression(self, i: int) -> tuple[Stretch, int] | None:
        """The longest expression at ``i``."""
        rules = (self.repeated, self.dated, self.spanning, self.sided, self.timed)
        best = longest_reading(rules, i, self.context)
        if best is None or best[0].recurrence:
            return best
        return self.then_repeated(*best)

    def spanning(self, i: int) -> tuple[Stretch, int] | None:
        """ "from 5 to 7 May", "between 2015 and 2018", "April 9th through 17th"."""
        words = self.words
        opener = words.at(i) if words.at(i) in ("from", "between", "in") else ""
        if opener == "in" and words.number(i + 1, 4) is None:
            return None
        first = self.side(i + (opener != ""), opener not in ("", "in"))
        if first is None:
            return None
        j = first[1]
        if opener == "from" and words.at(j) == "for":
            length = self.dates.length(j + 1)
            if length:
                return self._lasting(settle(first[0], self.context), length)
        if isinstance(first[0], Stretch) and first[0].start is None:
            return None
        joint = words.at(j)
        if joint not in _JOINTS or (joint == "and" and opener != "between"):
            return None
        j += 1 + (words.at(j + 1) == "and")
        second = self.side(j, True)
        if second is None:
            return None
        left, right = first[0], second[0]
        if (
            isinstance(left, Fields)
            and left.day
            and not left.year
            and (isinstance(right, Fields) and right.year and not right.month)
        ):  # "5 May to 2019"
            return None
        if isinstance(left, Fields) and isinstance(right, Fields):
            bare = right.day and not right.month and not right.weekday
            if bare and (not left.day or not (left.month or self.ordinal_at(i, opener))):
                return None  # "from 1 to 10", "2015-1-32"
        return join(left, right, self.context), second[1]

    def ordinal_at(self, i: int, opener: str) -> bool:
        """Whether the range beginning at ``i`` starts with "the 5th"."""
        j = i + (opener != "")
        return self.dates.ordinal(j + (self.words.at(j) == "the")) is not None

    def side(self, i: int, inside: bool) -> Found:
        """One end of a range: a date, a clock time of today or a bare day of the month."""
        found: Found = None
        with suppress(ValueError, OverflowError):
            found = self.dated(i, inside)
        time = self._today_at(i) if inside else None
        if time and (found is None or time[1] > found[1]):
            found = time
        if found is None:
            j = i + (self.words.at(i) == "the")
            day = self.dates.day_number(j)
            if day and (inside or self.dates.ordinal(j)) and self.words.at(day[1]) not in UNITS:
                return Fields(day=day[0]), day[1]
        return found

    def sided(self, i: int) -> tuple[Stretch, int] | None:
        """ "before May", "since 2019", "until Friday", "2018 or later", "to date"."""
        words = self.words
        for table in (BEFORE, AFTER, SINCE):
            phrase = longest(table, words, i)
            if phrase is None:
                continue
            j = i + len(phrase)
            j += words.at(j) in ("around", "about")
            found = self.dated(j, True) or self._today_at(j)
            if found is None:
                continue
            base, end = settle(found[0], self.context), found[1]
            if table is BEFORE:
                return self._up_to(phrase, base, words.at(j), end)
            if table is AFTER:
                # A single day counts from its beginning, as with Microsoft: "after 7 May" must
                # not lose what happened later that day.
                fine = base.grain in CLOCKED or base.grain is Grain.DAY
                edge = base.start if fine else base.end
                return (Stretch(edge, None, base.grain), end) if edge else None
            return (Stretch(base.start, None, base.grain), end) if base.start else None
        found = self.side(i, words.at(i) == "from")
        opened = words.at(i) == "from"
        if opened:
            found = self.side(i + 1, True)
        if found is None:
            return None
        j = found[1] + (words.at(found[1]) == ",")
        base = settle(found[0], self.context)
        later, sooner = longest(ONWARDS, words, j), longest(BACKWARDS, words, j)
        if later and (later != ("on",) or opened) and base.start:
            return Stretch(base.start, None, base.grain), j + len(later)
        if sooner and base.end:
            edge = base.end if self.context.inclusive else base.start
            return Stretch(None, edge, base.grain), j + len(sooner)
        return None

    def _up_to(
        self, phrase: tuple[str, ...], base: Stretch, first: str, end: int
    ) -> tuple[Stretch, int] | None:
        """ "before" ends where the date begins; "by" and "until" a day or its end include it."""
        if base.grain in CLOCKED:
            edge = base.start
        elif (first in ("end", "the") and "end" in self.words.words[end - 6 : end]) or (
            phrase[0] in UP_TO and base.grain is Grain.DAY and self.context.inclusive
        ):
            edge = base.end
        else:
            edge = base.start
        return (Stretch(None, edge, base.grain), end) if edge else None
