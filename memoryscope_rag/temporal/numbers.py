"""Numbers in words: English cardinals and ordinals, Chinese numerals."""

from __future__ import annotations

from collections.abc import Sequence

UNITS = dict(
    zip(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ],
        range(20),
        strict=True,
    )
)
TENS = dict(
    zip(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"],
        range(20, 100, 10),
        strict=True,
    )
)
ORDINAL_UNITS = dict(
    zip(
        [
            "first",
            "second",
            "third",
            "fourth",
            "fifth",
            "sixth",
            "seventh",
            "eighth",
            "ninth",
            "tenth",
            "eleventh",
            "twelfth",
            "thirteenth",
            "fourteenth",
            "fifteenth",
            "sixteenth",
            "seventeenth",
            "eighteenth",
            "nineteenth",
        ],
        range(1, 20),
        strict=True,
    )
)
ORDINAL_TENS = {"twentieth": 20, "thirtieth": 30}

Parsed = tuple[int, int]
"""A value and the index of the word after it."""


def _small(words: Sequence[str], at: int) -> Parsed | None:
    """One to ninety-nine."""
    word = words[at]
    if word in UNITS:
        return UNITS[word], at + 1
    if word not in TENS:
        return None
    rest = at + 1 + (words[at + 1 : at + 2] == ["-"])
    if rest < len(words) and 0 < UNITS.get(words[rest], 0) < 10:
        return TENS[word] + UNITS[words[rest]], rest + 1
    return TENS[word], at + 1


def cardinal(words: Sequence[str], at: int) -> Parsed | None:
    """The number words at ``at``: zero to 999, with "a hundred and five"."""
    if at >= len(words):
        return None
    small = (1, at + 1) if words[at] == "a" else _small(words, at)
    if small is None:
        return None
    value, end = small
    if value < 10 and end < len(words) and words[end] == "hundred":
        more = end + 1 + (words[end + 1 : end + 2] == ["and"])
        rest = _small(words, more) if more < len(words) else None
        return (value * 100 + rest[0], rest[1]) if rest else (value * 100, end + 1)
    return None if words[at] == "a" else small


def ordinal(words: Sequence[str], at: int) -> Parsed | None:
    """The ordinal in words at ``at``: first to thirty-first."""
    if at >= len(words):
        return None
    word = words[at]
    if word in ORDINAL_UNITS:
        return ORDINAL_UNITS[word], at + 1
    if word in ORDINAL_TENS:
        return ORDINAL_TENS[word], at + 1
    if word in ("twenty", "thirty"):
        rest = at + 1 + (words[at + 1 : at + 2] == ["-"])
        if rest < len(words) and ORDINAL_UNITS.get(words[rest], 10) < 10:
            return TENS[word] + ORDINAL_UNITS[words[rest]], rest + 1
    return None


def year_words(words: Sequence[str], at: int) -> Parsed | None:
    """A year in words: "two thousand and fifteen", "nineteen ninety nine", "twenty twenty"."""
    if words[at : at + 2] == ["two", "thousand"]:
        end = at + 2
        more = end + (words[end : end + 1] == ["and"])
        rest = _small(words, more) if more < len(words) else None
        return (2000 + rest[0], rest[1]) if rest else (2000, end)
    if at + 1 >= len(words):
        return None
    century = {"seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20}.get(words[at])
    if century is None:
        return None
    rest = _small(words, at + 1 + (words[at + 1] == "-" and at + 2 < len(words)))
    if rest is None or rest[0] < 10:
        return None
    return century * 100 + rest[0], rest[1]


DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {
    "〇": 0,
    "○": 0,
    "两": 2,
    "兩": 2,
    "元": 1,
    "壹": 1,
    "贰": 2,
    "叁": 3,
}
PLACES = {"十": 10, "百": 100, "千": 1000}
TWENTIES = {"廿": 20, "卅": 30}


def chinese(text: str) -> int | None:
    """The value of Arabic or Chinese digits, ``None`` if ``text`` is no number below 10 000.

    Reads place values (二十三, 一百零五), digit strings (二〇二三) and 廿/卅.
    """
    if text.isascii() and text.isdigit():
        return int(text) if len(text) < 10 else None
    text = text.translate(_FULL_WIDTH)
    if not text:
        return None
    if all(c in DIGITS or (c.isascii() and c.isdigit()) for c in text):
        return int("".join(str(DIGITS.get(c, c)) for c in text)) if len(text) < 10 else None
    total = current = 0
    for c in text:
        if c in DIGITS:
            current = DIGITS[c]
        elif c in TWENTIES:
            total += TWENTIES[c]
        elif c in PLACES:
            total += (current or 1) * PLACES[c]
            current = 0
        elif c.isascii() and c.isdigit():
            current = current * 10 + int(c)
        else:
            return None
    return total + current


_FULL_WIDTH = {ord("０") + i: str(i) for i in range(10)}
