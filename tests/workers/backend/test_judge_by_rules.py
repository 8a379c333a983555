"""judge_by_rules and the relations beneath it: the pairs that ship, and what must never happen."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from memoryscope_rag.evaluation.conflict import FILES, figures, judged_by_all, packaged_pairs
from memoryscope_rag.statements import Said, relation
from memoryscope_rag.workers.backend.facts import observation_of
from memoryscope_rag.workers.backend.judge_by_rules import judge, same_speaker
from memoryscope_rag.workers.backend.state import Fact

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def compare(older: str, newer: str, days: int = 30) -> str:
    return relation(Said(older, NOW), Said(newer, NOW + timedelta(days=days)))


def node_of(content: str, days: int = 0, speaker: str | None = None) -> Fact:
    return Fact(
        id=f"{content}{days}",
        content=content,
        sources=("m",),
        said_at=NOW + timedelta(days=days),
        session_id="s",
        seq=1,
        speaker=speaker,
    )


COMPATIBLE = [
    ("I like apples.", "I like pears."),
    ("I drink two coffees every morning.", "I never drink coffee after lunch."),
    ("My sister lives in Leeds.", "I live in York."),
    ("I used to live in Rome.", "I live in Leeds."),
    ("I live in Italy.", "My brother Tom lives in Rome."),
    ("I went to Paris last weekend.", "I went to Paris yesterday."),
    ("I got lost in Rome.", "I love getting lost in good books."),
    ("I have two cats.", "I have three sisters."),
    ("I don't like horror films.", "I like documentaries."),
    ("我喜欢吃苹果。", "我喜欢吃梨。"),
    ("我姐姐住在苏州。", "我住在上海。"),
    ("我以前住在北京。", "我住在上海。"),
    ("上个月我去了青岛出差。", "上周我去了成都出差。"),
    ("我喜欢看电影。", "我不错过任何一部电影。"),
]
CONTRADICTED = [
    ("I work at Meta.", "I work at Apple now."),
    ("I'm vegetarian.", "I'm not vegetarian any more."),
    ("I like coffee.", "I don't like coffee any more."),
    ("We're flying to Oslo in June.", "Our trip to Oslo got cancelled."),
    ("I live in Krakow.", "I just moved to Gdansk."),
    ("My favourite colour is green.", "My favourite color is blue."),
    ("我在Meta上班。", "我跳槽到Apple了。"),
    ("我喜欢喝咖啡。", "我现在不喝咖啡了。"),
    ("我住在北京。", "我上个月搬到上海了。"),
    ("我们下个月去三亚。", "去三亚的计划取消了。"),
]


@pytest.mark.parametrize(("older", "newer"), COMPATIBLE)
def test_both_hold(older: str, newer: str) -> None:
    assert compare(older, newer) == "compatible"


@pytest.mark.parametrize(("older", "newer"), CONTRADICTED)
def test_the_older_is_not_true_any_more(older: str, newer: str) -> None:
    assert compare(older, newer) == "contradicted"


def test_two_languages_and_two_speakers_are_never_compared() -> None:
    assert compare("I live in Rome.", "我搬到上海了。") == "compatible"
    ann, bob = (observation_of(node_of("I live in Rome.", speaker=name)) for name in ("Ann", "Bob"))
    assert not same_speaker(ann, bob)
    assert same_speaker(ann, observation_of(node_of("I live in Rome.")))


def test_what_was_said_later_wins_also_when_it_is_known_already() -> None:
    """A message consolidated late: the known node was said after the fact."""
    known = observation_of(node_of("I have a red motorbike from 1998.", days=10))
    fact = observation_of(node_of("I have a red motorbike.", days=0))
    assert judge(known, fact) == "repeated"
    assert judge(fact, known) == "contained"
    work = observation_of(node_of("I started at Apple.", days=10))
    assert judge(work, observation_of(node_of("I work at Meta."))) == "contradicted"


def test_the_pairs_that_ship_are_balanced_and_disjoint() -> None:
    parts = {name: packaged_pairs(name) for name in FILES}
    for name, pairs in parts.items():
        count = Counter(pair.relation for pair in pairs)
        assert set(count.values()) == {len(pairs) // 4}, name
        assert sum(pair.language == "zh" for pair in pairs) * 2 == len(pairs)
    texts = [{(p.older.content, p.newer.content) for p in pairs} for pairs in parts.values()]
    assert len(set().union(*texts)) == sum(map(len, texts))


def test_the_tuned_pairs_are_judged_right() -> None:
    report = asyncio.run(judged_by_all(packaged_pairs("tuned"), "pairs"))
    assert report.systems["rules"]["accuracy"] >= 0.95
    assert report.systems["rules"]["false_conflict"] == 0
    assert report.categories["rules"]["contradicted"]["n"] == 25


def test_figures_of_a_judge_that_always_finds_conflicts() -> None:
    pairs = packaged_pairs("tuned")
    always = figures(pairs, ["contradicted"] * len(pairs))
    assert always["accuracy"] == 0.25
    assert always["false_conflict"] == always["conflicts_found"] == 1
