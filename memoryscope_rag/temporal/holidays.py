"""Holidays by name: fixed, by weekday, by Easter, by moon and sun; and days off in a row.

A rule gives a civil day for a year, a period its first day and the one after it, or they raise
``ValueError``; the lunar ones know the years of :mod:`memoryscope_rag.temporal.lunar` only.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import TypeVar

from memoryscope_rag.temporal.calendar import nth_weekday
from memoryscope_rag.temporal.lunar import solar
from memoryscope_rag.temporal.solar_terms import BEIJING, solar_term

T = TypeVar("T")
Rule = Callable[[int], date]


def easter(year: int) -> date:
    """Western Easter Sunday (anonymous Gregorian algorithm, Meeus, *Astronomical Algorithms*)."""
    golden = year % 19
    century, rest = divmod(year, 100)
    leap, skip = divmod(century, 4)
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leap - correction + 15) % 30
    ordinary_leap, ordinary_rest = divmod(rest, 4)
    weekday = (32 + 2 * skip + 2 * ordinary_leap - epact - ordinary_rest) % 7
    shift = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * shift + 114, 31)
    return date(year, month, day + 1)


def fixed(month: int, day: int) -> Rule:
    """The same day each year."""
    return lambda year: date(year, month, day)


def nth(month: int, weekday: int, count: int, later: int = 0) -> Rule:
    """The ``count``-th weekday of a month, moved by ``later`` days."""
    return lambda year: nth_weekday(year, month, weekday, count) + timedelta(days=later)


def from_easter(offset: int) -> Rule:
    """Days after Easter Sunday."""
    return lambda year: easter(year) + timedelta(days=offset)


def lunar(month: int, day: int) -> Rule:
    """A day of the Chinese year that begins in the given year."""
    return lambda year: solar(year, month, day)


def lunar_eve(year: int) -> date:
    """The day before the Chinese New Year of ``year``."""
    return solar(year, 1, 1) - timedelta(days=1)


def term(degrees: float, hours: float = BEIJING) -> Rule:
    """The day on which the sun reaches a longitude, so many hours ahead of UTC."""
    return lambda year: solar_term(year, degrees, hours)


_THANKSGIVING = nth(11, 3, 4)

ENGLISH: dict[str, Rule] = {
    "new year 's day|new year day|new years day|new year|new years|new year 's": fixed(1, 1),
    "new year 's eve|new years eve|new year eve|nye": fixed(12, 31),
    "valentine 's day|valentines day|valentine day|valentine 's|valentines": fixed(2, 14),
    "groundhog day|ground hog day": fixed(2, 2),
    "st patrick 's day|st . patrick 's day|saint patrick 's day|st patricks day"
    "|saint patrick|st patrick": fixed(3, 17),
    "april fools day|april fool 's day|april fools ' day|april fools": fixed(4, 1),
    "earth day": fixed(4, 22),
    "may day|international workers ' day|international workers day|international worker 's day"
    "|labour day": fixed(5, 1),
    "cinco de mayo": fixed(5, 5),
    "star wars day": fixed(5, 4),
    "international women 's day|women 's day|womens day": fixed(3, 8),
    "children 's day|childrens day": fixed(6, 1),
    "juneteenth|freedom day|jubilee day|emancipation day": fixed(6, 19),
    "canada day": fixed(7, 1),
    "independence day|fourth of july|4th of july|july fourth|us independence day": fixed(7, 4),
    "bastille day": fixed(7, 14),
    "halloween|hallowe 'en|all hallows eve|halloween day": fixed(10, 31),
    "halloween night": fixed(10, 31),
    "all saints day|all saints ' day|all hallows day": fixed(11, 1),
    "all souls day|all souls ' day|day of the dead": fixed(11, 2),
    "guy fawkes night|guy fawkes day|bonfire night": fixed(11, 5),
    "veterans day|veteran 's day|veterans ' day|remembrance day|armistice day": fixed(11, 11),
    "christmas eve|xmas eve|x - mas eve": fixed(12, 24),
    "christmas day|christmas|xmas|xmas day|x - mas": fixed(12, 25),
    "boxing day|st stephen 's day|st . stephen 's day|saint stephen 's day|st stephens day": fixed(
        12, 26
    ),
    "teachers day|teacher 's day|teachers ' day": fixed(9, 10),
    "mlk day|martin luther king day|martin luther king jr day|martin luther king jr . day"
    "|martin luther king , jr . day|mlk jr day": nth(1, 0, 3),
    "presidents day|president 's day|presidents ' day|washington 's birthday": nth(2, 0, 3),
    "mother 's day|mothers day|mothers ' day": nth(5, 6, 2),
    "memorial day": nth(5, 0, -1),
    "father 's day|fathers day|fathers ' day": nth(6, 6, 3),
    "labor day": nth(9, 0, 1),
    "columbus day|indigenous peoples day|indigenous peoples ' day": nth(10, 0, 2),
    "election day": nth(11, 0, 1, 1),
    "thanksgiving day|thanksgiving": _THANKSGIVING,
    "black friday": nth(11, 3, 4, 1),
    "cyber monday": nth(11, 3, 4, 4),
    "giving tuesday": nth(11, 3, 4, 5),
    "mardi gras|fat tuesday|shrove tuesday": from_easter(-47),
    "ash wednesday": from_easter(-46),
    "palm sunday": from_easter(-7),
    "maundy thursday|holy thursday": from_easter(-3),
    "good friday": from_easter(-2),
    "easter sunday|easter day|easter": from_easter(0),
    "easter monday": from_easter(1),
    "ascension day": from_easter(39),
    "pentecost|whit sunday": from_easter(49),
    "whit monday": from_easter(50),
    "corpus christi": from_easter(60),
    "chinese new year|lunar new year|spring festival|chinese new year 's day": lunar(1, 1),
    "chinese new year 's eve|lunar new year 's eve": lunar_eve,
    "lantern festival": lunar(1, 15),
    "dragon boat festival": lunar(5, 5),
    "qixi|qixi festival": lunar(7, 7),
    "mid - autumn festival|mid autumn festival|moon festival|mid - autumn day": lunar(8, 15),
    "qingming|qingming festival|tomb sweeping day|tomb - sweeping day": term(15),
    "winter solstice|shortest day of the year": term(270, 0),
    "summer solstice|longest day of the year": term(90, 0),
    "spring equinox|vernal equinox": term(0, 0),
    "autumn equinox|autumnal equinox|fall equinox": term(180, 0),
}

CHINESE: dict[str, Rule] = {
    "元旦节|元旦|新年": fixed(1, 1),
    "情人节|情人節": fixed(2, 14),
    "妇女节|三八妇女节|三八节|女神节": fixed(3, 8),
    "植树节": fixed(3, 12),
    "愚人节": fixed(4, 1),
    "五一劳动节|五一国际劳动节|劳动节|五一节|五一|勞動節": fixed(5, 1),
    "五四青年节|青年节": fixed(5, 4),
    "六一儿童节|儿童节|六一|兒童節": fixed(6, 1),
    "建党节": fixed(7, 1),
    "八一建军节|建军节": fixed(8, 1),
    "教师节|教師節": fixed(9, 10),
    "国庆节|国庆日|国庆|十一国庆|國慶節|國慶": fixed(10, 1),
    "万圣节|万圣节前夜|万圣夜|萬聖節": fixed(10, 31),
    "光棍节|双十一|双11": fixed(11, 11),
    "双十二|双12": fixed(12, 12),
    "平安夜": fixed(12, 24),
    "圣诞节|圣诞|聖誕節": fixed(12, 25),
    "跨年夜": fixed(12, 31),
    "母亲节|母親節": nth(5, 6, 2),
    "父亲节|父親節": nth(6, 6, 3),
    "感恩节|感恩節": _THANKSGIVING,
    "复活节": from_easter(0),
    "黑色星期五": nth(11, 3, 4, 1),
    "清明节|清明|清明節": term(15),
    "立春": term(315),
    "春分": term(0),
    "立夏": term(45),
    "夏至": term(90),
    "立秋": term(135),
    "秋分": term(180),
    "立冬": term(225),
    "冬至节|冬至": term(270),
    "春节|大年初一|农历新年|农历春节|春節": lunar(1, 1),
    "大年初二": lunar(1, 2),
    "大年初三": lunar(1, 3),
    "除夕夜|除夕|大年三十|年三十": lunar_eve,
    "元宵节|元宵|上元节|元宵節": lunar(1, 15),
    "端午节|端午|端午節": lunar(5, 5),
    "七夕节|七夕|七夕情人节": lunar(7, 7),
    "中元节|鬼节": lunar(7, 15),
    "中秋节|中秋|八月节|中秋節": lunar(8, 15),
    "重阳节|重阳|重陽節": lunar(9, 9),
    "腊八节|腊八": lunar(12, 8),
}

Period = Callable[[int], tuple[date, date]]


def period(first: tuple[int, int], after: tuple[int, int]) -> Period:
    """The same days each year, from one (month, day) up to but not including the other."""
    return lambda year: (date(year, *first), date(year, *after))


def spring_festival(year: int) -> tuple[date, date]:
    """The days off around the Chinese New Year: its eve and the seven days from it on."""
    return lunar_eve(year), solar(year, 1, 8)


CHINESE_PERIODS: dict[str, Period] = {
    "国庆假期|国庆节假期|国庆长假|国庆黄金周|国庆期间|国庆节期间|十一长假|十一黄金周": period(
        (10, 1), (10, 8)
    ),
    "五一假期|五一长假|五一小长假|五一黄金周|五一期间|劳动节假期": period((5, 1), (5, 6)),
    "春节假期|春节长假|春节黄金周|春节期间|过年期间": spring_festival,
    "暑假|暑期": period((7, 1), (9, 1)),
    "寒假": period((1, 15), (3, 1)),
}
"""Days off that are longer than their holiday, as they mostly are: the State Council moves those
of a year by a day or two, and schools their holidays by a week or two."""


def is_fixed(rule: Rule, year: int) -> bool:
    """Whether the holiday falls on the same day of the month in ``year`` and the next."""
    try:
        first, second = rule(year), rule(year + 1)
    except ValueError:
        return False
    return (first.month, first.day) == (second.month, second.day)


def by_name(table: dict[str, T]) -> dict[str, T]:
    """One entry for each of the names that ``table`` joins by a bar."""
    return {name: rule for names, rule in table.items() for name in names.split("|")}
