"""Is it a question, and which way does it look."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoryscope_rag.temporal import find_times, is_question, reading, telling

QUESTIONS = """
When did we meet?
where is my passport
What did I say about Rome last year?
who was at the party
How long have I lived here
Did she call yesterday
Is it raining
could you tell me my address
In which city was I born
Tell me what I bought in May
And why did he leave
我什么时候去的北京
你叫什么名字？
他住在哪里
这是谁的书
你吃饭了吗
有多少人来了
我们怎么去
为什么迟到
现在几点了
她是不是生气了
你最近好吗？
""".strip().splitlines()
STATEMENTS = """
We met in Rome last year.
I will call when I am home.
When I was young, I lived in Berlin.
May 7 is my birthday.
What a lovely day!
Have a nice evening.
I know who did it.
Tomorrow I fly to Oslo.
我昨天去了北京。
明天下午开会
我喜欢喝绿茶
好的,谢谢
""".strip().splitlines()


@pytest.mark.parametrize("text", QUESTIONS)
def test_question(text: str) -> None:
    assert is_question(text)
    assert reading(text) == "past"


@pytest.mark.parametrize("text", STATEMENTS)
def test_statement(text: str) -> None:
    assert not is_question(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Where will I be in May?", "future"),
        ("What's scheduled for Monday?", "future"),
        ("When are we going to meet in May?", "future"),
        ("What was planned for Monday?", "past"),
        ("Which day is good?", "past"),
        ("我五月打算去哪里？", "future"),
        ("我五月原来打算去哪里？", "past"),
        ("五月我打算去哪里来着，后来去了吗？", "past"),
        ("I met Bob on Monday.", "past"),
        ("I will meet Bob on Monday.", "future"),
        ("We're going to move in May.", "future"),
        ("She plans to retire in June.", "future"),
        ("We'll see you on Friday.", "future"),
        ("See you tomorrow.", "future"),
        ("我打算五月去日本。", "future"),
        ("我们将要在周三开会。", "future"),
        ("他准备周五出发。", "future"),
        ("我五月去了日本。", "past"),
    ],
)
def test_reading(text: str, expected: str) -> None:
    assert reading(text) == expected


@given(st.text())
def test_any_text(text: str) -> None:
    assert is_question(text) in (True, False)
    assert reading(text) in ("past", "future")
    assert telling(text) in ("past", "future", "nearest")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("I start there on 1 June.", "2026-06-01"),
        ("Tom has a school there from August.", "2026-08-01"),
        ("My last day is 15 May.", "2026-05-15"),
        ("Ross talked me into a run on 13 September.", "2026-09-13"),
        ("I booked the flights on 3 March.", "2026-03-03"),
        ("My birthday is 3 December.", "2025-12-03"),
        ("I ran a marathon on 3 May.", "2025-05-03"),
        ("We got married in May.", "2025-05-01"),
        ("We will get married in April.", "2026-04-01"),
        ("I saw him on Saturday.", "2026-04-18"),
        ("I am free on Saturday.", "2026-04-18"),
        ("我和小雨定了五一去大理。", "2026-05-01"),
        ("我们把大理改到端午了。", "2026-06-19"),
        ("我五月去了日本。", "2025-05-01"),
        ("我5月18日过生日。", "2026-05-18"),
    ],
)
def test_what_somebody_tells(text: str, day: str) -> None:
    friday = datetime(2026, 4, 24, 19, tzinfo=ZoneInfo("Europe/London"))
    (found,) = find_times(text, reference=friday, prefer=telling(text))
    assert found.interval.start is not None
    assert found.interval.start.date().isoformat() == day
