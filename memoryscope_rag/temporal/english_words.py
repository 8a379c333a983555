"""English time words."""

from __future__ import annotations

from memoryscope_rag.temporal.calendar import Unit, units_by_word
from memoryscope_rag.temporal.clock import DayPart
from memoryscope_rag.temporal.holidays import ENGLISH, by_name
from memoryscope_rag.temporal.relative import Part
from memoryscope_rag.temporal.words import Words, phrases

_MONTH_NAMES = (
    "january jan|february feb febr|march mar|april apr|may|june jun|july jul|august aug|"
    "september sep sept|october oct|november nov|december dec"
)
MONTHS = {
    name: number
    for number, names in enumerate(_MONTH_NAMES.split("|"), 1)
    for name in names.split()
}
_DAY_NAMES = (
    "monday mon|tuesday tue tues|wednesday wed weds|thursday thu thur thurs|friday fri|"
    "saturday sat|sunday sun"
)
WEEKDAYS = {
    name: number for number, names in enumerate(_DAY_NAMES.split("|")) for name in names.split()
}
WEEKDAY_PLURALS = {f"{names.split()[0]}s": n for n, names in enumerate(_DAY_NAMES.split("|"))}
SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
SHY = frozenset(
    [
        "may",
        "march",
        "mar",
        "jan",
        "dec",
        "sat",
        "sun",
        "mon",
        "wed",
        "fri",
        "fall",
        "spring",
        "second",
        "sep",
    ]
)
"""Words that are also verbs, nouns or names: only a neighbour tells that they are times."""

UNITS = units_by_word(
    {
        "second": "second seconds sec secs",
        "minute": "minute minutes min mins",
        "hour": "hour hours hr hrs",
        "day": "day days",
        "business_day": "workday workdays",
        "weekend": "weekend weekends",
        "week": "week weeks wk wks",
        "month": "month months",
        "quarter": "quarter quarters",
        "season": "season seasons",
        "year": "year years yr yrs",
        "decade": "decade decades",
        "century": "century centuries",
    }
)

OFFSETS = {
    "last": -1,
    "past": -1,
    "previous": -1,
    "prior": -1,
    "preceding": -1,
    "this": 0,
    "current": 0,
    "same": 0,
    "next": 1,
    "coming": 1,
    "upcoming": 1,
    "following": 1,
    "subsequent": 1,
}
NEAREST = frozenset(["past", "coming", "upcoming"])
"""With a weekday these mean the nearest one, not that of the neighbouring week."""

PARTS: dict[str, DayPart] = {
    "morning": "morning",
    "mornings": "morning",
    "forenoon": "morning",
    "am": "morning",
    "afternoon": "afternoon",
    "afternoons": "afternoon",
    "pm": "afternoon",
    "evening": "evening",
    "evenings": "evening",
    "night": "night",
    "nights": "night",
    "nighttime": "night",
    "lunchtime": "noon",
    "dawn": "dawn",
}
NAMED_DAYS = {
    "today": 0,
    "yesterday": -1,
    "tomorrow": 1,
    "tmr": 1,
    "tmrw": 1,
    "tomorow": 1,
    "tommorow": 1,
    "tommorrow": 1,
}
STAGES: dict[str, Part] = {
    "early": "early",
    "beginning": "early",
    "start": "early",
    "mid": "mid",
    "middle": "mid",
    "late": "late",
    "end": "late",
    "close": "late",
}
DECADES = {
    "twenties": 20,
    "thirties": 30,
    "forties": 40,
    "fifties": 50,
    "sixties": 60,
    "seventies": 70,
    "eighties": 80,
    "nineties": 90,
}
REPEATED: dict[str, tuple[Unit, int]] = {
    "daily": ("day", 1),
    "everyday": ("day", 1),
    "nightly": ("day", 1),
    "hourly": ("hour", 1),
    "weekly": ("week", 1),
    "biweekly": ("week", 2),
    "fortnightly": ("week", 2),
    "monthly": ("month", 1),
    "quarterly": ("month", 3),
    "yearly": ("year", 1),
    "annually": ("year", 1),
}
PREPOSITIONS = frozenset(
    [
        "in",
        "on",
        "of",
        "since",
        "until",
        "till",
        "til",
        "by",
        "before",
        "after",
        "from",
        "to",
        "through",
        "thru",
        "during",
        "between",
        "last",
        "next",
        "this",
        "past",
        "previous",
        "early",
        "mid",
        "late",
        "every",
        "each",
        "around",
        "about",
        "coming",
        "upcoming",
        "following",
        "at",
        "within",
        "beginning",
        "end",
        "middle",
        "start",
        "is",
        "was",
        "than",
        "for",
        "into",
    ]
)
YEAR_BEFORE = PREPOSITIONS | frozenset(["year", "years", "and", "or", "-", "=", ",", "(", "not"])
FUNCTION_WORDS = frozenset(
    [
        "and",
        "or",
        "to",
        "for",
        "of",
        "in",
        "on",
        "at",
        "by",
        "with",
        "from",
        "is",
        "was",
        "are",
        "were",
        "will",
        "would",
        "i",
        "we",
        "you",
        "they",
        "he",
        "she",
        "it",
        "but",
        "because",
        "when",
        "which",
        "that",
        "as",
        "the",
        "a",
        "an",
        "until",
        "till",
        "through",
        "before",
        "after",
        "since",
        "if",
        "then",
        "so",
        "have",
        "has",
        "had",
        "not",
        "did",
        "do",
        "does",
        "this",
        "my",
        "our",
    ]
)
BEFORE = phrases(
    "before",
    "prior to",
    "earlier than",
    "sooner than",
    "no later than",
    "not later than",
    "as late as",
    "until",
    "till",
    "til",
    "up to",
    "up until",
    "by",
)
UP_TO = frozenset(["until", "till", "til", "up", "by", "no", "not", "as"])
"""These may include the day they name."""
AFTER = phrases("after", "later than")
SINCE = phrases(
    "since",
    "starting from",
    "starting on",
    "starting with",
    "starting",
    "as of",
    "as early as",
    "no earlier than",
    "not before",
    "beginning on",
    "effective",
)
ONWARDS = phrases(
    "or later",
    "and later",
    "or after",
    "and after",
    "onwards",
    "onward",
    "and on",
    "on",
    "and onwards",
    "or greater",
    "and greater",
    "and beyond",
    "or newer",
)
BACKWARDS = phrases("or earlier", "or before", "and before", "and earlier", "or older")

NOW = phrases(
    "right now",
    "at the moment",
    "at this time",
    "at the minute",
    "at this moment",
    "at present",
)
HOLIDAYS = {tuple(Words.of(name).words): rule for name, rule in by_name(ENGLISH).items()}
HOLIDAY_NAMES = phrases(*by_name(ENGLISH))
