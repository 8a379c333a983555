"""English repeats: every other Monday, each summer, daily, on Mondays, May 7 every year."""

from __future__ import annotations

from dataclasses import dataclass, replace

from memoryscope_rag.schema import Grain, Recurrence
from memoryscope_rag.temporal.calendar import Stretch, Unit
from memoryscope_rag.temporal.clock import (
    Clock,
    at,
    at_clock,
)
from memoryscope_rag.temporal.english_clock import day_part
from memoryscope_rag.temporal.english_timed import CLOCKED, TimedDates
from memoryscope_rag.temporal.english_words import (
    HOLIDAY_NAMES,
    HOLIDAYS,
    MONTHS,
    PARTS,
    REPEATED,
    SEASONS,
    UNITS,
    WEEKDAY_PLURALS,
    WEEKDAYS,
)
from memoryscope_rag.temporal.fields import Fields, settle
from memoryscope_rag.temporal.holidays import is_fixed
from memoryscope_rag.temporal.relative import whole
from memoryscope_rag.temporal.words import longest


@dataclass(frozen=True, slots=True)
class Repeats(TimedDates):
    """Adds what comes back; the interval is the nearest occurrence."""

    def repeated(self, i: int) -> tuple[Stretch, int] | None:
        """ "every other Monday", "each summer", "daily", "every year on May 7", "on Mondays"."""
        words, context = self.words, self.context
        word = words.at(i)
        if word in WEEKDAY_PLURALS:
            return self._weekly(WEEKDAY_PLURALS[word], 1, i + 1)
        if word in REPEATED:
            unit, every = REPEATED[word]
            return self._unit(unit, every, i + 1)
        if word == "once" and words.at(i + 1) in ("a", "every", "per"):
            unit_word = UNITS.get(words.at(i + 2))
            return self._unit(unit_word, 1, i + 3) if unit_word else None
        if word not in ("every", "each", "all"):
            return None
        every, j = 1, i + 1
        if words.at(j) in ("other", "second") and word == "every":
            every, j = 2, j + 1
        elif word == "every":
            number = self.dates.ordinal(j) or self.dates.number(j)
            if number and 1 <= number[0] <= 1000 and self.dates.unit(number[1]):
                every, j = int(number[0]), number[1]
        name = words.at(j)
        if word == "all":
            return None
        if name == "weekday" or name == "workday":
            return self._unit("business_day", every, j + 1)
        if name in WEEKDAYS:
            return self._weekly(WEEKDAYS[name], every, j + 1)
        if name in WEEKDAY_PLURALS:
            return self._weekly(WEEKDAY_PLURALS[name], every, j + 1)
        if name in PARTS and name not in ("am", "pm"):
            return self._unit("day", every, j + 1)
        if name in UNITS:
            return self._unit(UNITS[name], every, j + 1)
        if name in SEASONS or name in MONTHS or name in HOLIDAY_NAMES:
            found = self.dates.written(j, True)
            if found:
                base = settle(found[0], context)
                phrase = longest(HOLIDAY_NAMES, words, j)
                again = Recurrence("year", every)
                if phrase is None or is_fixed(HOLIDAYS[phrase], base.first.year):
                    day = base.first.day if base.grain is Grain.DAY else None
                    again = replace(again, month=base.first.month, day=day)
                return replace(base, recurrence=again), found[1]
        return None

    def _weekly(self, weekday: int, every: int, end: int) -> tuple[Stretch, int]:
        base = Fields(weekday=weekday).resolve(self.context)
        return self._at_time(base, Recurrence("week", every, weekday=weekday), end)

    def _unit(self, unit: Unit, every: int, end: int) -> tuple[Stretch, int] | None:
        """Every so many units, with the date and the time of day said after it."""
        context = self.context
        if unit in ("second", "minute") or every > 300:
            return None
        if unit == "hour":
            return replace(whole(context, unit, 0), recurrence=Recurrence("hour", every)), end
        base = whole(context, unit, 0) if unit != "business_day" else context.day(context.today)
        months = {"month": 1, "quarter": 3, "half": 6}.get(unit)
        years = {"year": 1, "decade": 10, "century": 100, "season": 1}.get(unit)
        if months:
            again = Recurrence("month", every * months)
        elif years:
            again = Recurrence("year", min(every * years, 1000))
        else:
            again = Recurrence("week" if unit in ("week", "weekend") else "day", every)
        j = end + (self.words.at(end) == "on")
        if j > end:
            j += self.words.at(j) == "the"
            found = self.dates.written(j, True)
            if found and isinstance(found[0], Fields):
                said = found[0]
                base = said.resolve(context)
                if again.unit == "year" and said.month:
                    again = replace(again, month=said.month, day=said.day)
                elif again.unit == "week" and said.weekday is not None:
                    again = replace(again, weekday=said.weekday)
                return self._at_time(base, again, found[1])
            day = self.dates.day_number(j)
            if day and again.unit == "month":
                base = Fields(day=day[0]).resolve(context)
                return self._at_time(base, replace(again, day=day[0]), day[1])
        return self._at_time(base, again, end)

    def _at_time(self, base: Stretch, again: Recurrence, end: int) -> tuple[Stretch, int]:
        said = day_part(self.words, end)
        part, j = said if said else (None, end)
        found = self._time_after(j) if base.grain is Grain.DAY else None
        if found and found[2] == "" and isinstance(found[0], Clock):
            clock = found[0].in_part(part) if part else found[0].guessed()
            narrowed = at_clock(base, clock)
            if clock.hour < 24:
                again = replace(again, hour=clock.hour, minute=clock.minute)
            return replace(narrowed, recurrence=again), found[1]
        if part and base.grain is Grain.DAY:
            return replace(at(base, part), recurrence=again), j
        return replace(base, recurrence=again), end

    def then_repeated(self, found: Stretch, end: int) -> tuple[Stretch, int]:
        """ "May 7 every year", "at 7 every day"."""
        words = self.words
        j = end + (words.at(end) in (",", "of"))
        if words.at(j) in ("every", "each"):
            unit, j = UNITS.get(words.at(j + 1)), j + 2
        elif words.at(j) in ("daily", "everyday", "annually", "yearly"):
            unit, j = REPEATED[words.at(j)][0], j + 1
        else:
            return found, end
        start = found.start
        if start is None:
            return found, end
        clocked = found.grain in CLOCKED
        hour, minute = (start.hour, start.minute) if clocked else (None, None)
        if unit == "year" and found.grain is not Grain.YEAR:
            day = None if found.grain is Grain.MONTH else start.day
            again = Recurrence("year", 1, start.month, day, hour=hour, minute=minute)
        elif unit == "day" and clocked:
            again = Recurrence("day", 1, hour=hour, minute=minute)
        elif unit == "week" and (clocked or found.grain is Grain.DAY):
            again = Recurrence("week", 1, weekday=start.weekday(), hour=hour, minute=minute)
        elif unit == "month" and (clocked or found.grain is Grain.DAY):
            again = Recurrence("month", 1, day=start.day, hour=hour, minute=minute)
        else:
            return found, end
        return replace(found, recurrence=again), j
