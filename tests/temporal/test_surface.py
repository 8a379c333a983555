"""What holds for any text: spans, order, no exception, no false alarm, linear time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.schema import Grain
from memoryscope_rag.temporal import find_times

REFERENCE = datetime(2026, 11, 21, 10, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe", "UTC")
PIECES = [
    "last",
    "next",
    "this",
    "the",
    "of",
    "in",
    "on",
    "at",
    "from",
    "to",
    "between",
    "and",
    "before",
    "after",
    "since",
    "until",
    "by",
    "every",
    "other",
    "3",
    "12",
    "30",
    "99999",
    "2023",
    "0001",
    "9999",
    "May",
    "march",
    "second",
    "week",
    "month",
    "year",
    "days",
    "ago",
    "later",
    "Monday",
    "sun",
    "early",
    "mid",
    "end",
    "first",
    "half",
    "past",
    "quarter",
    "3pm",
    "15:30",
    "noon",
    "/",
    "-",
    ".",
    ":",
    ",",
    "'",
    "century",
    "90s",
    "decade",
    "Christmas",
    "上",
    "下",
    "个",
    "周",
    "月",
    "年",
    "三",
    "十",
    "半",
    "前",
    "后",
    "天",
    "点",
    "分",
    "号",
    "第",
    "每",
    "隔",
    "从",
    "到",
    "之前",
    "以来",
    "农历",
    "初",
    "底",
    "世纪",
    "春节",
    "最近",
    "内",
]
TEXTS = st.one_of(
    st.text(max_size=80),
    st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join),
    st.lists(st.sampled_from(PIECES), max_size=14).map("".join),
)
REFERENCES = st.builds(
    lambda moment, zone: moment.replace(tzinfo=ZoneInfo(zone)),
    st.datetimes(datetime(3, 1, 1), datetime(9997, 1, 1)),
    st.sampled_from(ZONES),
)


@settings(max_examples=300, deadline=None)
@given(TEXTS, REFERENCES, st.sampled_from(["past", "future"]), st.sampled_from([None, "en", "zh"]))
def test_any_text(text: str, reference: datetime, prefer: str, language: str | None) -> None:
    found = find_times(text, reference=reference, prefer=prefer, language=language)  # type: ignore[arg-type]
    assert found == find_times(text, reference=reference, prefer=prefer, language=language)  # type: ignore[arg-type]
    end = 0
    for one in found:
        assert end <= one.start < one.end <= len(text)
        assert one.text == text[one.start : one.end]
        end = one.end
        for side in (one.interval.start, one.interval.end):
            assert side is None or side.tzinfo is reference.tzinfo
        assert one.interval.start is not None or one.interval.end is not None


@pytest.mark.parametrize("year", [1, 2, 9998, 9999])
@pytest.mark.parametrize(
    "text",
    [
        "last century and 3 years ago",
        "next decade, 两年后, 明年, 去年",
        "in 99999 years",
        "yesterday",
        "tomorrow",
        "90年代前期",
    ],
)
def test_edge_of_the_calendar(year: int, text: str) -> None:
    for moment in (datetime(year, 1, 1, tzinfo=UTC), datetime(year, 12, 31, 23, tzinfo=UTC)):
        find_times(text, reference=moment)


@pytest.mark.parametrize(
    "text",
    """May I ask you something?
It may rain and we may leave.
They march on.
The march of progress
a second opinion
the second time around
He sat down and the sun shone.
Leaves fall, prices fall.
Wed in haste, repent at leisure.
version 1.2.3 and v2.0.15
call 555-123-4567
Tel: +86 2010-2015-86
10.0.0.1
from 1 to 10
rated 9/10, open 24/7
I walked 2000 steps for $2000
at 10 Downing Street
page 12 of 20
He is 30 years old and has 3 kids.
three times a day
ratio 4:3 on the screen
the last straw
isbn 978-3-16-148410-0
5 years of experience
0.8/15 looks like a formula
三年级一班
第一次见面
一点也不
差一点儿
五角大楼
十分高兴
一般来说
一天到晚
号码13812345678
三号楼
有点心吃
五一路12弄""".splitlines(),
)
def test_l3_no_false_alarm(text: str) -> None:
    assert find_times(text, reference=REFERENCE) == ()


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("We met last Friday, then on 7 May 2023.", ["last Friday", "7 May 2023"]),
        ("上周三我去了北京,去年夏天也去过", ["上周三", "去年夏天"]),
        ("会议 on Monday at 3pm, 不是周三", ["Monday at 3pm", "周三"]),
        ("昨天(2026-11-20)开会", ["昨天", "2026-11-20"]),
    ],
)
def test_spans(text: str, spans: list[str]) -> None:
    assert [one.text for one in find_times(text, reference=REFERENCE)] == spans


def test_language_is_obeyed() -> None:
    text = "yesterday 昨天"
    assert [one.text for one in find_times(text, reference=REFERENCE, language="en")] == [
        "yesterday"
    ]
    assert [one.text for one in find_times(text, reference=REFERENCE, language="zh")] == ["昨天"]


def test_grain_tells_how_exact_the_words_were() -> None:
    grains = {
        "3 days ago": Grain.DAY,
        "two months ago": Grain.MONTH,
        "两年前": Grain.YEAR,
        "at 3pm today": Grain.HOUR,
        "today at 15:30": Grain.MINUTE,
        "this morning": Grain.PART_OF_DAY,
        "last weekend": Grain.WEEKEND,
        "Q3 2021": Grain.QUARTER,
        "去年夏天": Grain.SEASON,
        "the 90s": Grain.DECADE,
        "21世纪": Grain.CENTURY,
    }
    for text, grain in grains.items():
        (found,) = find_times(text, reference=REFERENCE)
        assert found.grain is grain, text


def test_exclusive_ends() -> None:
    for text in ("from 5 to 7 May 2023", "2023年5月5日到5月7日"):
        (found,) = find_times(text, reference=REFERENCE, ends="exclusive")
        assert found.interval.end == datetime(2023, 5, 7, tzinfo=UTC)


def test_naive_reference_is_refused() -> None:
    with pytest.raises(InvalidInput):
        find_times("today", reference=datetime(2026, 1, 1))


@pytest.mark.parametrize("zone", ZONES)
def test_l2_days_are_civil_days(zone: str) -> None:
    """Over the whole year: yesterday ends where today begins, and days are 23 to 25 hours long."""
    day, lengths = date(2026, 1, 1), set()
    while day.year == 2026:
        reference = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone))
        today, yesterday = find_times("today or yesterday", reference=reference)
        start, end = today.interval.start, today.interval.end
        assert start is not None
        assert end is not None
        assert start.date() == day
        assert (start.hour, start.minute) == (0, 0)
        assert yesterday.interval.end == start
        lengths.add(end.astimezone(UTC) - start.astimezone(UTC))
        day += timedelta(days=1)
    hours = {length / timedelta(hours=1) for length in lengths}
    expected = {
        "Europe/Berlin": {23, 24, 25},
        "America/New_York": {23, 24, 25},
        "Australia/Lord_Howe": {23.5, 24, 24.5},
    }
    assert hours == expected.get(zone, {24})


def test_hours_are_elapsed_time() -> None:
    """Across the end of summer time, two hours ago is two hours ago."""
    zone = ZoneInfo("Europe/Berlin")
    reference = datetime(2026, 10, 25, 4, 0, tzinfo=zone)
    (found,) = find_times("2 hours ago", reference=reference)
    assert found.interval.start is not None
    elapsed = reference.astimezone(UTC) - found.interval.start.astimezone(UTC)
    assert elapsed == timedelta(hours=2)


@pytest.mark.parametrize(
    ("piece", "length"),
    [
        ("We met last Friday at 3pm in Rome with a group of people who like to walk. ", 200_000),
        ("我们昨天下午三点半在公园见面，聊了很久很久的家常。", 100_000),
        ("the first week of ", 20_000),
        ("1 2-", 20_000),
        ("1", 200_000),
        ("一", 20_000),
        (" ", 200_000),
    ],
    ids=["english", "chinese", "nested", "numbers", "digits", "one", "blank"],
)
def test_long_texts_come_to_an_end(piece: str, length: int) -> None:
    """Seconds each; one quadratic rule would make it hours."""
    text = (piece * (length // len(piece) + 1))[:length]
    found = find_times(text, reference=REFERENCE)
    assert len(found) <= length
