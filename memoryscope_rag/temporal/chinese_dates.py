"""Chinese dates without clock times: 2023年5月7日, 上周三, 去年夏天, 三天前, 十月的第一周."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date

from memoryscope_rag.schema import Grain
from memoryscope_rag.temporal.calendar import (
    GRAINS,
    Stretch,
    add_days,
    add_months,
    days,
    unit_around,
)
from memoryscope_rag.temporal.chinese_words import (
    COUNTED,
    DAY,
    DAYS,
    DAYS_OF_WEEK,
    ERA,
    ERAS,
    HOLIDAY,
    HOLIDAYS,
    NUMBER,
    PART,
    PERIOD,
    PERIODS,
    SEASONS,
    STAGES,
    UNITS,
    YEAR_WORD,
    YEARS,
)
from memoryscope_rag.temporal.fields import Context, Fields, Point, settle
from memoryscope_rag.temporal.lunar import solar
from memoryscope_rag.temporal.numbers import chinese
from memoryscope_rag.temporal.relative import (
    Duration,
    duration,
    half_of,
    part_of,
    rolling,
    shifted,
    units_in,
    weekday_in,
    whole,
)

Found = tuple[Point, int] | None

_FEW = 3
_S = r"\s{0,2}"
_YEAR = re.compile(
    rf"(\d{{4}}(?={_S}年(?!代|级|龄))|\d{{2}}|[零〇○一二三四五六七八九]{{4}}|[零〇○一二三四五六七八九]{{2}}){_S}年(?!代|级|龄|多|来的)"
)
_MONTH = re.compile(rf"(\d{{1,2}}|十[一二]?|[一二三四五六七八九正腊])(?:{_S})月(?:份)?(?!亮|饼|球)")
_DAY_NUMBER = re.compile(rf"({NUMBER}){_S}(?:日|号)(?!线|楼|店|元|码)")
_BARE_DAY = re.compile(
    rf"(三十一?|[一二]?十[一二三四五六七八九]?|二十|\d{{1,2}})(?![\d个年天周月点时分:.\-/日号一-鿿]|{_S}[个月年])"
)
_LUNAR_DAY = re.compile(
    r"初[一二三四五六七八九十]|十[一二三四五六七八九]|二十[一二三四五六七八九]?|廿[一二三四五六七八九]?|三十"
)
_ISO = re.compile(
    r"(?<![\d./-])(\d{4})([-/.])(\d{1,2})(?:\2(\d{1,2}))?(?![\d]|[-/.]\d)|(?<![\d./-])(\d{1,2})/(\d{1,2})/(\d{4})(?![\d/])"
)
_ISO_BEFORE_RANGE = re.compile(r"(?<![\d./-])(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?=-\d{4}[-/.])")
_WEEK = re.compile(r"(上+|下+|本|这|当|前)(?:一)?个?(周|星期|礼拜)(末|[一二三四五六日天])?")
_WEEKDAY = re.compile(r"(?:周|星期|礼拜)([一二三四五六日天])(?!次|年|些|个|起|共|直|定|般|样|切)")
_REL_MONTH = re.compile(r"(上+|下+|本|这|当)(?:一)?个?月(?!亮|饼)")
_QUARTER = re.compile(rf"第?([一二三四1-4]){_S}(?:个)?季度|[Qq]([1-4])(?![0-9])|首季度")
_REL_UNIT = re.compile(r"(上+|下+|本|这)(?:一)?个?(季度|世纪|年代|小时|钟头|工作日|周末)")
_HALF = re.compile(r"([上下])半(年|月|个月|周)")
_SEASON = re.compile(r"([春夏秋冬])(天|季|日(?!子))")
_STAGE = re.compile(
    r"(?:的)?(上旬|中旬|下旬|前期|中期|后期|初期|初(?![一二三四五六七八九十中])|中(?=$|[，。,、旬的期])|底|末|年初|年中|年底|年末|月初|月中|月底|月末)"
)
_NOW_STAGE = re.compile(r"(年|月)(初|中(?!旬)|底|末|终(?=$|[，。奖]))|(周初|周中)")
_DECADE = re.compile(
    r"(?:(上个?|[本一二三四五六七八九十]{1,3}|\d{1,2})世纪)?(\d{2}|[一二三四五六七八九]十)年代(?:(初|中|末|后)期?)?"
)
_DECADE_FULL = re.compile(r"(\d{3}0)年代")
_CENTURY = re.compile(r"(\d{1,2}|[一二三四五六七八九十]{1,3})世纪")
_LENGTH = re.compile(
    rf"(半|几|数|好几|{NUMBER})(?:多)?{_S}((?:个)?半)?({COUNTED}|(?<=半)月)(半)?(?!前期)"
)
_HALF_YEAR = re.compile(r"半(年|个月|天|小时|个小时|个钟头)")
_AND = re.compile(r"又|零|加|外加|和")
_AGO = re.compile(r"(?:之|以)?前(?!后)")
_HENCE = re.compile(r"(?:之|以)?后|过后")
_WITHIN = re.compile(r"(?:之|以)?内")
_PAST_N = re.compile(r"(?:在)?(过去|最近|近|前|上|此前)(?:的)?")
_NEXT_N = re.compile(r"(未来|接下来|今后|往后|之后|下|后|还剩|还有|随后|再过)(?:的)?")
_NTH = re.compile(
    rf"(?:的)?{_S}(?:第{_S}({NUMBER}){_S}个?|(最后|前|头){_S}(?:的)?({NUMBER})?{_S}(?:个)?)(周末|周|星期|礼拜|月|天|日|季度|年|工作日)([一二三四五六日天])?"
)
_NOW = re.compile(r"现在|刚才|目前|此刻|当前|此时此刻|如今")
_RECENT = re.compile(r"最近|近来|近日|近期")


@dataclass(frozen=True, slots=True)
class ChineseDates:
    """Reads dates at a place of a simplified text; every rule takes a character index."""

    text: str
    context: Context
    known: dict[int, Found] = field(default_factory=dict)

    def point(self, i: int) -> Found:
        """The longest date at ``i``."""
        if i not in self.known:
            self.known[i] = None
            self.known[i] = self._point(i)
        return self.known[i]

    def _point(self, i: int) -> Found:
        best: Found = None
        for rule in (
            self.iso,
            self.civil,
            self.lunar,
            self.week,
            self.named,
            self.counted,
            self.rolled,
            self.decade,
        ):
            try:
                found = rule(i)
                if found:
                    found = self._narrowed(*found)
            except (ValueError, OverflowError):
                continue
            if found and (best is None or found[1] > best[1]):
                best = found
        return best

    def _match(self, pattern: re.Pattern[str], i: int) -> re.Match[str] | None:
        return pattern.match(self.text, i)

    def iso(self, i: int) -> Found:
        """2023-05-07, 2023/5, 7/5/2023 (day first)."""
        found = self._match(_ISO_BEFORE_RANGE, i) or self._match(_ISO, i)
        if found is None:
            return None
        groups = found.groups() + (None,) * 3
        if groups[0]:
            year, month = int(groups[0]), int(groups[2])
            day = int(groups[3]) if groups[3] else None
        else:
            day, month, year = int(groups[4]), int(groups[5]), int(groups[6])
            if month > 12:
                day, month = month, day
        if (day is None and found.group(2) == ".") or not 1000 <= year < 2200:
            return None
        date(year, month, day or 1)
        return Fields(year, month, day), found.end()

    def year(self, i: int) -> tuple[int, int] | None:
        """A year with 年, a named year (去年), an era year (民国三年); with its end."""
        word = self._match(YEAR_WORD, i)
        if word:
            return self.context.today.year + YEARS[word.group()], word.end()
        era = self._match(ERA, i)
        if era:
            count = chinese(era.group(2))
            return (ERAS[era.group(1)] + count, era.end()) if count else None
        found = self._match(_YEAR, i)
        if found is None or (i and self.text[i - 1].isdigit()):
            return None
        value = chinese(found.group(1))
        if value is None:
            return None
        if len(found.group(1)) == 2:
            # 20年 is a length, 07年 and 18年10月 are years.
            told = (
                found.group(1)[0] in "0零〇"
                or self._match(_MONTH, found.end())
                or re.compile(
                    "[春夏秋冬初底末]|以[前后来]|之[前后]|[上下]半年|的?第?[一二三四]季度"
                ).match(self.text, found.end())
            )
            if not told:
                return None
            this = self.context.today.year
            value += this - this % 100
            value -= 100 if value > this + 20 else 0
        return (value, found.end()) if 1 <= value <= 9998 else None

    def civil(self, i: int) -> Found:
        """A year, and what may follow it: month, day, season, quarter, half, holiday."""
        named = self.year(i)
        if named is None:
            return self.inside(i, None)
        year, j = named
        for glue in range(3):
            k = j + glue
            if glue and self.text[j:k].strip(" 的度") != "":
                break
            found = self.inside(k, year)
            if found:
                return found
        return Fields(year), j

    def inside(self, i: int, year: int | None) -> Found:
        """A part of ``year`` or, without one, of the nearest year."""
        context = self.context
        month = self._match(_MONTH, i)
        if month and not (month.group(1) in "正腊" or self._length_ahead(i)):
            number = chinese(month.group(1)) or 0
            if not 1 <= number <= 12 or (i and self.text[i - 1].isdigit()):
                return None
            return self._day(Fields(year, number), month.end())
        season = self._match(_SEASON, i)
        if season is None and year is not None:
            season = re.compile("([春夏秋冬])(?!节)").match(self.text, i)
        if season:
            begin = SEASONS[season.group(1)]
            return self._yearly(
                lambda of: unit_around(date(of, begin, 1), "season", context.zone), year
            ), season.end()
        quarter = self._match(_QUARTER, i)
        if quarter:
            nth = chinese(quarter.group(1) or quarter.group(2) or "1") or 1
            return self._yearly(
                lambda of: unit_around(date(of, 3 * nth - 2, 1), "quarter", context.zone), year
            ), quarter.end()
        half = self._match(_HALF, i)
        if half:
            second = half.group(1) == "下"
            if half.group(2) == "年":
                base = Fields(year or context.today.year).resolve(context)
            else:
                base = whole(context, "week" if half.group(2) == "周" else "month", 0)
            return half_of(base, second), half.end()
        period = self._match(PERIOD, i)
        if period:
            ends = PERIODS[period.group()]
            return self._yearly(
                lambda of: days(*ends(of), Grain.WEEK, context.zone), year
            ), period.end()
        holiday = self._match(HOLIDAY, i)
        if holiday and not self.text.startswith(("快乐", "路", "上河图"), holiday.end()):
            return context.holiday(HOLIDAYS[holiday.group()], year), holiday.end()
        if year is None:
            day = self._match(_DAY_NUMBER, i)
            before = self.text[i - 1 : i]
            if day and not before.isdigit() and before not in ("第", "每", "-", "/", "."):
                number = chinese(day.group(1)) or 0
                if 1 <= number <= 31:
                    return self._weekday_after(Fields(day=number), day.end())
        return None

    def _length_ahead(self, i: int) -> bool:
        return self.text[i : i + 4].find("个月") >= 0

    def _yearly(self, build: Callable[[int], Stretch], year: int | None) -> Stretch:
        return build(year) if year is not None else self.context.yearly(build)

    def _day(self, fields: Fields, i: int) -> Found:
        """The day after a month, with 日 or 号 or bare, or in lunar words (十月初一)."""
        j = i + (self.text[i : i + 1] in (" ", "的"))
        lunar = re.compile("初[一二三四五六七八九十]").match(self.text, j)
        if lunar and fields.month:
            return self._solar(fields.year, fields.month, lunar.group(), lunar.end())
        day = self._match(_DAY_NUMBER, j) or self._match(_BARE_DAY, j)
        if day is None:
            return fields, i
        number = chinese(day.group(1)) or 0
        if not 1 <= number <= 31:
            return fields, i
        return self._weekday_after(replace(fields, day=number), day.end())

    def _weekday_after(self, fields: Fields, end: int) -> Found:
        found = re.compile(r"[,，(（ ]{0,2}(?:周|星期|礼拜)([一二三四五六日天])[)）]?").match(
            self.text, end
        )
        if found:
            return replace(fields, weekday=DAYS_OF_WEEK[found.group(1)]), found.end()
        return fields, end

    def lunar(self, i: int) -> Found:
        """农历八月十五, 正月初三, 腊月廿三: days of the lunisolar calendar."""
        begin = re.compile("农历|阴历|旧历").match(self.text, i)
        j = begin.end() if begin else i
        named = self.year(j)
        year, k = named if named else (None, j)
        month = self._match(_MONTH, k)
        if month is None or (not begin and month.group(1) not in "正腊"):
            return None
        number = {"正": 1, "腊": 12}.get(month.group(1)) or chinese(month.group(1)) or 0
        k = month.end() + (self.text[month.end() : month.end() + 1] == "的")
        day = self._match(_LUNAR_DAY, k)
        if day is None:
            return None
        return self._solar(year, number, day.group(), day.end())

    def _solar(self, year: int | None, month: int, words: str, end: int) -> Found:
        day = chinese(words.removeprefix("初")) or 0
        if year is not None:
            return self.context.day(solar(year, month, day)), end
        return self.context.yearly(lambda of: self.context.day(solar(of, month, day))), end

    def week(self, i: int) -> Found:
        """上周, 下下周五, 这个周末, 礼拜天, 周三."""
        found = self._match(_WEEK, i)
        if found:
            if found.group(1) == "前" or self.text[found.end() : found.end() + 1] == "期":
                return None
            offset = _offset(found.group(1))
            base = whole(self.context, "week", offset)
            day = found.group(3)
            if day == "末":
                return whole(self.context, "weekend", offset), found.end()
            if day and not _WEEKDAY.match(self.text, found.end() - 1 - len(found.group(2))):
                return base, found.end() - 1
            if day:
                return self.context.day(add_days(base.first, DAYS_OF_WEEK[day])), found.end()
            return base, found.end()
        found = self._match(_WEEKDAY, i)
        if found and self.text[i - 1 : i] not in ("每", "第", "个"):
            return Fields(weekday=DAYS_OF_WEEK[found.group(1)]), found.end()
        if self.text.startswith("周末", i) and self.text[i - 1 : i] not in ("每", "个"):
            return self.context.nearest(lambda n: whole(self.context, "weekend", n)), i + 2
        return None

    def named(self, i: int) -> Found:
        """今天, 上个月, 月底, 现在, 上季度."""
        context = self.context
        day = self._match(DAY, i)
        if day:
            return context.day(add_days(context.today, DAYS[day.group()])), day.end()
        month = self._match(_REL_MONTH, i)
        if month:
            first = whole(context, "month", _offset(month.group(1))).first
            return self._day(Fields(first.year, first.month), month.end())
        stage = self._match(_NOW_STAGE, i)
        if stage and self.text[i - 1 : i] not in tuple("今去明前后本每"):
            unit = "week" if stage.group(3) else "year" if stage.group(1) == "年" else "month"
            word = (stage.group(3) or stage.group(2))[-1]
            return part_of(whole(context, unit, 0), STAGES[word]), stage.end()  # type: ignore[arg-type]
        found = self._match(_REL_UNIT, i)
        if found:
            unit_word = found.group(2)
            unit = UNITS.get(unit_word) or ("decade" if unit_word == "年代" else "weekend")
            return whole(context, unit, _offset(found.group(1))), found.end()
        now = self._match(_NOW, i)
        if now:
            return whole(context, "second", 0), now.end()
        recent = self._match(_RECENT, i)
        if recent:
            return days(
                add_months(context.today, -1), add_days(context.today, 1), Grain.MONTH, context.zone
            ), recent.end()
        return None

    def decade(self, i: int) -> Found:
        """90年代, 二十世纪八十年代, 1990年代, 21世纪."""
        if i and self.text[i - 1].isdigit():
            return None
        zone = self.context.zone
        full = self._match(_DECADE_FULL, i)
        if full:
            return unit_around(date(int(full.group(1)), 1, 1), "decade", zone), full.end()
        found = self._match(_DECADE, i)
        if found:
            tens = chinese(found.group(2)) or 0
            said = found.group(1)
            if said and said.startswith("上"):
                start = (self.context.today.year // 100 - 1) * 100 + tens
            elif said == "本":
                start = self.context.today.year // 100 * 100 + tens
            elif said:
                start = ((chinese(said) or 0) - 1) * 100 + tens
            else:
                start = tens + (1900 if tens >= 30 else 2000)
            stretch = unit_around(date(start, 1, 1), "decade", zone)
            stage = {"初": "early", "中": "mid", "末": "late", "后": "late"}.get(found.group(3))
            return part_of(stretch, stage) if stage else stretch, found.end()  # type: ignore[arg-type]
        century = self._match(_CENTURY, i)
        if century:
            begin = ((chinese(century.group(1)) or 0) - 1) * 100
            return unit_around(date(begin, 1, 1), "century", zone), century.end()
        return None

    def length(self, i: int) -> tuple[Duration, int] | None:
        """三天, 两个半月, 一年半, 半年, 几个月, 8天20小时."""
        total: Duration | None = None
        end = i
        while True:
            found = self._match(_LENGTH, end)
            if found is None:
                return (total, end) if total else None
            said = found.group(1)
            count: float | None = (
                0.5 if said == "半" else _FEW if said in ("几", "数", "好几") else chinese(said)
            )
            if count is None:
                return (total, end) if total else None
            unit = UNITS[found.group(3)]
            count += 0.5 if found.group(2) or found.group(4) else 0
            part = duration(count, unit)
            total = total.plus(part) if total else part
            end = found.end()
            glue = self._match(_AND, end)
            if glue and self._match(_LENGTH, glue.end()):
                end = glue.end()

    def counted(self, i: int) -> Found:
        """三天前, 两周后, 一个月内, 十年以来; lengths of days and more are counted in days."""
        if (i and self.text[i - 1] in "第每0123456789") or self.year(i):
            return None
        found = self.length(i)
        if found is None:
            return None
        length, end = found
        grain = GRAINS[length.unit]
        for pattern, sign in ((_AGO, -1), (_HENCE, 1)):
            side = self._match(pattern, end)
            if side:
                moved = shifted(self.context, length, sign)
                clocked = moved.grain in (Grain.SECOND, Grain.MINUTE, Grain.HOUR)
                return moved if clocked else replace(moved, grain=grain), side.end()
        within = self._match(_WITHIN, end)
        if within:
            return rolling(self.context, length, 1, today=True), within.end()
        since = re.compile("以来|来(?=[，, 的])").match(self.text, end)
        if since:
            return self._until_today(length), since.end()
        return None

    def _until_today(self, length: Duration) -> Stretch:
        return rolling(self.context, length, -1)

    def rolled(self, i: int) -> Found:
        """最近两个月, 过去三天, 未来一周, 前1周, 还剩5分钟."""
        for pattern, sign in ((_PAST_N, -1), (_NEXT_N, 1)):
            begin = self._match(pattern, i)
            if begin is None:
                continue
            j = begin.end() + (self.text[begin.end() : begin.end() + 1] == " ")
            found = self.length(j)
            if found is None or self._match(_AGO, found[1]) or (i and self.text[i - 1] == "以"):
                continue
            if self.year(j) or (
                begin.group(1) in ("上", "下") and self.text[i - 1 : i] in tuple("一以如早晚")
            ):
                continue
            if begin.group(1) in ("上", "下") and self.text[j : j + 1] == "半":
                continue
            inside = self._match(_WITHIN, found[1])
            end = inside.end() if inside else found[1]
            if begin.group(1) in ("最近", "近"):
                return replace(
                    rolling(self.context, found[0], -1),
                ), end
            return rolling(self.context, found[0], sign), end
        return None

    def _narrowed(self, found: Point, end: int) -> Found:
        """``found`` with 初, 底, 中旬, 上半年 or 的第一周 after it."""
        point, last = found, end
        for _ in range(2):
            again = self._one_narrower(point, last)
            if again is None:
                break
            point, last = again
        return point, last

    def _one_narrower(self, found: Point, end: int) -> Found:
        coarse = (
            found.day is None and found.weekday is None
            if isinstance(found, Fields)
            else found.grain
            in (
                Grain.YEAR,
                Grain.MONTH,
                Grain.DECADE,
                Grain.CENTURY,
                Grain.WEEK,
                Grain.QUARTER,
                Grain.SEASON,
            )
        )
        if not coarse:
            return None
        base = settle(found, self.context)
        if base.start is None or base.end is None:
            return None
        stage = self._match(_STAGE, end)
        if stage:
            word = stage.group(1)
            if word in ("上旬", "中旬", "下旬"):
                if base.grain is not Grain.MONTH:
                    return None
                first = base.first.replace(day={"上": 1, "中": 11, "下": 21}[word[0]])
                after = base.after if word[0] == "下" else add_days(first, 10)
                return days(first, after, Grain.WEEK, self.context.zone), stage.end()
            letter = {"前": "初", "后": "末"}.get(word[0], word[0])
            letter = word[-1] if word[0] in "年月" else letter
            if letter in STAGES and (
                word[0] not in "年月"
                or base.grain in (Grain.YEAR if word[0] == "年" else Grain.MONTH,)
            ):
                return part_of(base, STAGES[letter]), stage.end()
        nth = self._match(_NTH, end)
        if nth is None:
            return None
        unit_word, day = nth.group(4), nth.group(5)
        which = (
            chinese(nth.group(1)) or 0 if nth.group(1) else (-1 if nth.group(2) == "最后" else 1)
        )
        count = chinese(nth.group(3)) or 0 if nth.group(3) else 1
        if nth.group(2) in ("前", "头") and not nth.group(3):
            return None
        if which == 0 or count == 0:
            return None
        if day and unit_word in ("周", "星期", "礼拜"):
            return self.context.day(weekday_in(base, DAYS_OF_WEEK[day], which)), nth.end()
        unit = {"周末": "weekend"}.get(unit_word) or UNITS[unit_word]
        return units_in(base, unit, which, count), nth.end() - (0 if not day else 1)  # type: ignore[arg-type]


def _offset(word: str) -> int:
    """上 -1, 上上 -2, 下 1, 本 0."""
    return -len(word) if word[0] == "上" else len(word) if word[0] == "下" else 0


_NAMES = "".join(sorted({name[0] for name in (*ERAS, *HOLIDAYS, *PERIODS)}))
STARTS = re.compile(
    rf"[\dQq零〇○一二三四五六七八九十两廿卅半几数好上下本这当前今明昨后次大去来周星礼春夏秋冬第首年月农阴旧正腊"
    rf"最近过未接随往之还再现刚目此如{_NAMES}"
    rf"从自在截直到每隔早晚至凌清拂黎中傍黄夜深午]"
)
"""Characters an expression may begin with."""
__all__ = ["PART", "STARTS", "ChineseDates", "Found"]
