"""English dates counted in lengths of time: 3 days ago, in two weeks, a week before Easter."""

from __future__ import annotations

from dataclasses import dataclass, replace

from memoryscope_rag.schema import Grain
from memoryscope_rag.temporal.calendar import (
    GRAINS,
    Stretch,
    Unit,
    add_days,
    days,
    unit_around,
)
from memoryscope_rag.temporal.english_dates import Found, WrittenDates
from memoryscope_rag.temporal.english_words import (
    OFFSETS,
    UNITS,
    WEEKDAYS,
)
from memoryscope_rag.temporal.fields import settle
from memoryscope_rag.temporal.numbers import cardinal
from memoryscope_rag.temporal.relative import (
    Duration,
    duration,
    rolling,
    shifted,
)

_FEW = 3
"""What "a few" and "several" are taken to be, as Microsoft's Recognizers-Text do."""


@dataclass(frozen=True, slots=True)
class CountedDates(WrittenDates):
    """Adds to the written dates those that lie a length of time from another one."""

    def rolled(self, i: int) -> Found:
        """ "the next 3 months" after "within"; read by a class below this one."""
        return None

    def number(self, i: int) -> tuple[float, int] | None:
        """ "3", "3.5", "two", "a", "a couple of", "a few", "half an", "one and a half"."""
        words = self.words
        value = words.number(i)
        if value is not None:
            if words.at(i + 1) == "." and words.joined(i + 1) and words.joined(i + 2):
                part = words.number(i + 2, 3)
                if part is not None:
                    return value + part / 10 ** len(words.at(i + 2)), i + 3
            return value, i + 1
        j = i + (words.at(i) == "a")
        if words.at(j) in ("couple", "few", "several"):
            count = 2 if words.at(j) == "couple" else _FEW
            return count, j + 1 + (words.at(j + 1) == "of")
        if words.at(i) == "half" and words.at(i + 1) in ("a", "an"):
            return 0.5, i + 2
        found = cardinal(words.words, i)
        if found is None and words.at(i) in ("a", "an", "one"):
            found = 1, i + 1
        if found and words.follow(found[1], ("and", "a", "half")):
            return found[0] + 0.5, found[1] + 3
        return found

    def unit(self, i: int) -> tuple[Unit, int] | None:
        """The unit word at ``i``; "business days" and "working days" are one."""
        i += self.words.at(i) == "-"
        if self.words.at(i) in ("business", "working", "work") and (
            UNITS.get(self.words.at(i + 1)) == "day"
        ):
            return "business_day", i + 2
        unit = UNITS.get(self.words.at(i))
        return (unit, i + 1) if unit else None

    def length(self, i: int) -> tuple[Duration, int] | None:
        """ "2 weeks and 3 days", "an hour and a half", "a fortnight"."""
        total: Duration | None = None
        while True:
            number = self.number(i)
            if number is None:
                return None
            if self.words.at(number[1]) in ("fortnight", "fortnights"):
                part, end = duration(2 * number[0], "week"), number[1] + 1
            else:
                unit = self.unit(number[1])
                if unit is None or (unit[0] in ("quarter", "season", "weekend") and number[0] < 1):
                    return None
                part, end = duration(number[0], unit[0]), unit[1]
                if self.words.follow(end, ("and", "a", "half")):
                    part, end = duration(number[0] + 0.5, unit[0]), end + 3
            total = total.plus(part) if total else part
            j = end + (self.words.at(end) in ("and", ","))
            j += j > end and self.words.at(j) == "and"
            more = self.number(j) if self.words.at(j) not in ("a", "an") or j > end else None
            if more is None or self.unit(more[1]) is None:
                return total, end
            if j == end + 1 and self.words.at(end) == "and" and not self._ago_ahead(j):
                return total, end
            i = j

    def _ago_ahead(self, i: int) -> bool:
        return any(
            w in ("ago", "later", "from", "earlier", "before", "after")
            for w in self.words.words[i : i + 8]
        )

    def counted(self, i: int) -> Found:
        """ "3 days ago", "in two weeks", "2 weeks after Easter", "within 3 months"."""
        words = self.words
        word = words.at(i)
        if word in ("in", "within", "inside"):
            return self._in_length(i)
        bound = ""
        j, lasting = i, words.at(i - 1) == "for"
        if word in ("more", "less") and words.at(i + 1) == "than":
            bound, j = word, i + 2
        found = self.length(j)
        if found is None:
            return None
        length, end = found
        after = words.at(end)
        grain = GRAINS[length.unit]
        if length.unit == "weekend" and after in ("ago", "before"):
            return self._weekends(length, end)
        if after in ("ago", "earlier", "back") or (
            after in ("before", "previously") and (not self.point(end + 1, True))
        ):
            if after == "back" and words.at(end + 1) == "to":
                return None
            return self._bounded(bound, shifted(self.context, length, -1), grain, -1), end + 1
        if after == "later" and words.at(end + 1) in ("this", "today", "in"):
            return None
        if after in ("later", "hence") or (after == "after" and words.at(end + 1) in ("that", "")):
            return shifted(self.context, length, 1), end + 1
        if not lasting and (
            words.follow(end, ("from", "now")) or words.follow(end, ("from", "today"))
        ):
            future = replace(shifted(self.context, length, 1), grain=grain)
            return self._same_week(future, end + 2)
        sign = {"before": -1, "prior": -1, "after": 1, "from": 1, "following": 1, "since": 1}
        if after in sign and not (lasting and after == "from"):
            k = end + 1 + (after == "prior" and words.at(end + 1) == "to")
            base = self.point(k, True)
            if base:
                anchor = settle(base[0], self.context)
                moved = shifted(self.context, length, sign[after], anchor)
                return self._bounded(bound, moved, grain, sign[after], anchor), base[1]
        if after in ("starting", "beginning", "commencing") or (lasting and after == "from"):
            k = end + 1 + (words.at(end + 1) in ("from", "on"))
            base = self.point(k, True)
            if base:
                first = settle(base[0], self.context).first
                last = shifted(self.context, length, 1, self.context.day(first)).first
                return days(first, last, grain, self.context.zone), base[1]
        return None

    def _weekends(self, length: Duration, end: int) -> Found:
        """ "two weekends ago", "two weekends before 17 July", by ISO weeks."""
        base, day = end + 1, self.context.today
        if self.words.at(end) == "before":
            found = self.point(base, True)
            if found is None:
                return None
            day, base = settle(found[0], self.context).first, found[1]
        return unit_around(day, "weekend", self.context.zone, -length.days // 7), base

    def _same_week(self, found: Stretch, end: int) -> Found:
        j = end + (self.words.at(end) == "on")
        weekday = WEEKDAYS.get(self.words.at(j))
        if weekday is None or found.grain is Grain.DAY:
            return found, end
        return self.context.day(add_days(found.first, weekday - found.first.weekday())), j + 1

    def _bounded(
        self, bound: str, found: Stretch, grain: Grain, sign: int, base: Stretch | None = None
    ) -> Stretch:
        """ "more than 2 weeks ago" is open, "less than 2 weeks ago" lies in between."""
        if not bound:
            clocked = found.grain in (Grain.SECOND, Grain.MINUTE, Grain.HOUR)
            return found if clocked else replace(found, grain=grain)
        if bound == "more":
            return (
                Stretch(None, found.start, grain) if sign < 0 else Stretch(found.start, None, grain)
            )
        near = base.start if base else self.context.now
        ends = (found.start, near) if sign < 0 else (near, found.start)
        return Stretch(ends[0], ends[1], grain)

    def _in_length(self, i: int) -> Found:
        words = self.words
        j = i + 1 + (words.at(i + 1) == "the")
        if words.at(i) != "in" and words.at(j) in OFFSETS:
            return self.rolled(j)
        found_length = self.length(i + 1)
        if found_length is None:
            return None
        length, end = found_length
        if words.follow(end, ("'", "time")):
            end += 2
        if words.at(end) in ("ago", "'", "of"):
            return None
        if words.at(i) == "in":
            base = None
            if words.at(end) in ("after", "from", "since") and words.at(end + 1) != "now":
                anchor = self.point(end + 1, True)
                if anchor:
                    base, end = settle(anchor[0], self.context), anchor[1]
            elif words.follow(end, ("from", "now")):
                end += 2
            elif words.at(end) in ("time",):
                end += 1
            future = shifted(self.context, length, 1, base)
            clocked = future.grain in (Grain.SECOND, Grain.MINUTE, Grain.HOUR)
            return future if clocked else replace(future, grain=GRAINS[length.unit]), end
        for after, sign in (("of", 1), ("after", 1), ("before", -1)):
            if words.at(end) == after:
                anchor = self.point(end + 1, True)
                if anchor:
                    at = settle(anchor[0], self.context)
                    edge = shifted(self.context, length, sign, at).start
                    ends = (at.start, edge) if sign > 0 else (edge, at.start)
                    return Stretch(ends[0], ends[1], GRAINS[length.unit]), anchor[1]
        return rolling(self.context, length, 1, today=True), end
