"""English dates as they are written: 2023-05-07, 5/7/2023, May 7th, Monday, Q3 2021, the 90s."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from memoryscope_rag.schema import Grain
from memoryscope_rag.temporal.calendar import Stretch, days, unit_around
from memoryscope_rag.temporal.english_words import (
    DECADES,
    FUNCTION_WORDS,
    HOLIDAY_NAMES,
    HOLIDAYS,
    MONTHS,
    PREPOSITIONS,
    SEASONS,
    SHY,
    WEEKDAYS,
    YEAR_BEFORE,
)
from memoryscope_rag.temporal.fields import Context, Fields, Point
from memoryscope_rag.temporal.numbers import ordinal, year_words
from memoryscope_rag.temporal.words import Words, longest

Found = tuple[Point, int] | None
"""What was read and the index of the word after it."""

_NEAR_YEARS = {"last": -1, "previous": -1, "this": 0, "next": 1}
_SEPARATORS = ("-", "/", ".")


@dataclass(frozen=True, slots=True)
class WrittenDates:
    """Reads the dates that name themselves; every rule takes a word index."""

    words: Words
    context: Context

    def point(self, i: int, inside: bool = False) -> Found:
        """The longest date at ``i``; the classes below this one read more kinds."""
        return self.written(i, inside)

    def written(self, i: int, inside: bool = False) -> Found:
        """The longest written date at ``i``; ``inside`` an expression shy words need no proof."""
        word = self.words.at(i)
        found: list[Found] = []
        if word[:1].isdigit():
            found = [
                self.figures(i),
                self.day_month(i),
                self.quarter(i),
                self.decade(i),
                self.year_month(i),
                self.century(i),
            ]
            if all(one is None for one in found):
                found = [self.year(i, inside)]
        else:
            if word in MONTHS:
                found.append(self.month_day(i, inside))
            if word in WEEKDAYS:
                found.append(self.weekday(i, inside))
            if word in SEASONS:
                found.append(self.season(i, inside))
            if word in HOLIDAY_NAMES:
                found.append(self.holiday(i))
            found += [
                self.quarter(i),
                self.day_month(i),
                self.decade(i),
                self.century(i),
                self.named_year(i),
            ]
        return max((one for one in found if one), key=lambda one: one[1], default=None)

    def proven(self, i: int, inside: bool) -> bool:
        """Whether a word that may be a verb or a name stands where a time would stand."""
        if self.words.at(i) not in SHY or inside:
            return True
        after = self.words.number(i + 1, 4)
        before = self.words.at(i - 1)
        if after is not None and self.words.at(i) not in ("fall", "spring", "second"):
            return self.words.at(i) != "may" or after < 32 or after > 1000
        if before in ("the", "early", "late") and self.words.at(i) in SEASONS:
            return self.words.at(i - 2) in PREPOSITIONS or self.words.at(i + 1) in ("of", "in")
        if self.words.at(i) in ("sun", "second") or (
            self.words.at(i) == "march" and before == "to"
        ):
            return before in ("on", "last", "next", "every") and self.words.at(i) == "sun"
        if before in PREPOSITIONS and before not in ("is", "was", "than", "start", "end"):
            return True
        return self.words.capital(i) and self.words.at(i + 1) not in ("i", "we", "be", "for")

    def ordinal(self, i: int) -> tuple[int, int] | None:
        """ "21st", "first", "twenty-second"."""
        value = self.words.number(i, 3)
        if value is not None:
            if self.words.joined(i + 1) and self.words.at(i + 1) in ("st", "nd", "rd", "th"):
                return value, i + 2
            return None
        return ordinal(self.words.words, i)

    def day_number(self, i: int) -> tuple[int, int] | None:
        """A day of the month: a number or an ordinal up to 31, "the" before it allowed."""
        i += self.words.at(i) == "the"
        found = self.ordinal(i)
        if found is None:
            value = self.words.number(i, 2)
            if value is None or self._number_goes_on(i + 1):
                return None
            found = value, i + 1
        return found if 1 <= found[0] <= 31 else None

    def _number_goes_on(self, i: int) -> bool:
        """Whether the number before ``i`` is a clock time, a decimal or an amount."""
        sign = self.words.at(i)
        if sign in ("am", "pm", "%", "a", "p") and (self.words.joined(i) or sign in ("am", "pm")):
            return True
        return (
            sign in (":", ".", "/")
            and self.words.joined(i)
            and self.words.joined(i + 1)
            and self.words.number(i + 1) is not None
        )

    def year(self, i: int, inside: bool = False) -> Found:
        """A bare four-digit year where a year would stand."""
        value = self.words.number(i, 4)
        if value is None or len(self.words.at(i)) != 4 or not 1000 <= value < 2200:
            return None
        before, after = self.words.at(i - 1), self.words.at(i + 1)
        if after == "-" and self._more_digits(i + 2) and len(self.words.at(i + 2)) != 4:
            return None
        if before.isdigit() and not inside:
            return None
        if self.words.joined(i) and before not in "(=~-/\"',[>":
            return None
        if (
            self.words.joined(i)
            and before in _SEPARATORS
            and (self.words.joined(i - 1) and not inside)
        ):
            return None
        if (
            self.words.joined(i + 1)
            and (
                after.isalnum() or after in ":%$€" or (after in ".,/-" and self._more_digits(i + 2))
            )
            and not (inside or after == "-")
        ):
            return None
        if inside or before in YEAR_BEFORE:
            return Fields(year=value), i + 1
        free = not after or not after.isalnum() or after in FUNCTION_WORDS
        usual = 1900 <= value < 2100 and free and before not in ("$", "#", "€", "£", "no", ".")
        return (Fields(year=value), i + 1) if usual else None

    def _more_digits(self, i: int) -> bool:
        return self.words.joined(i) and self.words.number(i, 9) is not None

    def named_year(self, i: int) -> Found:
        """ "the year 2008", "CY18", "two thousand and fifteen"."""
        if self.words.at(i) == "year":
            j = i + 1 + (self.words.at(i + 1) == "of")
            value = self.words.number(j, 4)
            if value and len(self.words.at(j)) == 4:
                return Fields(year=value), j + 1
        if self.words.at(i) in ("cy", "fy"):
            value = self.words.number(i + 1, 4)
            if value is not None and len(self.words.at(i + 1)) in (2, 4):
                return Fields(year=value + 2000 * (value < 100)), i + 2
        found = year_words(self.words.words, i)
        return (Fields(year=found[0]), found[1]) if found else None

    def _year_after(self, i: int, short: bool = False) -> tuple[int, int] | None:
        """A year that belongs to the month or day before ``i``, with "of", "in" or a comma.

        ``short`` also takes two digits after a dash, as in 7-Sep-20.
        """
        j = i
        for glue in ("of", "in", ",", "-", "/", "."):
            if self.words.at(j) == glue:
                j += 1
                break
        if self.words.at(j) in _NEAR_YEARS and self.words.at(j + 1) == "year":
            return self.context.today.year + _NEAR_YEARS[self.words.at(j)], j + 2
        j += self.words.at(j) == "the" and self.words.at(j + 1) == "year"
        j += self.words.at(j) == "year"
        j += self.words.at(j) == "'" and len(self.words.at(j + 1)) == 2
        value = self.words.number(j, 4)
        text = self.words.at(j)
        if value is not None and not self._number_goes_on(j + 1):
            if len(text) == 4 and 1000 <= value < 2200:
                if self._dashed_day(j):
                    return None
                return value, j + 1
            if len(text) == 2 and self.words.at(j - 1) in (("'", "-", "/") if short else ("'",)):
                return self.century_of(value), j + 1
        return year_words(self.words.words, j) if text in ("two", "nineteen", "twenty") else None

    def _dashed_day(self, j: int) -> bool:
        """Whether the year at ``j`` begins a date of its own, as in "May - 2019-05-01"."""
        return (
            self.words.at(j - 1) not in ("-", "/")
            and self.words.at(j + 1) in ("-", "/")
            and self.words.at(j + 3) == self.words.at(j + 1)
            and all(self.words.joined(k) for k in range(j + 1, j + 5))
            and (self.words.number(j + 2, 2) is not None or self.words.at(j + 2) in MONTHS)
        )

    def century_of(self, short: int) -> int:
        """A two-digit year within eighty years before and twenty after the reference."""
        this = self.context.today.year
        value = this - this % 100 + short
        return value - 100 if value > this + 20 else value

    def figures(self, i: int) -> Found:
        """Three or two numbers with one kind of sign between them, or eight digits."""
        words = self.words
        before = words.at(i - 1) if words.joined(i) else ""
        dashed = before == "-" and words.joined(i - 1) and words.at(i - 2).isdigit()
        if before.isalnum() or before in tuple("./:$+") or (dashed and not words.number(i, 4)):
            return None
        first, text = words.number(i, 4), words.at(i)
        if len(text) == 8 and text[:2] in ("19", "20"):
            return self._checked(int(text[:4]), int(text[4:6]), int(text[6:]), i + 1)
        sign = words.at(i + 1)
        if first is None or sign not in _SEPARATORS or not words.joined(i + 1):
            return None
        if not words.joined(i + 2):
            return None
        second = words.number(i + 2, 4) or MONTHS.get(words.at(i + 2))
        if second is None:
            return None
        third = words.number(i + 4, 4)
        tail = self.words.at(i + 4)
        if third is not None and words.at(i + 3) == sign and words.joined(i + 4):
            if not self._clean(i + 5, sign):
                return None
            if len(text) == 4 and len(tail) <= 2:
                return self._checked(first, second, third, i + 5)
            if len(tail) in (2, 4) and len(text) <= 2:
                year = third if len(tail) == 4 else self.century_of(third)
                day_first = first > 12 or sign == "." or not words.at(i + 2).isdigit()
                day, month = (first, second) if day_first else (second, first)
                return self._checked(year, month, day, i + 5)
            return None
        if not self._clean(i + 3, sign) or (sign == "." and not self._date_before(i)):
            return None
        if len(text) == 4 and 1000 <= first < 2200 and len(words.at(i + 2)) != 4:
            if 1 <= second <= 12:
                return Fields(first, second), i + 3
        elif len(words.at(i + 2)) == 4 and words.at(i + 2).isdigit():
            if 1 <= first <= 12 and 1000 <= second < 2200:
                return Fields(second, first), i + 3
        elif sign != "-" and words.at(i + 2).isdigit():
            return self._month_slash_day(i, first, second)
        return None

    def _month_slash_day(self, i: int, first: int, second: int) -> Found:
        month, day = (first, second) if first <= 12 else (second, first)
        if not (1 <= month <= 12 and 1 <= day <= 31 and second >= 1):
            return None
        words = self.words
        plain = self._date_before(i) or words.at(i - 1) in PREPOSITIONS | {"and", "-", "~"}
        telling = first <= 12 < second and words.at(i + 1) == "/"
        if not (plain or telling) or words.at(i + 3) in ("of", "cup", "cups", "tsp", "tbsp"):
            return None
        year = self._year_after(i + 3) if words.at(i + 3) in (",", "of") else None
        return Fields(year[0] if year else None, month, day), year[1] if year else i + 3

    def _date_before(self, i: int) -> bool:
        """Whether "on" or a weekday announces a short date at ``i``."""
        return self.words.at(i - 1) in ("on", "by", "since", "until") or (
            self.words.at(i - 1) in WEEKDAYS
        )

    def _clean(self, i: int, sign: str) -> bool:
        """Whether no further figure is tied on at ``i``, as in version or phone numbers."""
        if not self.words.joined(i):
            return True
        mark = self.words.at(i)
        if mark.isdigit():
            return False
        if mark.isalpha():
            return mark in ("t", "z")
        if mark == sign and sign in "./" and self.words.joined(i + 1):
            return not self.words.at(i + 1).isdigit()
        return not (
            mark == sign == "-"
            and self.words.joined(i + 1)
            and self.words.number(i + 1, 9) is not None
            and len(self.words.at(i + 1)) != 4
            and self.words.at(i - 1).isdigit()
            and self.words.at(i + 2) != "-"
        )

    def _checked(self, year: int, month: int, day: int, end: int) -> Found:
        try:
            date(year, month, day)
        except ValueError:
            return None
        return Fields(year, month, day), end

    def day_month(self, i: int) -> Found:
        """ "7 May 2023", "the 7th of May", "twenty third day of September", "7/Sep/2020"."""
        found = self.day_number(i) if self.words.at(i) != "the" else None
        if found is None or self.words.at(i - 1) in ("$", "€", "£", "#"):
            return None
        day, j = found
        if self.words.at(j) == "day" and self.words.at(j + 1) == "of":
            j += 1
        for glue in ("of", "-", "/", "."):
            if self.words.at(j) == glue:
                j += 1
                break
        j += self.words.at(j) == "the"
        month = MONTHS.get(self.words.at(j))
        if month is None or (self.words.at(j) == "may" and self.words.at(j + 1) == "be"):
            return None
        j += 1
        if self.words.at(j) == "." and self.words.joined(j) and len(self.words.at(j - 1)) < 5:
            j += self._year_after(j + 1) is not None
        year = self._year_after(j, self.words.at(j - 2) in ("-", "/") and self.words.joined(j - 2))
        return Fields(year[0] if year else None, month, day), year[1] if year else j

    def month_day(self, i: int, inside: bool) -> Found:
        """ "May 7th, 2023", "Sep-23-2020", "May 2023", "May", "May the 7th"."""
        words, month = self.words, MONTHS[self.words.at(i)]
        if not self.proven(i, inside):
            return None
        j = i + 1
        if words.at(j) == "." and words.joined(j) and len(words.at(i)) < 5:
            j += 1
        sign = words.at(j) if words.joined(j) and words.at(j) in ("-", "/", ",") else ""
        k = j + (sign != "" or words.at(j) == ",")
        if sign in ("-", "/"):
            year, day = words.number(k, 4), words.number(k + 2, 2)
            if year and len(words.at(k)) == 4 and words.at(k + 1) == sign and day:
                return self._checked(year, month, day, k + 3)
        found = self.day_number(k)
        if found and not (sign == "-" and words.at(found[1]) in MONTHS):
            day, end = found
            with_year = self._year_after(end)
            if with_year and words.at(end) != "in":
                return Fields(with_year[0], month, day), with_year[1]
            return Fields(None, month, day), end
        named = self._year_after(j)
        if named:
            return Fields(named[0], month), named[1]
        return Fields(None, month), i + 1 if words.at(j) != "." else j

    def year_month(self, i: int) -> Found:
        """ "2017 April", "2019-Aug-1"."""
        year = self.words.number(i, 4)
        if year is None or len(self.words.at(i)) != 4 or not 1000 <= year < 2200:
            return None
        j = i + 1 + (self.words.at(i + 1) in ("-", "/", ","))
        month = MONTHS.get(self.words.at(j))
        if month is None or not (
            self.words.at(j) not in SHY or self.words.joined(j) or self.words.capital(j)
        ):
            return None
        return Fields(year, month), j + 1

    def weekday(self, i: int, inside: bool) -> Found:
        """ "Monday", "Tuesday, May 9", "Monday 21"."""
        if not self.proven(i, inside):
            return None
        weekday = WEEKDAYS[self.words.at(i)]
        j = (
            i
            + 1
            + (
                self.words.at(i + 1) == "."
                and self.words.joined(i + 1)
                and len(self.words.at(i)) < 5
            )
        )
        k = j + (self.words.at(j) in (",", "-"))
        k += self.words.at(k) == "the"
        dated = (
            self.month_day(k, True)
            if self.words.at(k) in MONTHS
            else self.figures(k) or self.day_month(k)
        )
        if dated and isinstance(dated[0], Fields) and dated[0].day:
            fields = dated[0]
            return Fields(fields.year, fields.month, fields.day, weekday), dated[1]
        found = self.day_number(k) if k == j or self.words.at(k - 1) == "the" else None
        if found and not (
            self.words.at(found[1]) in ("to", "-", ":", "am", "pm", "o", "p", "a", "oclock")
            and self.ordinal(k) is None
        ):
            return Fields(day=found[0], weekday=weekday), found[1]
        return Fields(weekday=weekday), j if j == i + 1 else i + 1

    def season(self, i: int, inside: bool) -> Found:
        """ "summer", "the summer of 2022"; winter is named by the year it begins in."""
        if not self.proven(i, inside):
            year = self._year_after(i + 1)
            if year is None:
                return None
        month = SEASONS[self.words.at(i)]
        year = self._year_after(i + 1)
        if year:
            return unit_around(date(year[0], month, 1), "season", self.context.zone), year[1]
        return self.season_near(month), i + 1

    def season_near(self, month: int) -> Stretch:
        """The nearest season that begins in ``month``."""
        return self.context.yearly(
            lambda year: unit_around(date(year, month, 1), "season", self.context.zone)
        )

    def holiday(self, i: int) -> Found:
        """ "Christmas", "Labor Day 2021", with the long weekend where "weekend" follows."""
        name = longest(HOLIDAY_NAMES, self.words, i)
        if name is None:
            return None
        year = self._year_after(i + len(name))
        end = year[1] if year else i + len(name)
        return self.context.holiday(HOLIDAYS[name], year[0] if year else None), end

    def quarter(self, i: int) -> Found:
        """ "Q3 2021", "2021-Q3", "H1 of 2019"."""
        words, j, year = self.words, i, None
        if words.number(i, 4) and len(words.at(i)) == 4:
            year = words.number(i, 4)
            j += 1 + (words.at(i + 1) == "-")
        kind, nth = words.at(j), words.number(j + 1, 1)
        if kind not in ("q", "h") or not nth or nth > (4 if kind == "q" else 2):
            return None
        if not words.joined(j + 1) or (words.joined(j + 2) and words.at(j + 2).isalnum()):
            return None
        end = j + 2
        if year is None:
            named = self._year_after(end)
            year, end = named if named else (None, end)
        months = 3 if kind == "q" else 6
        unit = "quarter" if kind == "q" else "half"
        begin = months * (nth - 1) + 1

        def build(of_year: int) -> Stretch:
            return unit_around(date(of_year, begin, 1), unit, self.context.zone)  # type: ignore[arg-type]

        return (build(year) if year is not None else self.context.yearly(build)), end

    def decade(self, i: int) -> Found:
        """ "the 1990s", "the 90s", "the nineties"."""
        words = self.words
        start = DECADES.get(words.at(i))
        end = i + 1
        if start is not None and words.at(i - 1) not in ("the", "in", "early", "late", "mid"):
            return None
        if start is None:
            value, j = words.number(i, 4), i + 1
            j += words.at(j) == "'" and words.joined(j)
            spaced = words.at(j) == "s" and len(words.at(i)) == 4
            if (
                value is None
                or value % 10
                or not ((words.at(j) == "s" and words.joined(j)) or spaced)
            ):
                return None
            if len(words.at(i)) not in (2, 4):
                return None
            start, end = value, j + 1
        if start < 100:
            start += 1900 if start >= 30 else 2000
        if start < 1000 or start > 2200:
            return None
        begin = date(start, 1, 1)
        return days(begin, date(start + 10, 1, 1), Grain.DECADE, self.context.zone), end

    def century(self, i: int) -> Found:
        """ "the 21st century", which begins with the year 2000 here, as people count."""
        found = self.ordinal(i)
        if found is None:
            return None
        j = found[1] + (self.words.at(found[1]) == "-")
        if self.words.at(j) not in ("century", "centuries") or not 2 <= found[0] <= 90:
            return None
        begin = (found[0] - 1) * 100
        return (
            days(date(begin, 1, 1), date(begin + 100, 1, 1), Grain.CENTURY, self.context.zone),
            j + 1,
        )
