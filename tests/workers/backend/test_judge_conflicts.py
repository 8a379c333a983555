"""The question about conflicts: one for all pairs, bounded, dated; none for plain repetitions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import cast

from memoryscope_rag.ports import MemoryStore
from memoryscope_rag.schema import Event, Interval, MemoryNode
from memoryscope_rag.scoring import LinearRanker
from memoryscope_rag.testing.fakes import FrozenClock, ScriptedGenerator
from memoryscope_rag.workers.backend.judge_conflicts import JudgeConflicts
from memoryscope_rag.workers.backend.state import ConsolidationState, Fact, Verdict
from memoryscope_rag.workers.base import Services
from memoryscope_rag.workers.prompts import Prompts
from tests.operations.consolidating import ANN, NOON, ScriptedReply, asked, relations


def make(name: str, content: str, event: Event | None = None) -> Fact:
    return Fact(
        id=name, content=content, sources=("m",), said_at=NOON, session_id="s", seq=1, event=event
    )


def known(name: str, content: str, days: int = 40) -> MemoryNode:
    return MemoryNode(name, "observation", content, NOON - timedelta(days=days), ("m0",))


def judge(
    facts: tuple[Fact, ...],
    neighbours: Mapping[str, tuple[MemoryNode, ...]],
    *replies: ScriptedReply,
    **params: int,
) -> tuple[tuple[Verdict, ...], ScriptedGenerator]:
    model = ScriptedGenerator(replies)
    services = Services(
        cast(MemoryStore, None),
        cast(LinearRanker, None),
        FrozenClock(NOON),
        generator=model,
        prompts=Prompts.load(),
    )
    state = ConsolidationState(scope=ANN, now=NOON, messages=(), facts=facts, neighbours=neighbours)
    worker = JudgeConflicts(services, JudgeConflicts.Params(**params))
    verdicts = asyncio.run(worker.run(state)).verdicts
    assert model.calls == len(replies)
    return verdicts, model


def test_all_pairs_go_into_one_question_with_their_dates() -> None:
    facts = (make("f1", "Ann works at Apple"), make("f2", "Ann has a cat called Mo"))
    near = {
        "f1": (known("n1", "Ann works at Meta"),),
        "f2": (known("n2", "Ann has a cat", 3), known("n3", "Ann likes cats")),
    }
    reply = relations("contradicted", "contained", "compatible")
    verdicts, model = judge(facts, near, reply)
    assert set(verdicts) == {
        Verdict("f1", "n1", "contradicted"),
        Verdict("f2", "n2", "contained"),
        Verdict("f2", "n3", "compatible"),
    }
    _, lines = asked(model.history[0])
    assert lines[1] == {
        "n": 2,
        "known": "Ann has a cat",
        "known_said": "2025-03-09",
        "new": "Ann has a cat called Mo",
        "new_said": "2025-03-12",
    }
    assert "Judge the pairs 1 to 3" in model.history[0][1].content


def test_answers_may_come_in_any_order() -> None:
    near = {"f": (known("n1", "a"), known("n2", "b"))}
    reply = json.dumps(
        {"relations": [{"n": 2, "relation": "repeated"}, {"n": 1, "relation": "compatible"}]}
    )
    verdicts, _ = judge((make("f", "c"),), near, reply)
    assert set(verdicts) == {Verdict("f", "n1", "compatible"), Verdict("f", "n2", "repeated")}


def test_pairs_are_bounded_and_every_facts_nearest_comes_first() -> None:
    facts = tuple(make(f"f{n}", f"new {n}") for n in range(3))
    near = {
        fact.id: tuple(known(f"{fact.id}-{k}", f"old {fact.id} {k}") for k in range(3))
        for fact in facts
    }
    verdicts, _ = judge(facts, near, relations(*["compatible"] * 4), pairs=4)
    assert [verdict.older for verdict in verdicts] == ["f0-0", "f1-0", "f2-0", "f0-1"]


def test_no_question_without_neighbours_or_for_the_same_words() -> None:
    verdicts, _ = judge((make("f", "Ann works at Apple"),), {})
    assert verdicts == ()
    near = {"f": (known("n0", "Ann works"), known("n1", "ann works at apple!"))}
    verdicts, _ = judge((make("f", "Ann works at Apple."),), near)
    assert verdicts == (Verdict("f", "n1", "repeated"),)


def test_the_same_words_about_another_day_are_a_question() -> None:
    day = Event(Interval(NOON, NOON + timedelta(days=1)))
    near = {"f": (known("n", "Ann ran a marathon"),)}
    verdicts, _ = judge((make("f", "Ann ran a marathon", day),), near, relations("compatible"))
    assert verdicts == (Verdict("f", "n", "compatible"),)
