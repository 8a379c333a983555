"""Relative times in facts: rows E7 and E8 of the parity list, and where dates are written."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from memoryscope_rag.schema import Event, Grain, Interval, Message, Recurrence, Scope
from memoryscope_rag.workers.backend.dates import iso_event, written
from memoryscope_rag.workers.backend.resolve_times import ResolveTimes
from memoryscope_rag.workers.backend.state import ConsolidationState, Fact
from memoryscope_rag.workers.base import Services

ZONE = ZoneInfo("Europe/Berlin")
SAID = datetime(2025, 3, 12, 10, 30, tzinfo=ZONE)
"""A Wednesday; facts are drawn a month later, from elsewhere."""
NOW = datetime(2025, 4, 20, 8, tzinfo=ZONE)
ANN = Scope("ann")


def resolve(text: str, *, said: datetime = SAID, **more: Any) -> Fact:
    """The one fact of a message that says ``text``; "content" is the text unless given."""
    message = Message("m1", "s", "user", text, said, "Ann", scope=ANN, seq=1)
    params = ResolveTimes.Params(write=more.pop("write", True))
    fact = Fact(
        id="f",
        content=more.pop("content", text),
        sources=("m1",),
        said_at=said,
        session_id="s",
        seq=1,
        **more,
    )
    worker = ResolveTimes(cast(Services, None), params)
    state = ConsolidationState(scope=ANN, now=NOW, messages=(message,), facts=(fact,))
    (done,) = asyncio.run(worker.run(state)).facts
    return done


def days(fact: Fact) -> tuple[str, str] | None:
    """First and last day of its event."""
    if fact.event is None:
        return None
    start, end = fact.event.interval.start, fact.event.interval.end
    if start is None or end is None:
        return "open", "open"
    last = datetime.fromtimestamp(end.timestamp() - 1, ZONE)
    return start.strftime("%Y-%m-%d"), last.strftime("%Y-%m-%d")


TIMES = [
    ("I saw Ben yesterday.", "yesterday", "2025-03-11", "2025-03-11"),
    ("I saw Ben today.", "today", "2025-03-12", "2025-03-12"),
    ("We meet tomorrow.", "tomorrow", "2025-03-13", "2025-03-13"),
    ("I left the day before yesterday.", "the day before yesterday", "2025-03-10", "2025-03-10"),
    ("I will fly the day after tomorrow.", "the day after tomorrow", "2025-03-14", "2025-03-14"),
    ("I met him last Friday.", "last Friday", "2025-03-07", "2025-03-07"),
    ("I will meet him on Friday.", "on Friday", "2025-03-14", "2025-03-14"),
    ("I will start next Monday.", "next Monday", "2025-03-17", "2025-03-17"),
    ("I moved last week.", "last week", "2025-03-03", "2025-03-09"),
    ("I am off this week.", "this week", "2025-03-10", "2025-03-16"),
    ("I will marry next week.", "next week", "2025-03-17", "2025-03-23"),
    ("I moved last month.", "last month", "2025-02-01", "2025-02-28"),
    ("I will move next month.", "next month", "2025-04-01", "2025-04-30"),
    ("I moved last year.", "last year", "2024-01-01", "2024-12-31"),
    ("I will retire next year.", "next year", "2026-01-01", "2026-12-31"),
    ("I quit three days ago.", "three days ago", "2025-03-09", "2025-03-09"),
    ("I quit 10 days ago.", "10 days ago", "2025-03-02", "2025-03-02"),
    ("I will be back in five days.", "in five days", "2025-03-17", "2025-03-17"),
    ("I moved here in January.", "in January", "2025-01-01", "2025-01-31"),
    ("I will run in June.", "in June", "2025-06-01", "2025-06-30"),
    ("I moved here in May 2021.", "in May 2021", "2021-05-01", "2021-05-31"),
    ("I was hired in 2019.", "in 2019", "2019-01-01", "2019-12-31"),
    ("I met Ben on 7 May 2023.", "on 7 May 2023", "2023-05-07", "2023-05-07"),
    ("I met Ben on May 7th, 2023.", "on May 7th, 2023", "2023-05-07", "2023-05-07"),
    ("We met on 2024-12-31.", "2024-12-31", "2024-12-31", "2024-12-31"),
    ("I had sushi last night.", "last night", "2025-03-11", "2025-03-12"),
    ("I will cook tonight.", "tonight", "2025-03-12", "2025-03-13"),
    ("I hiked last weekend.", "last weekend", "2025-03-08", "2025-03-09"),
    ("I had a cold last Tuesday.", "last Tuesday", "2025-03-11", "2025-03-11"),
    ("I ran this morning.", "this morning", "2025-03-12", "2025-03-12"),
    ("I sailed last summer.", "last summer", "2024-06-01", "2024-08-31"),
    ("我昨天见了小王。", "昨天", "2025-03-11", "2025-03-11"),
    ("我今天见了小王。", "今天", "2025-03-12", "2025-03-12"),
    ("我们明天见面。", "明天", "2025-03-13", "2025-03-13"),
    ("我前天走的。", "前天", "2025-03-10", "2025-03-10"),
    ("我后天要飞北京。", "后天", "2025-03-14", "2025-03-14"),
    ("我大前天去了医院。", "大前天", "2025-03-09", "2025-03-09"),
    ("我上周五见了他。", "上周五", "2025-03-07", "2025-03-07"),
    ("我下周一开始上班。", "下周一", "2025-03-17", "2025-03-17"),
    ("我上周搬的家。", "上周", "2025-03-03", "2025-03-09"),
    ("我这周休息。", "这周", "2025-03-10", "2025-03-16"),
    ("我下周结婚。", "下周", "2025-03-17", "2025-03-23"),
    ("我上个月搬的家。", "上个月", "2025-02-01", "2025-02-28"),
    ("我上上个月辞职了。", "上上个月", "2025-01-01", "2025-01-31"),
    ("我下个月要搬家。", "下个月", "2025-04-01", "2025-04-30"),
    ("我去年搬的家。", "去年", "2024-01-01", "2024-12-31"),
    ("我前年结的婚。", "前年", "2023-01-01", "2023-12-31"),
    ("我明年退休。", "明年", "2026-01-01", "2026-12-31"),
    ("我三天前辞职了。", "三天前", "2025-03-09", "2025-03-09"),
    ("我十天前回来的。", "十天前", "2025-03-02", "2025-03-02"),
    ("我五天后回来。", "五天后", "2025-03-17", "2025-03-17"),
    ("我2021年5月搬到这里。", "2021年5月", "2021-05-01", "2021-05-31"),
    ("我2019年入职。", "2019年", "2019-01-01", "2019-12-31"),
    ("我2023年5月7日认识了小王。", "2023年5月7日", "2023-05-07", "2023-05-07"),
    ("我去年五月去了上海。", "去年五月", "2024-05-01", "2024-05-31"),
    ("我昨晚吃了寿司。", "昨晚", "2025-03-11", "2025-03-12"),
    ("我今早跑步了。", "今早", "2025-03-12", "2025-03-12"),
    ("我上周末去爬山了。", "上周末", "2025-03-08", "2025-03-09"),
    ("我去年夏天去航海了。", "去年夏天", "2024-06-01", "2024-08-31"),
    ("我二〇二〇年毕业。", "二〇二〇年", "2020-01-01", "2020-12-31"),
]


def test_e7_relative_times_become_days() -> None:
    assert len(TIMES) >= 60
    wrong = []
    for text, when, first, last in TIMES:
        for fact in (
            resolve(text, when=when, content="Something happened."),
            resolve(text, when=None),
        ):
            found = days(fact)
            # a night lasts into the next day or not; the day that it began on is what is asked
            if found is None or found[0] != first or found[1] not in (last, first):
                wrong.append((text, found))
    assert len(wrong) <= 0.05 * 2 * len(TIMES), wrong


@pytest.mark.parametrize(
    ("text", "when", "recurrence"),
    [
        ("Every Monday I swim.", "Every Monday", Recurrence("week", weekday=0)),
        ("每周五我去游泳。", "每周五", Recurrence("week", weekday=4)),
        ("I swim every day.", "every day", Recurrence("day")),
        ("Yesterday was my birthday.", "Yesterday", Recurrence("year", month=3, day=11)),
        ("It's my birthday today!", "today", Recurrence("year", month=3, day=12)),
        ("Tomorrow is our wedding anniversary.", "Tomorrow", Recurrence("year", month=3, day=13)),
        ("My birthday is on May 7th.", "May 7th", Recurrence("year", month=5, day=7)),
        ("Ben's birthday is 7 May.", "7 May", Recurrence("year", month=5, day=7)),
        ("I was born on 7 May 1990.", "7 May 1990", Recurrence("year", month=5, day=7)),
        ("I turned 30 yesterday.", "yesterday", Recurrence("year", month=3, day=11)),
        ("昨天是我的生日。", "昨天", Recurrence("year", month=3, day=11)),
        ("我昨天过生日。", "昨天", Recurrence("year", month=3, day=11)),
        ("我妈妈的生日是5月7日。", "5月7日", Recurrence("year", month=5, day=7)),
        ("今天是我们的结婚纪念日。", "今天", Recurrence("year", month=3, day=12)),
        ("I went to Ben's birthday party yesterday.", "yesterday", None),
        ("I bought a birthday present yesterday.", "yesterday", None),
        ("昨天我去了小王的生日会。", "昨天", None),
        ("昨天我买了生日蛋糕。", "昨天", None),
        ("My lunar birthday was yesterday.", "yesterday", None),
        ("My birthday is in May.", "in May", None),
    ],
)
def test_e8_what_comes_back_every_year(text: str, when: str, recurrence: Recurrence | None) -> None:
    for fact in (resolve(text, when=when), resolve(text)):
        assert fact.event is not None
        assert fact.event.recurrence == recurrence


@pytest.mark.parametrize(
    ("text", "content", "when", "written_as"),
    [
        ("I saw Ben yesterday.", "Ann saw Ben yesterday.", "yesterday",
         "Ann saw Ben yesterday (11 March 2025)."),
        ("I saw Ben yesterday and left.", None, None,
         "I saw Ben yesterday (11 March 2025) and left."),
        ("I saw Ben yesterday.", "Ann saw Ben.", "yesterday", "Ann saw Ben (11 March 2025)."),
        ("I moved last month!", "Ann moved last month!", "last month",
         "Ann moved last month (February 2025)!"),
        ("I hiked last weekend.", "Ann hiked.", "last weekend",
         "Ann hiked (8 March 2025 to 9 March 2025)."),
        ("I met Ben in 2019.", "Ann met Ben in 2019.", "in 2019", "Ann met Ben in 2019."),
        ("Every Monday I swim.", "Ann swims every Monday.", "Every Monday",
         "Ann swims every Monday."),
        ("我昨天见了小王。", "小李昨天见了小王。", "昨天",
         "小李昨天（2025年3月11日）见了小王。"),
        ("我上个月搬的家。", "小李搬了家。", "上个月", "小李搬了家（2025年2月）。"),
        ("I like tea.", "Ann likes tea.", None, "Ann likes tea."),
        ("Right now I work at Apple.", "Ann works at Apple right now.", "Right now",
         "Ann works at Apple right now."),
        ("我现在在苹果上班。", "小李现在在苹果上班。", "现在", "小李现在在苹果上班。"),
        ("我最近睡不好。", "小李最近睡不好。", "最近", "小李最近睡不好。"),
    ],
)  # fmt: skip
def test_the_date_is_written_behind_what_is_relative(
    text: str, content: str | None, when: str | None, written_as: str
) -> None:
    fact = resolve(text, content=content or text, when=when)
    assert fact.content == written_as
    assert resolve(text, content=content or text, when=when, write=False).content == (
        content or text
    )


def test_a_models_date_counts_only_where_rules_find_nothing() -> None:
    text = "We wed on the feast of Saint Swithin, yesterday I slept."
    swithin = resolve(
        text, content="Ann wed.", when="the feast of Saint Swithin", date="2024-07-15"
    )
    assert days(swithin) == ("2024-07-15", "2024-07-15")
    wrong = resolve(text, content="Ann slept.", when="yesterday", date="2001-01-01")
    assert days(wrong) == ("2025-03-11", "2025-03-11")
    for date in ("sometime", "2024-13-01", "2024-02-30", "", "99999", "0000", None):
        assert resolve(text, content="Ann wed.", when="Swithin", date=date).event is None
    # a date without words of the message is the model's guess
    assert resolve(text, content="Ann likes tea.", date="2024-07-15").event is None


def test_each_time_is_read_where_it_was_said() -> None:
    """A fact of two messages, days apart: "yesterday" is the day before the one that says it."""
    later = datetime(2025, 3, 20, 9, tzinfo=ZONE)
    messages = tuple(
        Message(name, "s", "user", text, at, "Ann", scope=ANN, seq=seq)
        for name, text, at, seq in (
            ("m1", "I sold the car yesterday.", SAID, 1),
            ("m2", "It was a Saab.", later, 2),
        )
    )
    fact = Fact(
        id="f", content="Ann sold her Saab.", sources=("m1", "m2"), said_at=later,
        session_id="s", seq=2, when="yesterday",
    )  # fmt: skip
    state = ConsolidationState(scope=ANN, now=NOW, messages=messages, facts=(fact,))
    (done,) = asyncio.run(ResolveTimes(cast(Services, None)).run(state)).facts
    assert days(done) == ("2025-03-11", "2025-03-11")


def test_the_users_zone_decides_what_day_it_is() -> None:
    said = datetime(2025, 3, 11, 23, 30, tzinfo=ZoneInfo("UTC"))  # already the 12th in Berlin
    assert days(resolve("I ran today.", said=said)) == ("2025-03-12", "2025-03-12")


@pytest.mark.parametrize(
    ("first", "last", "grain", "english", "chinese"),
    [
        ("2024-05-01", "2024-06-01", Grain.MONTH, "May 2024", "2024年5月"),
        ("2024-05-01", "2024-05-02", Grain.DAY, "1 May 2024", "2024年5月1日"),
        ("2024-01-01", "2025-01-01", Grain.YEAR, "2024", "2024年"),
        ("2010-01-01", "2020-01-01", Grain.DECADE, "2010 to 2019", "2010年至2019年"),
        ("2024-05-06", "2024-05-13", Grain.WEEK, "6 May 2024 to 12 May 2024",
         "2024年5月6日至2024年5月12日"),
        ("2024-05-01T15:00", "2024-05-01T16:00", Grain.HOUR, "1 May 2024, 15:00",
         "2024年5月1日15:00"),
        ("2024-05-01T15:00", "2024-05-02T12:00", Grain.HOUR,
         "1 May 2024, 15:00 to 2 May 2024, 12:00", "2024年5月1日15:00至2024年5月2日12:00"),
        ("2019-01-01", None, Grain.YEAR, "since 2019", "自2019年"),
        (None, "2020-01-01", Grain.YEAR, "until 2019", "截至2019年"),
    ],
)  # fmt: skip
def test_times_are_written_no_finer_than_they_are_known(
    first: str | None, last: str | None, grain: Grain, english: str, chinese: str
) -> None:
    def at(text: str | None) -> datetime | None:
        return None if text is None else datetime.fromisoformat(text).replace(tzinfo=ZONE)

    event = Event(Interval(at(first), at(last)), grain)
    assert (written(event, "en"), written(event, "zh")) == (english, chinese)


def test_iso_dates_of_every_length() -> None:
    for text, start, end in (
        ("2024", "2024-01-01", "2025-01-01"),
        ("2024-12", "2024-12-01", "2025-01-01"),
        ("2024-02-29", "2024-02-29", "2024-03-01"),
        ("2024-05-01T15:30", "2024-05-01T15:30", "2024-05-01T15:31"),
        ("2024-05-01T15:30:00Z", "2024-05-01T15:30", "2024-05-01T15:31"),
    ):
        event = iso_event(text, ZONE)
        assert event is not None
        assert [event.interval.start, event.interval.end] == [
            datetime.fromisoformat(side).replace(tzinfo=ZONE) for side in (start, end)
        ]
    assert iso_event("9999", ZONE) is None
