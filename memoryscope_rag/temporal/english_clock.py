"""English times of day: 3pm, 15:30, half past seven, noon, from 2 to 4:30 pm, in the morning."""

from __future__ import annotations

from dataclasses import replace

from memoryscope_rag.schema import Grain
from memoryscope_rag.temporal.clock import Clock, ClockSpan, DayPart, clock
from memoryscope_rag.temporal.english_words import PARTS
from memoryscope_rag.temporal.numbers import cardinal
from memoryscope_rag.temporal.words import Words

_NAMED = {"noon": 12, "midday": 12, "midnight": 0, "noonish": 12}
_JOINTS = frozenset(["to", "-", "till", "til", "until", "through", "and", "~"])


def _small(words: Words, i: int) -> tuple[int, int] | None:
    value = words.number(i, 2)
    return (value, i + 1) if value is not None else cardinal(words.words, i)


def half(words: Words, i: int) -> tuple[bool, int] | None:
    """ "am", "p.m.", "8a": whether the afternoon is meant, and the index after it."""
    letter = words.at(i)
    if letter in ("am", "pm"):
        return letter == "pm", i + 1
    if letter not in ("a", "p"):
        return None
    if words.at(i + 1) == "." and words.at(i + 2) == "m":
        return letter == "p", i + 3 + (words.at(i + 3) == "." and words.joined(i + 3))
    if words.at(i + 1) == "m" and words.joined(i + 1):
        return letter == "p", i + 2
    return (letter == "p", i + 1) if words.joined(i) else None


def clock_time(words: Words, i: int, bare: bool = False) -> tuple[Clock, int] | None:
    """A clock time at ``i``. A lone number counts only if ``bare``, after "at" and the like."""
    if words.at(i) == "12" and words.at(i + 1) in ("noon", "midnight"):
        i += 1
    if words.at(i) in _NAMED:
        return Clock(_NAMED[words.at(i)], sure=True), i + 1
    past = _past(words, i)
    if past:
        return past
    found = _small(words, i)
    if found is None or (words.joined(i) and words.at(i - 1) in (":", ".", "/", "$")):
        return None
    hour, j = found
    minute = second = None
    digits = words.at(i).isdigit()
    sign = words.at(j)
    if digits and sign in (":", ".", "：") and words.joined(j) and words.joined(j + 1):
        minute = words.number(j + 1, 2)
        if minute is None or len(words.at(j + 1)) != 2:
            return None
        if sign == "." and half(words, j + 2) is None and not bare:
            return None
        j += 2
        if words.at(j) == ":" and words.joined(j) and words.number(j + 1, 2) is not None:
            second, j = words.number(j + 1, 2), j + 2
            if words.at(j) == "." and words.joined(j) and words.joined(j + 1):
                j += 2 if words.at(j + 1).isdigit() else 0
    elif not digits and (bare or sign == "-"):
        k = j + (sign == "-")
        more = cardinal(words.words, k) if words.at(k) not in ("a", "an") else None
        if more and more[0] >= 5 and hour < 13:
            minute, j = more
    elif digits and len(words.at(i)) <= 2 and words.at(j) == ":" and not words.joined(j):
        return None
    found_clock = clock(hour, minute, second)
    if found_clock is None:
        return None
    if digits and minute is not None and words.at(i).startswith("0"):
        found_clock = replace(found_clock, sure=True)
    said = half(words, j)
    if said and hour <= 12:
        return found_clock.in_half(said[0]), said[1]
    if words.follow(j, ("o", "'", "clock")):
        return found_clock, j + 3
    if words.at(j) == "oclock":
        return found_clock, j + 1
    if minute is None and not bare:
        return None
    return found_clock, j


def _past(words: Words, i: int) -> tuple[Clock, int] | None:
    """Half past seven, a quarter to three, ten past nine, thirty-six minutes past eight."""
    j = i + (words.at(i) == "a")
    if words.at(j) in ("half", "quarter"):
        minutes, j = (30 if words.at(j) == "half" else 15), j + 1
    else:
        found = _small(words, i)
        if found is None or not 1 <= found[0] < 60:
            return None
        minutes, j = found[0], found[1]
        spoken = words.at(j) in ("minutes", "minute", "min")
        j += spoken
        if not spoken and minutes % 5:
            return None
    sign = {"past": 1, "after": 1, "to": -1, "before": -1, "of": -1}.get(words.at(j))
    if (
        sign is None
        or words.at(j) in ("of", "before", "after")
        or (words.at(j) == "to" and (words.at(i).isdigit()))
    ):
        return None
    hour = _small(words, j + 1)
    if hour is None or not 1 <= hour[0] <= 12 or words.at(hour[1]) == ":":
        return None
    total = hour[0] * 60 + sign * minutes
    found_clock = Clock(total // 60 or 12, total % 60, grain=Grain.MINUTE)
    end = hour[1]
    if words.follow(end, ("o", "'", "clock")):
        end += 3
    said = half(words, end)
    return (found_clock.in_half(said[0]), said[1]) if said else (found_clock, end)


def clock_span(words: Words, i: int, bare: bool = False) -> tuple[ClockSpan, int] | None:
    """ "from 2 to 4:30 pm", "between 3 and 8", "9am-5pm"; bare numbers after a date."""
    opened = words.at(i) in ("from", "between", "at", "in")
    first = clock_time(words, i + opened, True)
    if first is None or words.at(first[1]) not in _JOINTS:
        return None
    if words.at(first[1]) == "and" and words.at(i) != "between":
        return None
    last = clock_time(words, first[1] + 1, True)
    if last is None or words.at(last[1]) in ("/", ":") or words.at(last[1]).isdigit():
        return None
    telling = any(
        end - begin > 1 or words.at(begin) in _NAMED
        for begin, end in ((i + opened, first[1]), (first[1] + 1, last[1]))
    )
    return (ClockSpan(first[0], last[0]), last[1]) if telling or bare else None


def day_part(words: Words, i: int) -> tuple[DayPart, int] | None:
    """ "morning", "in the evening", "at night"."""
    j = i
    if words.at(j) in ("in", "at", "during") and words.at(j + 1) in ("the", *PARTS):
        j += 1
    j += words.at(j) == "the" and j > i
    j += words.at(j) in ("early", "late") and words.at(j + 1) in PARTS
    part = PARTS.get(words.at(j))
    return (part, j + 1) if part else None
