"""English dates with clock times and parts of the day, in either order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from memoryscope_rag.schema import Grain
from memoryscope_rag.temporal.calendar import Stretch, days
from memoryscope_rag.temporal.clock import (
    Clock,
    ClockSpan,
    DayPart,
    Moment,
    at,
    at_clock,
    at_span,
    nearest,
)
from memoryscope_rag.temporal.english_clock import clock_span, clock_time, day_part
from memoryscope_rag.temporal.english_dates import Found
from memoryscope_rag.temporal.english_parts import EnglishDates
from memoryscope_rag.temporal.english_words import (
    AFTER,
    BEFORE,
    ONWARDS,
    PARTS,
    SINCE,
)
from memoryscope_rag.temporal.fields import Context, Fields, Point, settle
from memoryscope_rag.temporal.relative import Duration, shifted
from memoryscope_rag.temporal.words import Words, longest

CLOCKED = (Grain.HOUR, Grain.MINUTE, Grain.SECOND)


@dataclass(frozen=True, slots=True)
class TimedDates:
    """Reads a date together with the time of day said next to it."""

    words: Words
    context: Context
    dates: EnglishDates
    seen: dict[tuple[int, bool], Found] = field(default_factory=dict)

    def dated(self, i: int, inside: bool = False) -> Found:
        """A date with the clock time or the part of the day that goes with it, in either order.

        Raises ``ValueError`` or ``OverflowError`` for times that do not exist.
        """
        key = (i, inside)
        if key not in self.seen:
            self.seen[key] = None
            self.seen[key] = self._dated(i, inside)
        return self.seen[key]

    def _dated(self, i: int, inside: bool) -> Found:
        tonight = self._tonight(i)
        if tonight:
            return tonight
        found = self.dates.point(i, inside)
        if found:
            return self._with_time(*found)
        return self._time_first(i)

    def _tonight(self, i: int) -> Found:
        if self.words.at(i) != "tonight" and not self.words.follow(i, ("this", "night")):
            return None
        end = i + 1 + (self.words.at(i) != "tonight")
        today = self.context.day(self.context.today)
        found = self._time_after(end)
        if found:
            moment, end, _ = found
            return at(today, moment, "night" if _late(moment) else "evening"), end
        return replace(at(today, "night"), start=at(today, "evening").start), end

    def _with_time(self, point: Point, end: int) -> Found:
        """``point`` narrowed by what follows it."""
        if isinstance(point, Stretch) and point.grain not in (Grain.DAY, Grain.PART_OF_DAY):
            return point, end
        if isinstance(point, Fields) and point.day is None and point.weekday is None:
            return point, end
        words = self.words
        if words.at(end) == "t" and words.joined(end) and words.joined(end + 1):
            stamp = clock_time(words, end + 1)
            if stamp:
                day = settle(point, self.context)
                j = stamp[1] + (words.at(stamp[1]) == "z" and words.joined(stamp[1]))
                return at(day, replace(stamp[0], sure=True)), j
        part = _part_of(point, self.context)
        j = end + (words.at(end) == ",")
        said = day_part(words, j)
        if (said and part is None and words.at(j) not in ("am", "pm")) or (
            said and words.at(j) in ("am", "pm") and not (point and words.joined(j))
        ):
            part, end = said
        found = self._time_after(end)
        if found is None:
            if part is None or not said:
                return point, end
            day = settle(point, self.context)
            return at(day, part), end
        moment, end, side = found
        day = settle(point, self.context)
        narrowed = at(day, moment, part)
        if words.at(end) == "for" and isinstance(moment, Clock):
            length = self.dates.length(end + 1)
            if length:
                return self._lasting(narrowed, length)
        if side == "before":
            return Stretch(None, narrowed.start, narrowed.grain), end
        if side == "after":
            return Stretch(narrowed.start, None, narrowed.grain), end
        return narrowed, end

    def _time_after(self, j: int) -> tuple[Moment, int, str] | None:
        """A clock time or span after a date, with "before" or "after" where one stands there."""
        words = self.words
        j += words.at(j) == ","
        span = clock_span(
            words,
            j,
            bare=words.at(j) in ("from", "between", "at")
            or (words.joined(j + 1) and words.at(j + 1) == "-"),
        )
        if span:
            part = day_part(words, span[1])
            moment: Moment = span[0]
            if part and words.at(span[1]) in ("in", "at"):
                moment = ClockSpan(span[0].start.in_part(part[0]), span[0].end.in_part(part[0]))
                return moment, part[1], ""
            return moment, span[1], ""
        if words.at(j) == "from":
            begun = clock_time(words, j + 1, True)
            if begun and words.at(begun[1]) == "for":
                return begun[0], begun[1], ""
        side = ""
        for table, name in ((BEFORE, "before"), (AFTER, "after"), (SINCE, "after")):
            phrase = longest(table, words, j)
            if phrase:
                side, j = name, j + len(phrase)
                break
        j += words.at(j) in ("around", "about", "approximately")
        bare = words.at(j) == "at" or (bool(side) and words.at(j) != "from")
        j += words.at(j) == "at"
        j += words.at(j) in ("around", "about", "exactly", "approximately")
        found = clock_time(words, j, bare)
        if found is None and not words.at(j).isdigit():  # "March eighteenth nine thirty"
            spoken = clock_time(words, j, True)
            found = spoken if spoken and spoken[0].grain is Grain.MINUTE else None
        if found is None:
            return None
        moment, end = found
        if bare and not side and words.at(end) in ("%", "/", "years", "people", "of"):
            return None
        part = day_part(words, end)
        if (
            part
            and (words.at(end) in ("in", "at", "this") or words.at(end) in PARTS)
            and (isinstance(moment, Clock))
        ):
            moment, end = moment.in_part(part[0]), part[1]
        if side and isinstance(moment, Clock):
            return moment, end, side
        later = longest(ONWARDS, words, end)
        if later and later != ("on",):
            return moment, end + len(later), "after"
        return moment, end, side

    def _time_first(self, i: int) -> Found:
        """ "3pm on Monday", "between 7 and 9 last night", "the evening of 5 May"."""
        words = self.words
        bare = words.at(i) in ("at", "from", "between")
        span = clock_span(words, i, True)
        start = i + (words.at(i) == "at")
        time = None if span else clock_time(words, start, True)
        part = (
            day_part(words, i + (words.at(i) == "the")) if words.at(i) not in ("am", "pm") else None
        )
        for moment, end in ((one[0], one[1]) for one in (span, time, part) if one):
            said = day_part(words, end) if not isinstance(moment, str) else None
            hint: DayPart | None = None
            if said and words.at(end) in ("in", "at"):
                hint, end = said
            side = ""
            later = longest(ONWARDS, words, end)
            if later and later != ("on",):
                side, end = "after", end + len(later)
            j = end + (words.at(end) == ",")
            linked = words.at(j) in ("on", "of", ",") or bare or hint is not None
            j += words.at(j) in ("on", "of")
            if words.at(j) == "tonight":
                day: Found = (at(self.context.day(self.context.today), "night"), j + 1)
            else:
                day = self.dates.point(j, True)
            if day is None:
                continue
            date = settle(day[0], self.context)
            if date.grain not in (Grain.DAY, Grain.PART_OF_DAY) or date.start is None:
                continue
            if (
                not linked
                and isinstance(moment, Clock)
                and moment.grain is Grain.HOUR
                and (
                    not moment.sure
                    and date.grain is Grain.DAY
                    and not words.follow(end - 2, ("'", "clock"))
                    and self.words.at(end - 1) != "oclock"
                )
            ):
                continue
            hint = hint or _part_of(date, self.context)
            if hint is None and not isinstance(day[0], str):
                after = day_part(words, day[1])
                if after and not isinstance(moment, str):
                    hint, day = after[0], (day[0], after[1])
            narrowed = at(date, moment, hint)
            if side:
                narrowed = Stretch(narrowed.start, None, narrowed.grain)
            return narrowed, day[1]
        return None

    def timed(self, i: int) -> tuple[Stretch, int] | None:
        """A clock time without a date: the nearest one. Bare parts of the day are left alone."""
        words = self.words
        if words.joined(i) and words.at(i - 1) not in "(\"'[":
            return None
        span = clock_span(words, i)
        past = self.context.past
        if span:
            telling = (
                span[0].start.sure or span[0].end.sure or span[0].start.grain is not Grain.HOUR
            )
            hint = day_part(words, span[1])
            part = hint[0] if hint and words.at(span[1]) in ("in", "at") else None
            if not telling and part is None:
                return None
            found = nearest(
                self.context.now, past, lambda day: at_span(self.context.day(day), span[0], part)
            )
            return found, hint[1] if part and hint else span[1]
        bare = words.at(i) == "at"
        time = clock_time(words, i + bare, bare)
        if time is None:
            return None
        hint = day_part(words, time[1])
        part = hint[0] if hint and words.at(time[1]) in ("in", "at") else None
        strong = (
            part
            or time[0].sure
            or (
                time[1] - i - bare > 1
                and (bare or not words.at(i).isdigit() or words.at(time[1] - 1) == "clock")
            )
        )
        if not strong or (words.at(time[1]) in (":", "/", "%", "-") and words.joined(time[1])):
            return None
        if time[0].sure and not bare and words.at(i).isdigit() and time[1] - i == 1:
            return None
        found = nearest(
            self.context.now, past, lambda day: at_clock(self.context.day(day), time[0], part)
        )
        return found, hint[1] if part and hint else time[1]

    def _lasting(self, begin: Stretch, length: tuple[Duration, int]) -> tuple[Stretch, int]:
        end = shifted(self.context, length[0], 1, begin)
        return Stretch(begin.start, end.start, end.grain), length[1]

    def _today_at(self, i: int) -> Found:
        time = clock_time(self.words, i)
        if time is None:
            return None
        return at_clock(self.context.day(self.context.today), time[0]), time[1]


def _late(moment: Moment) -> bool:
    """Whether a time said with "tonight" belongs to the night proper."""
    first = moment.start if isinstance(moment, ClockSpan) else moment
    return isinstance(first, Clock) and (first.hour >= 8 or first.hour < 5)


def _part_of(point: Point, context: Context) -> DayPart | None:
    """The part of the day a point already stands for, so that "last night at 8" is 20 h."""
    if isinstance(point, Fields) or point.grain is not Grain.PART_OF_DAY or point.start is None:
        return None
    day = days(point.first, point.first.replace(), Grain.DAY, context.zone)
    for part in ("morning", "afternoon", "evening", "night"):
        whole_day = replace(day, end=context.day(point.first).end)
        if at(whole_day, part).start == point.start:
            return part
    return None
