"""English expressions against intervals written down by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

TABLE = """
today | 2026-11-21 .. 2026-11-22
We spoke yesterday. | 2026-11-20 .. 2026-11-21
tomorrow | 2026-11-22 .. 2026-11-23
the day before yesterday | 2026-11-19 .. 2026-11-20
the day after tomorrow | 2026-11-23 .. 2026-11-24
tonight | 2026-11-21 17:00 .. 2026-11-22 04:00
this morning | 2026-11-21 06:00 .. 2026-11-21 12:00
yesterday evening | 2026-11-20 17:00 .. 2026-11-21
last Friday | 2026-11-20 .. 2026-11-21
on Monday | 2026-11-16 .. 2026-11-17
on Saturday | 2026-11-14 .. 2026-11-15
next Tuesday | 2026-11-24 .. 2026-11-25
this Wednesday | 2026-11-18 .. 2026-11-19
last week | 2026-11-09 .. 2026-11-16
this week | 2026-11-16 .. 2026-11-23
next week | 2026-11-23 .. 2026-11-30
the week before last | 2026-11-02 .. 2026-11-09
last weekend | 2026-11-14 .. 2026-11-16
the weekend before last | 2026-11-07 .. 2026-11-09
last month | 2026-10-01 .. 2026-11-01
next month | 2026-12-01 .. 2027-01-01
last year | 2025-01-01 .. 2026-01-01
in May | 2026-05-01 .. 2026-06-01
in December | 2025-12-01 .. 2026-01-01
in March 2021 | 2021-03-01 .. 2021-04-01
since 2019 | 2019-01-01 .. -
in 1998 we moved | 1998-01-01 .. 1999-01-01
7 May 2023 | 2023-05-07 .. 2023-05-08
May 7th, 2023 | 2023-05-07 .. 2023-05-08
the 7th of May, 2023 | 2023-05-07 .. 2023-05-08
2023-05-07 | 2023-05-07 .. 2023-05-08
5/7/2023 | 2023-05-07 .. 2023-05-08
23/4/2023 | 2023-04-23 .. 2023-04-24
23.04.2022 | 2022-04-23 .. 2022-04-24
May 7 | 2026-05-07 .. 2026-05-08
December 24 | 2025-12-24 .. 2025-12-25
29 February | 2024-02-29 .. 2024-03-01
Tuesday, May 9 2023 | 2023-05-09 .. 2023-05-10
August two thousand and fifteen | 2015-08-01 .. 2015-09-01
the summer of 2022 | 2022-06-01 .. 2022-09-01
last summer | 2026-06-01 .. 2026-09-01
last winter | 2025-12-01 .. 2026-03-01
in the fall of 2019 | 2019-09-01 .. 2019-12-01
Christmas 2021 | 2021-12-25 .. 2021-12-26
last Christmas | 2025-12-25 .. 2025-12-26
St. Stephen's Day 2021 | 2021-12-26 .. 2021-12-27
the summer solstice | 2026-06-21 .. 2026-06-22
next year's Christmas | 2027-12-25 .. 2027-12-26
New Year's Eve 2020 | 2020-12-31 .. 2021-01-01
Valentine's Day | 2026-02-14 .. 2026-02-15
Halloween last year | 2025-10-31 .. 2025-11-01
Thanksgiving 2023 | 2023-11-23 .. 2023-11-24
Easter 2024 | 2024-03-31 .. 2024-04-01
Good Friday 2025 | 2025-04-18 .. 2025-04-19
Mother's Day 2022 | 2022-05-08 .. 2022-05-09
Father's Day 2022 | 2022-06-19 .. 2022-06-20
Memorial Day 2024 | 2024-05-27 .. 2024-05-28
Labor Day 2021 weekend | 2021-09-04 .. 2021-09-07
MLK day 2023 | 2023-01-16 .. 2023-01-17
Chinese New Year 2024 | 2024-02-10 .. 2024-02-11
the 1990s | 1990-01-01 .. 2000-01-01
the 90s | 1990-01-01 .. 2000-01-01
the nineties | 1990-01-01 .. 2000-01-01
the 21st century | 2000-01-01 .. 2100-01-01
Q3 2021 | 2021-07-01 .. 2021-10-01
2019-H2 | 2019-07-01 .. 2020-01-01
the first quarter of 2013 | 2013-01-01 .. 2013-04-01
last quarter | 2026-07-01 .. 2026-10-01
the first half of 2019 | 2019-01-01 .. 2019-07-01
3 days ago | 2026-11-18 .. 2026-11-19
a couple of weeks ago | 2026-11-07 .. 2026-11-08
a few months ago | 2026-08-21 .. 2026-08-22
two years ago | 2024-11-21 .. 2024-11-22
two hours ago | 2026-11-21 08:00 .. 2026-11-21 08:01
in 5 days | 2026-11-26 .. 2026-11-27
in half an hour | 2026-11-21 10:30 .. 2026-11-21 10:31
ten days later | 2026-12-01 .. 2026-12-02
the past 3 months | 2026-08-21 .. 2026-11-21
the next two weeks | 2026-11-22 .. 2026-12-06
within 3 days | 2026-11-21 .. 2026-11-24
the last two and a half hours | 2026-11-21 07:30 .. 2026-11-21 10:00
two weeks before Christmas 2020 | 2020-12-11 .. 2020-12-12
the beginning of 2020 | 2020-01-01 .. 2020-05-01
the end of May 2020 | 2020-05-16 .. 2020-06-01
mid-November 2020 | 2020-11-10 .. 2020-11-21
late 90s | 1996-09-01 .. 2000-01-01
rest of the week | 2026-11-21 .. 2026-11-23
later this month | 2026-11-22 .. 2026-12-01
between May and July | 2026-05-01 .. 2026-08-01
from 5 to 7 May 2023 | 2023-05-05 .. 2023-05-08
between 2015 and 2018 | 2015-01-01 .. 2019-01-01
April 9th through 17th | 2026-04-09 .. 2026-04-18
from Nov 2019 to Feb 2020 | 2019-11-01 .. 2020-03-01
Nov-Feb 2017 | 2016-11-01 .. 2017-03-01
from the 27th to the 3rd of April 2020 | 2020-03-27 .. 2020-04-04
from Monday to Wednesday | 2026-11-16 .. 2026-11-19
before May 2020 | - .. 2020-05-01
after 2010 | 2011-01-01 .. -
until Friday | - .. 2026-11-21
by the end of this month | - .. 2026-12-01
2018 or later | 2018-01-01 .. -
on 1/1/2016 and after | 2016-01-01 .. -
more than 2 weeks ago | - .. 2026-11-07
the week of 6 July 2023 | 2023-07-03 .. 2023-07-10
the weekend before 9 June 2023 | 2023-06-03 .. 2023-06-05
the Friday before 15 July 2023 | 2023-07-14 .. 2023-07-15
the week before 9 June 2023 | 2023-05-29 .. 2023-06-05
two weekends before 17 July 2023 | 2023-07-08 .. 2023-07-10
the first week of January 2021 | 2021-01-04 .. 2021-01-11
the last week of 2019 | 2019-12-23 .. 2019-12-30
the last three weeks of 2019 | 2019-12-09 .. 2019-12-30
the second Sunday in September 2026 | 2026-09-13 .. 2026-09-14
the last day of this month | 2026-11-30 .. 2026-12-01
yesterday at 3pm | 2026-11-20 15:00 .. 2026-11-20 16:00
7 May 2023 at 15:30 | 2023-05-07 15:30 .. 2023-05-07 15:31
2015-08-15T12:20:05 | 2015-08-15 12:20:05 .. 2015-08-15 12:20:06
last night at 8 | 2026-11-20 20:00 .. 2026-11-20 21:00
at 7 in the evening on 7 May 2023 | 2023-05-07 19:00 .. 2023-05-07 20:00
half past seven tomorrow | 2026-11-22 07:30 .. 2026-11-22 07:31
noon on Friday | 2026-11-20 12:00 .. 2026-11-20 13:00
yesterday from 2 to 4:30 pm | 2026-11-20 14:00 .. 2026-11-20 16:30
between 10 and 11:30 on 1/1/2015 | 2015-01-01 10:00 .. 2015-01-01 11:30
7 May 2023 from 9:30am for 7 hours | 2023-05-07 09:30 .. 2023-05-07 16:30
"""
CASES = [tuple(line.split(" | ")) for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[case[0] for case in CASES])
def test_l1_past(check: Callable[..., None], text: str, expected: str) -> None:
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on Monday", "2026-11-23 .. 2026-11-24"),
        ("in May", "2027-05-01 .. 2027-06-01"),
        ("in November", "2026-11-01 .. 2026-12-01"),
        ("May 7", "2027-05-07 .. 2027-05-08"),
        ("Christmas", "2026-12-25 .. 2026-12-26"),
        ("from May to July", "2027-05-01 .. 2027-08-01"),
        ("last May", "2026-05-01 .. 2026-06-01"),
        ("this coming Friday", "2026-11-27 .. 2026-11-28"),
        ("29 February", "2028-02-29 .. 2028-03-01"),
    ],
)
def test_l1_future(check: Callable[..., None], text: str, expected: str) -> None:
    check(text, expected, "future")
