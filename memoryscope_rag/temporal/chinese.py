"""Chinese time expressions in running text: with clock times, ranges, open sides, repeats."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from memoryscope_rag.schema import Grain, Recurrence
from memoryscope_rag.temporal.calendar import Stretch, Unit
from memoryscope_rag.temporal.chinese_dates import STARTS, ChineseDates, Found
from memoryscope_rag.temporal.chinese_words import (
    DAYS_OF_WEEK,
    HOLIDAY,
    HOLIDAYS,
    NUMBER,
    PART,
    PARTS,
    SHORT_DAYS,
    UNITS,
    simplified,
)
from memoryscope_rag.temporal.clock import (
    Clock,
    ClockSpan,
    DayPart,
    at,
    at_clock,
    at_span,
    clock,
    nearest,
)
from memoryscope_rag.temporal.fields import (
    Context,
    Fields,
    Point,
    Read,
    join,
    longest_reading,
    settle,
)
from memoryscope_rag.temporal.holidays import is_fixed
from memoryscope_rag.temporal.numbers import chinese
from memoryscope_rag.temporal.relative import whole

_CLOCKED = (Grain.HOUR, Grain.MINUTE, Grain.SECOND)
_S = r"\s{0,2}"
_CLOCK = re.compile(
    rf"(\d{{1,2}})\s?:\s?(\d{{2}})(?:\s?:\s?(\d{{2}}))?(?![\d:])\s?([ap]m|[AP]M)?"
    rf"|({NUMBER}){_S}(?:点钟|点(?!建议|意见|原因|理由|好处|看法|想法|启示)|时(?!候|代|间|光|刻|候|常))"
    rf"(?:整|(半)|([一三])刻|({NUMBER})(分)?(?:({NUMBER})秒)?"
    rf"(?![\d个年月天号点小]))?"
)
_TO = re.compile(rf"{_S}(?:-|~|到|至|直到){_S}")
_OPEN = re.compile(rf"(?:从|自从|自|由|在|于|介于){_S}")
_BETWEEN = re.compile(r"(?:和|与|跟)")
_BETWEEN_END = re.compile(r"(?:之|这段时)?间")
_END = re.compile(r"(?:之间|为止|期间)")
_BEFORE = re.compile(rf"{_S}(或|及其|及|和|以及)?(?:之|以)?前(?!天|年|后|往)")
_AFTER = re.compile(rf"{_S}(或|及其|及|和|以及)?(?:之|以)?后(?!天|年|来|面)")
_SINCE = re.compile(rf"{_S}(?:以来|起(?!来)|开始|至今|到现在|到今天)")
_SINCE_FIRST = re.compile(r"自从|自打|自|从")
_UNTIL_FIRST = re.compile(r"截止到?|截至到?|直到|到|不晚于|至迟")
_EVERY = re.compile(
    rf"每隔?({NUMBER})?个?(天|日|周|星期|礼拜|月|年|季度|小时|周末|工作日)([一二三四五六日天])?"
)
_SKIP = re.compile(r"隔(周|天|日|月|年)")
_EVERY_NTH = re.compile(
    r"每逢?(?:个)?(?=周|星期|礼拜|春|夏|秋|冬|[元情妇清端七中重国圣除劳儿教母父感]|\d|[一二三四五六七八九十])"
)


def read_chinese(text: str, context: Context) -> Iterator[Read]:
    """Every expression of ``text``, in order, none overlapping."""
    text = simplified(text)
    reader = Chinese(text, context, ChineseDates(text, context))
    i = 0
    while i < len(text):
        begin = STARTS.search(text, i)
        if begin is None:
            return
        i = begin.start()
        found = reader.expression(i)
        if found is None:
            # The rest of a figure is no expression of its own.
            while i + 1 < len(text) and text[i].isdigit() and text[i + 1].isdigit():
                i += 1
            i += 1
            continue
        stretch, end = found
        while end > i and text[end - 1] == " ":
            end -= 1
        yield i, end, stretch
        i = max(end, i + 1)


@dataclass(frozen=True, slots=True)
class Chinese:
    """Reads one simplified text; every rule takes a character index."""

    text: str
    context: Context
    dates: ChineseDates

    def expression(self, i: int) -> tuple[Stretch, int] | None:
        """The longest expression at ``i``."""
        rules = (self.repeated, self.spanning, self.sided, self.dated, self.timed)
        return longest_reading(rules, i, self.context)

    def dated(self, i: int) -> Found:
        """A date with the part of the day and the clock time after it."""
        short = SHORT_DAYS.get(self.text[i : i + 1])
        if short is not None:
            part = PART.match(self.text, i + 1)
            if part:
                day = self.context.day(
                    self.context.today.fromordinal(self.context.today.toordinal() + short)
                )
                return self._with_time(day, i + 1)
        found = self.dates.point(i)
        return self._with_time(*found) if found else None

    def _with_time(self, point: Point, end: int) -> Found:
        fine = (
            point.day is not None or point.weekday is not None
            if isinstance(point, Fields)
            else point.grain is Grain.DAY
        )
        if not fine:
            return point, end
        j = end
        while j < len(self.text) and j < end + 2 and self.text[j] in " 的,":
            j += 1
        part = PART.match(self.text, j)
        span = self._span(j)
        if span:
            return at_span(settle(point, self.context), span[0], span[2]), span[1]
        time = self.clock(part.end() if part else j)
        if time:
            day = settle(point, self.context)
            return at_clock(day, time[0], PARTS[part.group()] if part else None), time[1]
        if part and not self.text.startswith("期", part.end()):
            return at(settle(point, self.context), PARTS[part.group()]), part.end()
        return point, end

    def clock(self, i: int) -> tuple[Clock, int] | None:
        """三点半, 15:30, 九点二十, 三点一刻, 17时5分."""
        j = i + (self.text[i : i + 1] == " ")
        found = _CLOCK.match(self.text, j)
        if found is None:
            return None
        if found.group(1):
            time = clock(
                int(found.group(1)),
                int(found.group(2)),
                int(found.group(3)) if found.group(3) else None,
            )
            if time and found.group(4) and time.hour <= 12:
                time = time.in_half(found.group(4).lower() == "pm")
            if time and found.group(1).startswith("0"):
                time = replace(time, sure=True)
            return (time, found.end()) if time else None
        hour = chinese(found.group(5))
        minute = 30 if found.group(6) else None
        if found.group(7):
            minute = 15 if found.group(7) == "一" else 45
        if found.group(8):
            minute = chinese(found.group(8))
        second = chinese(found.group(10)) if found.group(10) else None
        if hour is None or self.text[j - 1 : j].isdigit():
            return None
        end = found.end()
        time = clock(hour, minute, second)
        return (time, end) if time else None

    def _span(self, i: int) -> tuple[ClockSpan, int, DayPart | None] | None:
        """下午2点到4点, 5:00-6:00: two clock times, each with its part of the day."""
        sides: list[Clock] = []
        first_part: DayPart | None = None
        j = i
        for number in range(2):
            part = PART.match(self.text, j)
            time = self.clock(part.end() if part else j)
            if time is None and number == 0:
                bare = re.compile(rf"({NUMBER})(?={_TO.pattern})").match(
                    self.text, part.end() if part else j
                )
                hour = chinese(bare.group(1)) if bare else None
                lone = clock(hour) if hour is not None else None
                if bare is None or lone is None:
                    return None
                time = lone, bare.end()
            if time is None:
                return None
            found = time[0].in_part(PARTS[part.group()]) if part else time[0]
            if part and number == 0:
                first_part = PARTS[part.group()]
            if number and not part and first_part:
                found = found.in_part(first_part)
            sides.append(found)
            j = time[1]
            if number == 0:
                to = _TO.match(self.text, j)
                if to is None:
                    return None
                j = to.end()
        return ClockSpan(sides[0], sides[1]), j, None

    def timed(self, i: int) -> tuple[Stretch, int] | None:
        """A clock time without a date: the nearest one. Bare parts of the day are left alone."""
        past = self.context.past
        if self.text[i - 1 : i].isdigit():
            return None
        part = PART.match(self.text, i)
        span = self._span(i)
        if span:
            clock_span = span[0]
            return nearest(
                self.context.now, past, lambda day: at_span(self.context.day(day), clock_span)
            ), span[1]
        time = self.clock(part.end() if part else i)
        if time is None:
            return None
        hint = PARTS[part.group()] if part else None
        if not part and self.text[i : time[1]] in ("一点", "一时"):
            return None  # "a little", "for a while"
        return nearest(
            self.context.now, past, lambda day: at_clock(self.context.day(day), time[0], hint)
        ), time[1]

    def spanning(self, i: int) -> tuple[Stretch, int] | None:
        """从五月到七月, 2018年至今 is open, 10月和5月间, 1995-1997年."""
        opener = _OPEN.match(self.text, i)
        j = opener.end() if opener else i
        first = self.dated(j) or self._bare(j)
        if first is None:
            return None
        between = _BETWEEN.match(self.text, first[1])
        to = _TO.match(self.text, first[1]) or between
        if to is None:
            return None
        second = self.dated(to.end()) or self._bare_end(first[0], to.end())
        if second is None:
            return None
        last = second[1]
        closing = _BETWEEN_END.match(self.text, last) if between else None
        if between and closing is None:
            return None
        closing = closing or _END.match(self.text, last)
        return join(first[0], second[0], self.context), closing.end() if closing else last

    def _bare(self, j: int) -> Found:
        """A bare number before 到 or -: a year, month or day whose unit the other side names."""
        found = re.compile(
            rf"(\d{{4}}|{NUMBER})(?={_TO.pattern}({NUMBER}){_S}(年|月|日|号))"
        ).match(self.text, j)
        if found is None or self.text[j - 1 : j].isdigit():
            time = self.clock(j)
            if time and self.text[j - 1 : j] in ("从", "自", "在"):
                return at_clock(self.context.day(self.context.today), time[0]), time[1]
            return None
        value, unit = chinese(found.group(1)) or 0, found.group(3)
        if unit == "年":
            return (Fields(value), found.end()) if len(found.group(1)) == 4 else None
        return (Fields(month=value) if unit == "月" else Fields(day=value)), found.end()

    def _bare_end(self, first: Point, j: int) -> Found:
        """The end of a range that leaves out what the start has said: 昨天两点到四点."""
        part = PART.match(self.text, j)
        time = self.clock(part.end() if part else j)
        if time is None or not isinstance(first, Stretch) or first.grain not in _CLOCKED:
            return None
        day = self.context.day(first.first)
        return at_clock(day, time[0], PARTS[part.group()] if part else None), time[1]

    def sided(self, i: int) -> tuple[Stretch, int] | None:
        """五月之前, 2015年1月1日或之前, 2018年以来, 截止到周五."""
        until = _UNTIL_FIRST.match(self.text, i)
        since = _SINCE_FIRST.match(self.text, i)
        opener = until or since
        j = opener.end() if opener else i
        while j < i + 5 and self.text[j : j + 1] in (" ", "在"):
            j += 1
        found = self.dated(j)
        if found is None:
            return None
        base, end = settle(found[0], self.context), found[1]
        if base.start is None or base.end is None:
            return None
        clocked = base.grain in _CLOCKED
        before = _BEFORE.match(self.text, end)
        if before:
            included = self.context.inclusive or base.grain is not Grain.DAY
            to_end = before.group(1) and not clocked and included
            edge = base.end if to_end or self.text[end - 1] in "底末" else base.start
            return Stretch(None, edge, base.grain), before.end()
        after = _AFTER.match(self.text, end)
        if after:
            fine = clocked or base.grain is Grain.DAY  # as in English, from the day itself on
            edge = base.start if after.group(1) or fine else base.end
            return Stretch(edge, None, base.grain), after.end()
        tail = _SINCE.match(self.text, end)
        if tail:
            return Stretch(base.start, None, base.grain), tail.end()
        if since and self.text[i : i + 2] in ("自从", "自打"):
            return Stretch(base.start, None, base.grain), end
        if (until and self.text[i] in "截直不至") or (until and self.text.startswith("为止", end)):
            edge = base.end if base.grain is Grain.DAY and self.context.inclusive else base.start
            end += 2 * self.text.startswith("为止", end)
            return Stretch(None, edge, base.grain), end
        return None

    def repeated(self, i: int) -> tuple[Stretch, int] | None:
        """每天, 每周一, 每两周, 隔周, 每年五月七日, 每月1号, 每个周末."""
        skip = _SKIP.match(self.text, i)
        if skip:
            unit = UNITS[skip.group(1)]
            return self._unit(unit, 2, skip.end())
        found = _EVERY.match(self.text, i)
        if found is None:
            return self._every_date(i)
        count = chinese(found.group(1)) if found.group(1) else 1
        count = (count or 1) + (found.group().startswith("每隔") and found.group(1) is not None)
        if not 1 <= count <= 300:
            return None
        word, day = found.group(2), found.group(3)
        if day and word in ("周", "星期", "礼拜"):
            base = Fields(weekday=DAYS_OF_WEEK[day]).resolve(self.context)
            again = Recurrence("week", count, weekday=DAYS_OF_WEEK[day])
            return self._at_time(base, again, found.end())
        end = found.end() - (1 if day else 0)
        unit = "weekend" if word == "周末" else UNITS[word]
        if unit in ("year", "month"):
            j = end + (self.text[end : end + 1] in ("的", " "))
            dated = self.dates.civil(j)
            base_fields = dated[0] if dated else None
            if dated and isinstance(base_fields, Fields) and base_fields.year is None:
                again = Recurrence(
                    "year" if unit == "year" else "month",
                    count,
                    month=base_fields.month,
                    day=base_fields.day,
                )
                return self._at_time(base_fields.resolve(self.context), again, dated[1])
            if dated and unit == "year" and isinstance(base_fields, Stretch):
                first = base_fields.first
                again = Recurrence("year", count)
                holiday = HOLIDAY.match(self.text, j)
                if base_fields.grain is Grain.SEASON:
                    again = Recurrence("year", count, month=first.month)
                elif holiday and is_fixed(HOLIDAYS[holiday.group()], first.year):
                    again = Recurrence("year", count, month=first.month, day=first.day)
                return replace(base_fields, recurrence=again), dated[1]
        return self._unit(unit, count, end)

    def _every_date(self, i: int) -> tuple[Stretch, int] | None:
        """每逢周三, 每个星期一, 每5月7日."""
        found = _EVERY_NTH.match(self.text, i)
        if found is None:
            return None
        dated = self.dates.point(found.end())
        if dated is None:
            weekday = re.compile("(?:周|星期|礼拜)([一二三四五六日天])").match(
                self.text, found.end()
            )
            if weekday is None:
                return None
            dated = Fields(weekday=DAYS_OF_WEEK[weekday.group(1)]), weekday.end()
        base = settle(dated[0], self.context)
        if isinstance(dated[0], Fields) and dated[0].weekday is not None:
            again = Recurrence("week", 1, weekday=dated[0].weekday)
        elif base.grain in (Grain.DAY, Grain.MONTH, Grain.SEASON):
            day = base.first.day if base.grain is Grain.DAY else None
            again = Recurrence("year", 1, month=base.first.month, day=day)
        else:
            return None
        return self._at_time(base, again, dated[1])

    def _unit(self, unit: Unit, every: int, end: int) -> tuple[Stretch, int]:
        today = self.context.day(self.context.today)
        base = today if unit == "business_day" else whole(self.context, unit, 0)
        if unit == "quarter":
            again = Recurrence("month", 3 * every)
        elif unit in ("hour", "month", "year"):
            again = Recurrence(unit, every)
        else:
            again = Recurrence("week" if unit in ("week", "weekend") else "day", every)
        return self._at_time(base, again, end)

    def _at_time(self, base: Stretch, again: Recurrence, end: int) -> tuple[Stretch, int]:
        if base.grain is not Grain.DAY:
            return replace(base, recurrence=again), end
        j = end + (self.text[end : end + 1] in ("的", " "))
        part = PART.match(self.text, j)
        time = self.clock(part.end() if part else j)
        hint = PARTS[part.group()] if part else None
        if time:
            narrowed = at_clock(base, time[0], hint)
            if narrowed.start:
                again = replace(again, hour=narrowed.start.hour, minute=narrowed.start.minute)
            return replace(narrowed, recurrence=again), time[1]
        if hint and part:
            return replace(at(base, hint), recurrence=again), part.end()
        return replace(base, recurrence=again), end
