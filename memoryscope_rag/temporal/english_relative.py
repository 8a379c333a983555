"""English dates seen from the reference: today, last week, the next 3 months, this Friday."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import cast

from memoryscope_rag.schema import Grain
from memoryscope_rag.temporal.calendar import (
    Stretch,
    Unit,
    add_days,
    days,
    iso_week,
    unit_around,
)
from memoryscope_rag.temporal.clock import at_part
from memoryscope_rag.temporal.english_counted import CountedDates
from memoryscope_rag.temporal.english_dates import Found
from memoryscope_rag.temporal.english_words import (
    HOLIDAY_NAMES,
    HOLIDAYS,
    MONTHS,
    NAMED_DAYS,
    NEAREST,
    NOW,
    OFFSETS,
    PARTS,
    SEASONS,
    STAGES,
    UNITS,
    WEEKDAYS,
)
from memoryscope_rag.temporal.fields import Fields, settle
from memoryscope_rag.temporal.relative import (
    duration,
    rolling,
    whole,
)
from memoryscope_rag.temporal.words import longest

_TO_DATE = {"ytd": "year", "mtd": "month", "qtd": "quarter", "wtd": "week"}

_POSSESSIVES = frozenset(["my", "your", "his", "her", "our", "their"])


@dataclass(frozen=True, slots=True)
class RelativeDates(CountedDates):
    """Adds the dates that are last, this or next."""

    def named_day(self, i: int) -> Found:
        """ "today", "the day before yesterday", "now", "tonight" as a day with its evening."""
        words = self.words
        word = words.at(i)
        if words.follow(i + (word == "the"), ("night", "before", "last")):
            day = self.context.day(add_days(self.context.today, -2))
            return at_part(day, "night"), i + 3 + (word == "the")
        if word in NAMED_DAYS:
            return self.context.day(add_days(self.context.today, NAMED_DAYS[word])), i + 1
        j = i + (word == "the")
        for phrase, offset in (
            (("day", "before", "yesterday"), -2),
            (("day", "after", "tomorrow"), 2),
        ):
            if words.follow(j, phrase):
                return self.context.day(add_days(self.context.today, offset)), j + 3
        if word in ("current", "present", "same") and words.at(i + 1) in ("date", "day"):
            return self.context.day(self.context.today), i + 2
        beside = {"before": -1, "after": 1}.get(words.at(i + 2))
        if words.follow(i, ("the", "day")) and beside and not words.at(i + 3).isalnum():
            return self.context.day(add_days(self.context.today, beside)), i + 3
        if (
            word == "now"
            and words.at(i - 1) not in ("", ".", "!", "?", ",")
            and (
                words.at(i + 1) not in ("that", "and")
                or words.at(i - 1) in ("between", "to", "until")
            )
        ):
            return whole(self.context, "second", 0), i + 1
        now = longest(NOW, words, i)
        return (whole(self.context, "second", 0), i + len(now)) if now else None

    def rolled(self, i: int) -> Found:
        """As :meth:`relative`, counted from today rather than from tomorrow."""
        return self.relative(i, within=True)

    def relative(self, i: int, within: bool = False) -> Found:
        """ "last week", "the next 3 months", "2 upcoming weeks", "this Friday", "last night"."""
        words = self.words
        j = i + (words.at(i) in ("the", "these", "those"))
        number = self.number(j) if words.at(j) not in OFFSETS else None
        if number:
            j = number[1]
        offset = OFFSETS.get(words.at(j))
        if offset is None:
            return self._around_the(i)
        near = words.at(j) in NEAREST
        j += 1
        if number and number[0] != 1 and words.at(j) in UNITS and words.at(j)[-1] != "s":
            return None  # "I counted 13 last minute"
        if words.at(j) in NEAREST and offset == 0:
            offset, near, j = OFFSETS[words.at(j)], True, j + 1
        if number is None:
            number = self.number(j) if words.at(j) not in ("a", "an", "half") else None
            j = number[1] if number and self.unit(number[1]) else j
            number = number if number and j == number[1] else None
        if words.at(j) in ("fortnight", "fortnights") and offset:
            length = duration(2 * (number[0] if number else 1), "week")
            return rolling(self.context, length, offset), j + 1
        unit = self.unit(j)
        if unit and unit[0] == "day" and number is None and words.at(i - 1) in _POSSESSIVES:
            return None  # "my last day is 15 May"
        if unit and not (unit[0] == "second" and number is None):
            if number is not None:
                if offset == 0 or (
                    self.words.at(unit[1]) in ("of", "in") and self.point(unit[1] + 1, True)
                ):
                    return None
                return self._several(number[0], unit[0], offset, within), unit[1]
            if offset == 0 and unit[0] in ("season", "decade", "century", "second"):
                return (whole(self.context, unit[0], 0), unit[1]) if unit[0] != "second" else None
            return self._whole(unit[0], offset, unit[1])
        if words.at(j) == "workweek":
            week = whole(self.context, "week", offset)
            return days(week.first, add_days(week.first, 5), Grain.WEEK, self.context.zone), j + 1
        return self._named(j, offset, near)

    def _several(self, count: float, unit: Unit, offset: int, within: bool) -> Stretch:
        """Several units before or after now: rolling, but whole quarters, decades, weekends."""
        if unit in ("quarter", "decade", "century", "weekend", "season") and count == int(count):
            size = int(count)
            return whole(self.context, unit, -size if offset < 0 else 1, size)
        return rolling(self.context, duration(count, unit), offset, today=within)

    def _whole(self, unit: Unit, offset: int, end: int) -> Found:
        words = self.words
        end_after = end + 2 * words.follow(end, ("'", "s"))
        found = whole(self.context, unit, offset)
        if unit == "year":
            named = self._in_year(found.first.year, end_after)
            if named:
                return named
        if unit == "week":
            j = end_after + (words.at(end_after) in ("on", ","))
            weekday = WEEKDAYS.get(words.at(j))
            if weekday is not None and not (words.at(j - 1) == "," and words.at(j + 1) in MONTHS):
                return self.context.day(add_days(found.first, weekday)), j + 1
        return found, end

    def _in_year(self, year: int, i: int) -> Found:
        """The holiday, season, month or quarter that follows "last year's"."""
        words, zone = self.words, self.context.zone
        name = longest(HOLIDAY_NAMES, words, i)
        if name:
            return self.context.holiday(HOLIDAYS[name], year), i + len(name)
        if words.at(i) in SEASONS:
            return self._season_of(words.at(i))(year), i + 1
        if (words.at(i) in MONTHS and words.at(i) not in ("may", "march")) or (
            words.at(i) in MONTHS and words.at(i - 1) == "s"
        ):
            found = self.month_day(i, True)
            if found and isinstance(found[0], Fields) and found[0].year is None:
                return replace(found[0], year=year), found[1]
        nth = words.number(i + 1, 1)
        if words.at(i) == "q" and nth and nth < 5 and words.joined(i + 1):
            return unit_around(date(year, 3 * nth - 2, 1), "quarter", zone), i + 2
        return None

    def _around_the(self, i: int) -> Found:
        """ "the week before last", "the week after next", "rest of the week", "week to date"."""
        words = self.words
        j = i + (words.at(i) == "the")
        unit = UNITS.get(words.at(j))
        weekday = WEEKDAYS.get(words.at(j))
        for phrase, offset in ((("before", "last"), -2), (("after", "next"), 2)):
            if words.follow(j + 1, phrase):
                if unit:
                    return whole(self.context, unit, offset), j + 3
                if words.at(j) in SEASONS:
                    near = self._nearest(self._season_of(words.at(j)), offset // 2)
                    year = near.first.year + offset // 2
                    return self._season_of(words.at(j))(year), j + 3
                if weekday is not None:
                    week = whole(self.context, "week", offset)
                    return self.context.day(add_days(week.first, weekday)), j + 3
        if words.at(i) in _TO_DATE or (unit and words.follow(j + 1, ("to", "date"))):
            span = whole(self.context, cast(Unit, _TO_DATE.get(words.at(i)) or unit), 0)
            end = i + 1 if words.at(i) in _TO_DATE else j + 3
            return Stretch(span.start, self.context.day(self.context.today).end, span.grain), end
        if words.at(j) in ("rest", "remainder", "remaining", "balance"):
            k = j + 1 + (words.at(j + 1) == "of")
            target = self.target(k)
            if target and target[0].end:
                return replace(target[0], start=self.context.day(self.context.today).start), (
                    target[1]
                )
        if words.at(i) in ("later", "earlier", "sometime") or words.follow(i, ("so", "far")):
            k = i + 1 + (words.at(i) == "so")
            target = self.target(k + (words.at(k) == "in"))
            today = self.context.day(self.context.today)
            if target and target[0].first <= today.first < target[0].after:
                if words.at(i) == "sometime":
                    return target
                if words.at(i) == "later":
                    return replace(target[0], start=today.end), target[1]
                until = today.start if words.at(i) == "earlier" else today.end
                return replace(target[0], end=until), target[1]
        if words.at(j) == "week" and words.number(j + 1, 2):
            return self._week_number(j)
        return None

    def _week_number(self, j: int) -> Found:
        week, end = self.words.number(j + 1, 2) or 0, j + 2
        if self.words.at(end) in (":", "am", "pm", "week", "weeks", "day", "days"):
            return None
        year = self._year_after(end)
        if year:
            return iso_week(year[0], week, self.context.zone), year[1]
        this = self.context.today.isocalendar().year
        return iso_week(this, week, self.context.zone), end

    def _named(self, j: int, offset: int, near: bool) -> Found:
        """ "last Friday", "next May", "this summer", "last Christmas", "this morning"."""
        words, context = self.words, self.context
        word = words.at(j)
        stage = STAGES.get(word)
        if stage and words.at(j + 1) in MONTHS:
            word, j = words.at(j + 1), j + 1
        if word in WEEKDAYS:
            dated = self.weekday(j, True)
            if dated and isinstance(dated[0], Fields) and dated[0].day:
                year = dated[0].year or (context.today.year if dated[0].month else None)
                return replace(dated[0], year=year), dated[1]
            return context.day(self._weekday(WEEKDAYS[word], offset, near)), j + 1
        if word in MONTHS:
            dated = self.month_day(j, True)
            if dated and isinstance(dated[0], Fields) and (dated[0].day or dated[0].year):
                return dated
            return self._nearest(
                lambda year: unit_around(date(year, MONTHS[word], 1), "month", context.zone),
                offset,
            ), j + 1
        if word in SEASONS:
            return self._nearest(self._season_of(word), offset), j + 1
        if word in PARTS and word not in ("am", "pm"):
            if offset == 0 and word == "night":
                return None
            return at_part(context.day(add_days(context.today, offset)), PARTS[word]), j + 1
        name = longest(HOLIDAY_NAMES, words, j)
        if name:
            rule = HOLIDAYS[name]
            if offset == 0:
                return context.holiday(rule, context.today.year), j + len(name)
            return self._nearest(lambda year: context.day(rule(year)), offset), j + len(name)
        return None

    def _weekday(self, weekday: int, offset: int, near: bool) -> date:
        """Last: the latest before today. Next: that of the next ISO week. This: of this one."""
        today = self.context.today
        if offset < 0:
            return add_days(today, -((today.weekday() - weekday - 1) % 7 + 1))
        if near:
            return add_days(today, (weekday - today.weekday() - 1) % 7 + 1)
        return add_days(today, weekday - today.weekday() + 7 * offset)

    def _season_of(self, word: str) -> Callable[[int], Stretch]:
        month = SEASONS[word]
        return lambda year: unit_around(date(year, month, 1), "season", self.context.zone)

    def _nearest(self, build: Callable[[int], Stretch], offset: int) -> Stretch:
        """This year's, the latest that is over, or the next that has not begun."""
        year, today = self.context.today.year, self.context.today
        tried = [build(near_year) for near_year in range(year - 2, year + 3)]
        if offset < 0:
            return [one for one in tried if one.after <= today][-1]
        if offset > 0:
            return next(one for one in tried if one.first > today)
        around = [one for one in tried if one.first <= today < one.after]
        return (around or [one for one in tried if one.first.year == year])[0]

    def target(self, i: int) -> tuple[Stretch, int] | None:
        """A date, or "the year", "the month" for the present one."""
        unit = UNITS.get(self.words.at(i + 1)) if self.words.at(i) == "the" else None
        if unit and unit not in ("second", "minute", "hour"):
            return whole(self.context, unit, 0), i + 2
        found = self.point(i, True)
        return (settle(found[0], self.context), found[1]) if found else None
