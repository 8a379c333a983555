"""English dates inside or beside others: early May, first Monday of June, the week of 6 July."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from memoryscope_rag.schema import Grain
from memoryscope_rag.temporal.calendar import (
    GRAINS,
    Stretch,
    add_days,
    days,
    unit_around,
)
from memoryscope_rag.temporal.clock import HOURS
from memoryscope_rag.temporal.english_dates import Found
from memoryscope_rag.temporal.english_relative import RelativeDates
from memoryscope_rag.temporal.english_words import (
    OFFSETS,
    PARTS,
    STAGES,
    UNITS,
    WEEKDAYS,
)
from memoryscope_rag.temporal.fields import Fields, Point, settle
from memoryscope_rag.temporal.relative import (
    at_hour,
    half_of,
    part_of,
    units_in,
    weekday_in,
    whole,
)

_DEEPEST = 6
"""Dates inside dates ("the end of the first week of the month before May") end somewhere."""


@dataclass(frozen=True, slots=True)
class EnglishDates(RelativeDates):
    """Adds parts and neighbours of dates, and chooses the longest of all readings."""

    known: dict[tuple[int, bool], Found] = field(default_factory=dict)
    open: list[int] = field(default_factory=list)

    def point(self, i: int, inside: bool = False) -> Found:
        """The longest date at ``i``, without clock times."""
        key = (i, inside)
        if key not in self.known:
            if len(self.open) >= _DEEPEST:
                return None
            self.known[key] = None  # a rule that comes back to its own beginning finds nothing
            self.open.append(i)
            try:
                self.known[key] = self._point(i, inside)
            finally:
                self.open.pop()
        return self.known[key]

    def _point(self, i: int, inside: bool) -> Found:
        found: list[Found] = []
        for rule in (
            lambda at: self.written(at, inside),
            self.counted,
            self.relative,
            self.named_day,
            self.staged,
            self.nth,
            self.neighbour,
        ):
            try:
                found.append(rule(i))
            except (ValueError, OverflowError):
                continue
        best = max((one for one in found if one), key=lambda one: one[1], default=None)
        if best is None and self.words.at(i) == "the":
            return self._the(i, inside)
        return self._attached(*best) if best else None

    def _the(self, i: int, inside: bool) -> Found:
        """ "the 90s", "the 4th", "the 7th of May", "the week 31"."""
        found = self.written(i + 1, inside)
        if found is None:
            day = self.ordinal(i + 1)
            if day and 1 <= day[0] <= 31 and self._bare_day(i, day[1], inside):
                return self._attached(Fields(day=day[0]), day[1])
            number = self.words.number(i + 1, 2)
            if (
                number
                and 1 <= number <= 31
                and self.words.at(i - 1) == "on"
                and (self.words.at(i + 2) in ("between", "at", "from", "", ".", ","))
            ):
                return Fields(day=number), i + 2
        return self._attached(*found) if found else None

    def _bare_day(self, i: int, end: int, inside: bool) -> bool:
        before = self.words.at(i - 1)
        after = self.words.at(end)
        free = not after.isalpha() or after in (
            "at",
            "and",
            "to",
            "of",
            "from",
            "between",
            "till",
            "until",
            "through",
            "in",
            "we",
            "i",
            "before",
        )
        if after == "of" and self.words.at(end + 1) in ("this", "next", "last", "every", "each"):
            return True
        return free and (
            inside or before in ("on", "by", "until", "till", "since", "before", "after")
        )

    def _attached(self, found: Point, end: int) -> Found:
        """``found`` with a trailing "of next week", "of this year", "weekend"."""
        words = self.words
        if isinstance(found, Stretch) and found.grain is Grain.DAY and words.at(end) == "weekend":
            return self.long_weekend(found.first), end + 1
        j = end + (words.at(end) in ("of", "on", ",", "in"))
        offset = OFFSETS.get(words.at(j + (words.at(j) == "the")))
        if offset is None:
            return found, end
        k = j + (words.at(j) == "the")
        unit = UNITS.get(words.at(k + 1))
        if not isinstance(found, Fields):
            return found, end
        if unit == "week" and found.weekday is not None and not found.day:
            week = whole(self.context, "week", offset)
            return self.context.day(add_days(week.first, found.weekday)), k + 2
        if unit == "month" and found.day and not found.month:
            month = whole(self.context, "month", offset).first
            return Fields(month.year, month.month, found.day), k + 2
        return found, end

    def long_weekend(self, day: date) -> Stretch:
        """The weekend a holiday makes: its own, with a Thursday, Friday or Monday holiday."""
        saturday = add_days(day, 5 - day.weekday()) if day.weekday() else add_days(day, -2)
        first = min(day, saturday) if day.weekday() in (3, 4) else saturday
        after = (
            max(add_days(day, 1), add_days(saturday, 2))
            if day.weekday() in (0, 5, 6)
            else (add_days(saturday, 2))
        )
        return days(first, after, Grain.WEEKEND, self.context.zone)

    def staged(self, i: int) -> Found:
        """ "early 2019", "the end of May", "mid-November", "end of the month", "late morning"."""
        words = self.words
        j = i + (words.at(i) == "the")
        j += words.at(j) == "very"
        stage = STAGES.get(words.at(j))
        if stage is None:
            return None
        k = j + 1 + (words.at(j + 1) in ("of", "in", "-"))
        k += words.at(k - 1) == "of" and words.at(k) == "day" and 0
        if words.at(j) in ("start", "end", "beginning", "middle", "close") and (
            words.at(j + 1) != "of"
        ):
            return None
        if words.at(k) in PARTS or (words.at(k + 1) in PARTS and words.at(k) in OFFSETS):
            return self._staged_part(k, stage == "early")
        if words.at(k) == "week" and words.at(k - 1) == "-":
            return part_of(whole(self.context, "week", 0), stage), k + 1
        if words.at(k) in ("day", "month", "year", "week") and words.at(j + 1) == "of":
            return part_of(whole(self.context, UNITS[words.at(k)], 0), stage), k + 1
        target = self.target(k)
        if target is None or target[0].start is None or target[0].end is None:
            return None
        return part_of(target[0], stage), target[1]

    def _staged_part(self, k: int, early: bool) -> Found:
        offset = OFFSETS.get(self.words.at(k))
        k += offset is not None
        if offset is None:
            return None
        begin, after = HOURS[PARTS[self.words.at(k)]]
        middle = (begin + after) // 2
        day = add_days(self.context.today, offset)
        zone = self.context.zone
        edges = (begin, middle) if early else (middle, after)
        return (
            Stretch(at_hour(day, edges[0], zone), at_hour(day, edges[1], zone), Grain.PART_OF_DAY),
            k + 1,
        )

    def nth(self, i: int) -> Found:
        """ "the first week of May", "last 3 weeks of 2019", "third quarter", "2nd half of 2020"."""
        words = self.words
        j = i + (words.at(i) == "the")
        found = (-1, j + 1) if words.at(j) in ("last", "final") else self.ordinal(j)
        if found is None:
            return None
        which, j = found
        count = self.number(j) if words.at(j) not in ("a", "an", "half", "one") else None
        if count and self.unit(count[1]):
            j = count[1]
        else:
            count = None
        half, weekday = words.at(j) == "half", WEEKDAYS.get(words.at(j))
        unit = self.unit(j)
        if not half and weekday is None and unit is None:
            return None
        k = unit[1] if unit else j + 1
        linked = words.at(k) in ("of", "in", ",") or words.at(k) == "'"
        k += linked
        whole_year = None
        target = self.target(k) if linked or words.number(k, 4) else None
        if target is None:
            if unit and unit[0] == "quarter" and 1 <= which <= 4 and count is None:
                return self.context.yearly(
                    lambda year: unit_around(
                        date(year, 3 * which - 2, 1), "quarter", self.context.zone
                    )
                ), unit[1]
            return None
        whole_year, end = target
        if half:
            return (half_of(whole_year, which == 2), end) if which in (1, 2, -1) else None
        if weekday is not None:
            return self.context.day(weekday_in(whole_year, weekday, which)), end
        size = int(count[0]) if count else 1
        return units_in(whole_year, unit[0], which, size) if unit else None, end  # type: ignore[return-value]

    def neighbour(self, i: int) -> Found:
        """ "the week of 6 July", "the weekend before Easter", "the Friday after 15 July"."""
        words = self.words
        j = i + (words.at(i) == "the")
        unit, weekday = UNITS.get(words.at(j)), WEEKDAYS.get(words.at(j))
        if unit in ("second", "minute", "hour") or (unit is None and weekday is None):
            return None
        weekday_word = weekday is not None
        relation = words.at(j + 1)
        if relation not in (
            "of",
            "before",
            "after",
            "following",
            "beginning",
            "starting",
            "commencing",
            "ending",
            "containing",
            "preceding",
            "prior",
            "around",
        ):
            if weekday_word:
                return self._week_later(i)
            return None
        k = j + 2 + (words.at(j + 2) in ("on", "to") and relation != "of")
        k += words.at(k) == "the" and words.at(k + 1) in ("week", "weekend")
        if (relation == "of" and unit not in ("week", "weekend")) or (
            words.at(k) in ("the",) and (UNITS.get(words.at(k + 1)))
        ):
            return None
        base = self.point(k, True)
        if base is None:
            return None
        anchor = settle(base[0], self.context)
        sign = {"before": -1, "preceding": -1, "prior": -1, "after": 1, "following": 1}.get(
            relation, 0
        )
        if weekday is not None:
            if sign == 0:
                return None
            edge = anchor.first if sign < 0 else add_days(anchor.after, -1)
            gap = (
                (edge.weekday() - weekday - 1) % 7 + 1
                if sign < 0
                else ((weekday - edge.weekday() - 1) % 7 + 1)
            )
            return self.context.day(add_days(edge, sign * gap)), base[1]
        if unit is None:
            return None
        first = anchor.first if sign <= 0 else add_days(anchor.after, -1)
        if unit == "weekend" and sign == 0 and anchor.grain is Grain.DAY:
            return self.long_weekend(first), base[1]
        if unit == "weekend" and sign:
            found = unit_around(first, unit, self.context.zone)
            while (found.after > first) if sign < 0 else (found.first <= first):
                found = unit_around(found.first, unit, self.context.zone, sign)
            return found, base[1]
        if relation == "ending":
            return days(add_days(first, -6), add_days(first, 1), GRAINS[unit], self.context.zone), (
                base[1]
            )
        if relation in ("beginning", "starting", "commencing") and unit == "week":
            return days(first, add_days(first, 7), GRAINS[unit], self.context.zone), base[1]
        return unit_around(first, unit, self.context.zone, sign), base[1]

    def _week_later(self, i: int) -> Found:
        """ "Monday two weeks from now", "Sunday 3 weeks after 15 January"."""
        weekday = WEEKDAYS[self.words.at(i + (self.words.at(i) == "the"))]
        j = i + 1 + (self.words.at(i) == "the")
        found = self.counted(j) if self.words.at(j) != "in" else None
        if found is None or not isinstance(found[0], Stretch) or found[0].start is None:
            return None
        first = found[0].first
        return self.context.day(add_days(first, weekday - first.weekday())), found[1]
