"""Clues become queries: merged, dated, in fair turns; what is missing becomes a clue."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoryscope_rag import Evidence
from memoryscope_rag.schema import Clue, MemoryNode, Message, Scope
from memoryscope_rag.workers.frontend.find_missing import missing
from memoryscope_rag.workers.frontend.hyde_clues import guessed
from memoryscope_rag.workers.frontend.query_clues import by_turns, clue_times
from tests.clues.remembering import ANN, NOW, ids, remembering


def evidence_of(folder: Path, clues: list[Clue], query: str = "What about her?") -> Evidence:
    async def run() -> Evidence:
        async with remembering(folder, clues=clues) as (app, _):
            return await app.retrieve(
                query, scope=ANN, now=NOW, floor=False, profile="clues", explain=True
            )

    return asyncio.run(run())


def message(name: str, content: str, said: datetime) -> Message:
    return Message(name, "s", "user", content, said, scope=Scope("ann"), seq=1)


# ---------------------------------------------------------------- merging


def test_clues_that_say_nearly_the_same_are_one(tmp_path: Path) -> None:
    evidence = evidence_of(
        tmp_path,
        [
            Clue("Clara plays the cello in Leeds", "span", provenance=("m2",)),
            Clue("In Leeds, Clara plays the cello.", "draft", 2.0, ("m2", "m5"), (3,)),
            Clue("The train from Derby was late", "span", provenance=("m5",)),
        ],
    )
    assert evidence.clues == (
        Clue("Clara plays the cello in Leeds", "span", 2.0, ("m2", "m5"), (3,)),
        Clue("The train from Derby was late", "span", provenance=("m5",)),
    )


def test_a_clue_that_repeats_the_query_is_none(tmp_path: Path) -> None:
    clues = [Clue("the cello, who plays it?", "surrogate", provenance=("m2",))]
    assert evidence_of(tmp_path, clues, "Who plays the cello?").clues == ()


def test_clues_without_words_are_none(tmp_path: Path) -> None:
    assert evidence_of(tmp_path, [Clue("???", "span", provenance=("m2",))]).clues == ()


def test_no_kind_of_clue_crowds_out_another(tmp_path: Path) -> None:
    spans = [Clue(f"words{n} other{n} things{n}", "span", provenance=("m2",)) for n in range(30)]
    draft = Clue("Clara plays the cello", "draft", provenance=("m2",))
    evidence = evidence_of(tmp_path, [*spans, draft])
    assert len(evidence.clues) == 12
    assert evidence.clues[1] == draft


@given(st.lists(st.tuples(st.sampled_from(["span", "surrogate", "draft"]), st.integers())))
def test_taking_turns_loses_no_clue_and_keeps_the_order_of_a_kind(
    made: list[tuple[str, int]],
) -> None:
    clues = [Clue(str(number), kind) for kind, number in made]  # type: ignore[arg-type]
    turns = list(by_turns(clues))
    for kind in ("span", "surrogate", "draft"):
        assert [c for c in turns if c.kind == kind] == [c for c in clues if c.kind == kind]


# ---------------------------------------------------------------- dates


def test_a_relative_date_is_seen_from_the_turn_that_says_so() -> None:
    said = message("m1", "We went to Porto last week", datetime(2026, 3, 11, 20, tzinfo=UTC))
    other = message("m2", "Porto was lovely", datetime(2026, 5, 1, tzinfo=UTC))
    clue = Clue("They went to Porto last week", "span", provenance=("m2", "m1"))
    (week,) = clue_times(clue, {"m1": said, "m2": other}, NOW)
    assert week.start == datetime(2026, 3, 2, tzinfo=UTC)
    assert week.end == datetime(2026, 3, 9, tzinfo=UTC)


def test_without_a_turn_that_says_so_it_is_seen_from_the_first_or_from_now() -> None:
    other = message("m2", "Porto was lovely", datetime(2026, 5, 1, 8, tzinfo=UTC))
    clue = Clue("They came back yesterday", "span", provenance=("m2",))
    (day,) = clue_times(clue, {"m2": other}, NOW)
    assert day.start == datetime(2026, 4, 30, tzinfo=UTC)
    (day,) = clue_times(clue, {}, NOW)
    assert day.start == datetime(2026, 6, 29, tzinfo=UTC)


def test_dates_are_read_in_the_zone_of_the_user_and_in_chinese() -> None:
    zone = ZoneInfo("Asia/Shanghai")
    said = message("m1", "昨天第一天上班", datetime(2026, 6, 15, 23, tzinfo=UTC))  # the 16th there
    clue = Clue("他昨天第一天上班", "span", provenance=("m1",))
    (day,) = clue_times(clue, {"m1": said}, NOW.astimezone(zone))
    assert day.start == datetime(2026, 6, 15, tzinfo=zone)


def test_a_moment_is_no_time_to_look_in() -> None:
    assert clue_times(Clue("What does she do now?", "surrogate"), {}, NOW) == ()


@given(st.datetimes(datetime(2000, 1, 5), datetime(2090, 1, 1)), st.integers(2, 20))
def test_days_ago_are_counted_from_the_turn(said: datetime, days: int) -> None:
    moment = said.replace(tzinfo=UTC)
    turn = message("m1", f"It happened {days} days ago", moment)
    clue = Clue(f"It happened {days} days ago", "span", provenance=("m1",))
    (day,) = clue_times(clue, {"m1": turn}, NOW)
    wanted = (moment - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert day.start == wanted


def test_the_time_in_a_clue_raises_a_little_and_removes_nothing(tmp_path: Path) -> None:
    plain = evidence_of(tmp_path / "a", [])
    wrong = Clue("Something about spring in 1999", "draft", provenance=("m2",))
    right = Clue("Something said on 2 March 2026", "draft", provenance=("m2",))  # m6 was
    dated = evidence_of(tmp_path / "b", [wrong])
    assert set(ids(dated)) == set(ids(plain))
    dated = evidence_of(tmp_path / "c", [right])
    (parts,) = [item.parts for item in dated.items if item.node.provenance == ("m6",)]
    (time,) = [part for part in parts if part.signal == "clue_time"]
    assert 0 < time.contribution <= 0.5
    assert set(ids(dated)) == set(ids(plain))
    assert dated.intervals == ()  # the query itself names none


# ---------------------------------------------------------------- from models and by rules


def test_what_a_model_imagines_is_questions_and_drafts() -> None:
    clues = guessed("1. She lives in Basel\n2. Where does Ann live?\n3. cut o", "Where?", cut=True)
    assert clues == (Clue("She lives in Basel", "draft"), Clue("Where does Ann live?", "surrogate"))


def node(content: str, speaker: str | None = None) -> MemoryNode:
    return MemoryNode("m1#0", "conversation", content, NOW, provenance=("m1",), speaker=speaker)


@pytest.mark.parametrize(
    ("query", "content", "clues"),
    [
        ("Where was the boss born?", "My boss is called Priya.", ["Priya born"]),
        (
            "Where was the boss born?",
            "My boss was born in Mumbai, on a Monday.",
            ["Mumbai boss born"],
        ),
        ("Where was the boss born?", "The boss is tired, I'm afraid", ["born"]),
        ("Where was the boss born?", "Nothing in common here", []),
        ("Does the boss travel?", "The boss travels on Mondays in May", []),
        ("Who is Priya?", "Hello to Priya", []),
        ("老板在哪里出生？", "我的老板叫李明", []),
    ],
)
def test_what_is_missing_is_names_and_the_words_that_nothing_held(
    query: str, content: str, clues: list[str]
) -> None:
    assert [clue.text for clue in missing(query, [node(content)], 3)] == clues
