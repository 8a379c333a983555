"""Subjects and topics: what is compared, and what verdicts and grounds come to."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta

import pytest

from memoryscope_rag.build import build_embedder
from memoryscope_rag.configs.model import Config
from memoryscope_rag.errors import ModelError
from memoryscope_rag.lexical import analyze
from memoryscope_rag.schema import MemoryNode
from memoryscope_rag.testing.fakes import HashEmbedder
from memoryscope_rag.workers.backend.ground import mark, resting, to_judge
from memoryscope_rag.workers.backend.settle import settle
from memoryscope_rag.workers.backend.state import Subject, Verdict
from memoryscope_rag.workers.backend.subjects import (
    Likeness,
    insight_id,
    insight_text,
    may_concern,
    same_words,
    shares_words,
    without_name,
    words_of,
)
from memoryscope_rag.workers.backend.topics import topics_of

START = datetime(2024, 1, 1, tzinfo=UTC)


def node(name: str, content: str, minute: int = 0, **fields: object) -> MemoryNode:
    said_at = START + timedelta(minutes=minute)
    plain = MemoryNode(name, "observation", content, said_at, (f"m-{name}",))
    return plain.with_(**fields)


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("who", "attribute", "value", "text"),
    [
        ("Ann", "employer", "Google", "Ann's employer: Google"),
        ("小伟", "住处", "上海", "小伟的住处：上海"),
        ("user", "home", "Rome", "The user's home: Rome"),
        ("user", "住处", "上海", "用户的住处：上海"),
    ],
)
def test_what_an_insight_reads_like(who: str, attribute: str, value: str, text: str) -> None:
    assert insight_text(who, attribute, value) == text


def test_ids_depend_on_subject_value_ground_and_predecessor_only() -> None:
    subject = Subject("Ann", "employer")
    first = insight_id(subject, "Google", "f1")
    assert first == insight_id(Subject("ann", "Employer"), "google", "f1")
    assert first != insight_id(subject, "Apple", "f1")
    assert first != insight_id(subject, "Google", "f2")
    assert first != insight_id(Subject("Ann", "employer", node("i", "x")), "Google", "f1")


@pytest.mark.parametrize(
    ("text", "who", "bare"),
    [
        ("Ann's sister met Ann in Rome", "Ann", "sister met in Rome"),
        ("小伟的妹妹结婚了", "小伟", "妹妹结婚了"),
        ("Ann", "Ann", "Ann"),
        ("a+b likes regular expressions", "a+b", "likes regular expressions"),
    ],
)
def test_the_name_is_left_out_of_a_comparison(text: str, who: str, bare: str) -> None:
    assert without_name(text, who) == bare


@pytest.mark.parametrize(
    ("fact", "who", "may"),
    [
        (node("f", "lives in Rome", speaker="Ann"), "ann", True),
        (node("f", "lives in Rome", speaker="Ben"), "Ann", False),
        (node("f", "Ann lives in Rome", speaker="Ben"), "Ann", True),
        (node("f", "lives in Rome", speaker="Ann", metadata={"subject": "Ben"}), "Ann", False),
        (node("f", "lives in Rome"), "Ann", True),
        (node("f", "lives in Rome"), "user", True),
    ],
)
def test_whom_a_fact_may_be_about(fact: MemoryNode, who: str, may: bool) -> None:
    assert may_concern(fact, who) is may


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("Max, the dog, is ill", True),
        ("the cat ran away", True),
        ("no pets are allowed", True),
        ("Ann named a price", False),
    ],
)
def test_words_of_a_subject_in_a_fact(text: str, shared: bool) -> None:
    insight = node("i", "", metadata={"value": "a dog named Max; a cat"})
    words = words_of(Subject("Ann", "pets", insight))
    assert shares_words(frozenset(analyze(text)), words) is shared


def test_attributes_in_other_words() -> None:
    assert same_words("current employer", "Employers")
    assert same_words("居住地", "居住地")
    assert not same_words("employer", "home")


# ---------------------------------------------------------------- likeness


def test_likeness_stands_out_with_the_default_embedder() -> None:
    async def check() -> None:
        likeness = Likeness(build_embedder(Config()))
        texts = ["left Google", "took Max to the vet", "bought a new car"]
        work, pets = (await likeness.bearing(texts, ["Google", "a dog named Max"])).T
        assert work[0] > 1.5 > max(work[1:])
        assert pets[1] > 1.5 > max(pets[0], pets[2])
        alike = await likeness.between(["workplace", "date of birth"], ["employer", "birthday"])
        assert alike[0, 0] > 3 > alike[0, 1]
        assert alike[1, 1] > 3 > alike[1, 0]

    asyncio.run(check())


def test_without_vectors_nothing_stands_out() -> None:
    async def check() -> None:
        failing = HashEmbedder(failure=ModelError("down"))
        for embedder in (None, failing):
            found = await Likeness(embedder).bearing(["a", "b"], ["c"])
            assert found.shape == (2, 1)
            assert (found == -math.inf).all()
        assert (await Likeness(HashEmbedder()).between([], ["a"])).shape == (0, 1)
        assert (await Likeness(HashEmbedder()).between(["a"], [])).shape == (1, 0)

    asyncio.run(check())


def test_attributes_of_both_scripts_have_their_own_background() -> None:
    async def check() -> None:
        likeness = Likeness(HashEmbedder(512))
        found = await likeness.bearing(
            ["her employer moved", "换了工作单位"], ["employer", "工作单位"]
        )
        assert found[0, 0] > 1.5 > found[0, 1]
        assert found[1, 1] > 1.5 > found[1, 0]

    asyncio.run(check())


# ---------------------------------------------------------------- ground


def test_what_an_insight_rests_on() -> None:
    later = START + timedelta(days=1)
    closed = node("f1", "old", valid_to=START, superseded_by="f2")
    chain = node("f2", "newer", 1, valid_to=START, superseded_by="f3")
    last = node("f3", "newest", 2)
    circle = node("f4", "round", 3, valid_to=START, superseded_by="f4")
    insight = node("i", "x", kind="insight", provenance=("f1", "f4", "gone"))
    facts = {fact.id: fact for fact in (closed, chain, last, circle)}
    assert resting(facts, insight, later) == ([last], True)
    assert to_judge(facts, [], insight, set(), later) == ("f3",)
    whole = insight.with_(provenance=("f3",))
    assert resting(facts, whole, later) == ([last], False)
    assert to_judge(facts, [], whole, set(), later) is None
    fresh = node("f5", "fresh", 9)
    assert to_judge(facts, [fresh], whole, {"f5"}, later) == ("f3", "f5")
    assert to_judge(facts, [fresh], whole, set(), later) is None
    taken = whole.with_(metadata={"seen": mark(fresh)})
    assert to_judge(facts, [fresh], taken, {"f5"}, later) is None
    assert to_judge(facts, [fresh.with_(version=2)], taken, {"f5"}, later) == ("f3", "f5")


def test_verdicts_close_each_fact_once() -> None:
    facts = {name: node(name, name, minute) for minute, name in enumerate("abc")}
    now = START + timedelta(days=1)
    verdicts = [
        Verdict("b", "a", "contradicted"),
        Verdict("c", "a", "contradicted"),
        Verdict("c", "c", "contained"),
        Verdict("c", "unknown", "contained"),
        Verdict("c", "b", "compatible"),
    ]
    drafts, actions = settle(facts, verdicts, now)
    assert set(drafts) == {"a"}
    assert drafts["a"].superseded_by == "b"
    assert [action.node for action in actions] == ["a"]


# ---------------------------------------------------------------- topics


def test_topics() -> None:
    def said(name: str, keywords: str, minute: int) -> MemoryNode:
        return node(
            name, f"about {keywords}", minute, speaker="Ann", metadata={"keywords": keywords}
        )

    facts = [said(f"p{n}", "pottery, Ann, week", n) for n in range(4)]
    facts += [said(f"b{n}", "bowl, pottery", 10 + n) for n in range(1)]
    facts += [said(f"r{n}", "running", 20 + n) for n in range(3)]
    facts += [said(f"x{n}", f"thing{n}", 30 + n) for n in range(10)]
    found = topics_of(facts, "Ann", least=3, share=0.5)
    assert [(topic.name, len(topic.facts)) for topic in found] == [("pottery", 5), ("running", 3)]
    assert topics_of(facts, "Ann", least=6, share=0.5) == []
    one_message = [fact.with_(provenance=("m",)) for fact in facts]
    assert topics_of(one_message, "Ann", least=3, share=0.5) == []


def test_chinese_topics_are_words() -> None:
    facts = [
        node(
            f"f{n}", f"我在练瑜伽{n}", n, speaker="小伟", metadata={"keywords": "我在, 在练, 瑜伽"}
        )
        for n in range(3)
    ]
    assert [topic.name for topic in topics_of(facts, "小伟", least=3, share=0.5)] == ["瑜伽"]
