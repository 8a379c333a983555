"""Chinese time words, in simplified characters.

:func:`simplified` maps the traditional characters of these words one to one, so places in the
text stay the same.
"""

from __future__ import annotations

import re

from memoryscope_rag.temporal.calendar import units_by_word
from memoryscope_rag.temporal.clock import DayPart
from memoryscope_rag.temporal.holidays import CHINESE, CHINESE_PERIODS, by_name
from memoryscope_rag.temporal.relative import Part

_SIMPLE = str.maketrans(
    "個週號點禮後間兩時從這內幾當過節國慶聖誕勞動兒來開歲世紀鐘隔離現還剩終結舊曆農陰臘陽淩貳參現母親終從將聯歡"
    "０１２３４５６７８９：／－—–～．　",
    "个周号点礼后间两时从这内几当过节国庆圣诞劳动儿来开岁世纪钟隔离现还剩终结旧历农阴腊阳凌贰叁现母亲终从将联欢"
    "0123456789:/---~. ",
)


def simplified(text: str) -> str:
    """``text`` with traditional and full-width characters replaced, character for character."""
    return text.translate(_SIMPLE)


NUMBER = r"(?:\d{1,9}|[零〇○一二三四五六七八九十百千两廿卅元]{1,9})"
"""Bounded, so that a long run of digits costs no more than its length."""
DAYS_OF_WEEK = (
    {c: i for i, c in enumerate("一二三四五六日")} | {"天": 6} | {str(i + 1): i for i in range(6)}
)
UNITS = units_by_word(
    {
        "second": "秒 秒钟",
        "minute": "分 分钟",
        "hour": "小时 钟头 个小时 个钟头 个半小时 时",
        "day": "天 日",
        "business_day": "工作日 个工作日",
        "weekend": "个周末",
        "week": "周 星期 礼拜 个星期 个礼拜 个周",
        "month": "月 个月",
        "quarter": "季度 个季度",
        "year": "年",
        "decade": "个年代",
        "century": "世纪 个世纪",
    }
)
COUNTED = "|".join(sorted((w for w in UNITS if w not in ("月", "时")), key=len, reverse=True))
"""Unit words that may follow a number; 三月 is March and 三时 three o'clock."""

DAYS = {
    "大前天": -3,
    "前天": -2,
    "前日": -2,
    "昨天": -1,
    "昨日": -1,
    "昨儿": -1,
    "今天": 0,
    "今日": 0,
    "今儿": 0,
    "明天": 1,
    "明日": 1,
    "明儿": 1,
    "次日": 1,
    "后天": 2,
    "后日": 2,
    "大后天": 3,
}
SHORT_DAYS = {"今": 0, "昨": -1, "明": 1}
"""Days shortened before a part of the day: 今晚, 昨夜, 明早."""
YEARS = {
    "大前年": -3,
    "前年": -2,
    "去年": -1,
    "上一年": -1,
    "今年": 0,
    "本年度": 0,
    "本年": 0,
    "这一年": 0,
    "明年": 1,
    "来年": 1,
    "下一年": 1,
    "后年": 2,
    "大后年": 3,
}
SEASONS = {"春": 3, "夏": 6, "秋": 9, "冬": 12}
STAGES: dict[str, Part] = {
    "初": "early",
    "中": "mid",
    "底": "late",
    "末": "late",
    "终": "late",
}
PARTS: dict[str, DayPart] = {
    "凌晨": "dawn",
    "拂晓": "dawn",
    "黎明": "dawn",
    "清晨": "morning",
    "清早": "morning",
    "早晨": "morning",
    "早上": "morning",
    "早间": "morning",
    "一早": "morning",
    "上午": "morning",
    "早": "morning",
    "晨": "morning",
    "中午": "noon",
    "正午": "noon",
    "午间": "noon",
    "下午": "afternoon",
    "午后": "afternoon",
    "傍晚": "evening",
    "黄昏": "evening",
    "晚间": "evening",
    "晚上": "evening",
    "晚": "evening",
    "夜晚": "night",
    "夜间": "night",
    "夜里": "night",
    "深夜": "night",
    "半夜": "night",
    "午夜": "night",
    "夜": "night",
}
ERAS = {
    "贞观": 626, "开元": 712, "天宝": 741, "神龙": 704,
    "洪武": 1367, "建文": 1398, "永乐": 1402, "宣德": 1425, "正统": 1435, "景泰": 1449,
    "天顺": 1456, "成化": 1464, "弘治": 1487, "正德": 1505, "嘉靖": 1521, "隆庆": 1566,
    "万历": 1572, "天启": 1620, "崇祯": 1627,
    "顺治": 1643, "康熙": 1661, "雍正": 1722, "乾隆": 1735, "嘉庆": 1795, "道光": 1820,
    "咸丰": 1850, "同治": 1861, "光绪": 1874, "宣统": 1908,
    "民国": 1911, "明治": 1867, "大正": 1911, "昭和": 1925, "平成": 1988, "令和": 2018,
}  # fmt: skip
"""The year before each era's first; an era year is read as the year that it mostly covers."""

HOLIDAYS = {simplified(name): rule for name, rule in by_name(CHINESE).items()}
PERIODS = by_name(CHINESE_PERIODS)


def _any(words: object) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))  # type: ignore[call-overload]


HOLIDAY = re.compile(_any(HOLIDAYS))
PERIOD = re.compile(_any(PERIODS))
DAY = re.compile(_any(DAYS))
YEAR_WORD = re.compile(_any(YEARS))
PART = re.compile(_any(PARTS))
ERA = re.compile(f"({_any(ERAS)})({NUMBER})年")
