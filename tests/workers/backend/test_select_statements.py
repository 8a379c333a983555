"""select_statements: facts of a batch, and a scripted week through it and judge_by_rules."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Literal

import pytest

from memoryscope_rag.ports import MemoryStore
from memoryscope_rag.schema import Message, Scope
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.fakes import FrozenClock
from memoryscope_rag.workers.backend.facts import observation_of
from memoryscope_rag.workers.backend.judge_by_rules import JudgeByRules
from memoryscope_rag.workers.backend.resolve_times import ResolveTimes
from memoryscope_rag.workers.backend.select_statements import SelectStatements
from memoryscope_rag.workers.backend.state import ConsolidationState, Fact
from memoryscope_rag.workers.base import Services

SCOPE = Scope(user_id="u")
ZONE = timezone(timedelta(hours=2))
MONDAY = datetime(2026, 6, 1, 9, tzinfo=ZONE)


def said(
    seq: int,
    content: str,
    *,
    role: Literal["user", "assistant"] = "user",
    days: float = 0,
    session: str = "s",
    speaker: str | None = None,
) -> Message:
    return Message(
        id=f"m{seq}",
        session_id=session,
        role=role,
        content=content,
        created_at=MONDAY + timedelta(days=days, minutes=seq),
        speaker=speaker,
        scope=SCOPE,
        seq=seq,
    )


@pytest.fixture
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    from memoryscope_rag.build import build_ranker
    from memoryscope_rag.configs.model import Config

    store: MemoryStore = SQLiteStore.open(tmp_path_factory.mktemp("db") / "m.db", embedder=None)
    return Services(store, build_ranker(Config(), None), FrozenClock(MONDAY))


def select(
    services: Services, *messages: Message, before: tuple[Message, ...] = (), **params: object
) -> ConsolidationState:
    worker = SelectStatements(services, SelectStatements.Params.model_validate(params))
    state = ConsolidationState(scope=SCOPE, now=MONDAY, messages=messages, before=before)
    return asyncio.run(worker.run(state))


def contents(state: ConsolidationState) -> list[str]:
    return [fact.content for fact in state.facts]


def test_several_facts_of_a_message_each_with_its_slot(services: Services) -> None:
    state = select(
        services, said(1, "Hi! I work at Alibaba. My sister Ann moved to Rome. How are you?")
    )
    assert contents(state) == ["I work at Alibaba.", "My sister Ann moved to Rome."]
    work, sister = state.facts
    assert (work.subject, work.attribute, work.value) == ("user", "employer", "Alibaba")
    assert (sister.subject, sister.attribute, sister.value) == ("Ann", "home", "Rome")
    assert work.sources == ("m1",)
    assert work.score == 3
    assert state.scores == {"m1": 3}
    assert work.keywords
    assert work.origin["worker"] == "select_statements"


def test_a_named_speaker_is_the_subject(services: Services) -> None:
    (fact,) = select(services, said(1, "我在北京上班。", speaker="小伟")).facts
    assert (fact.subject, fact.attribute, fact.value) == ("小伟", "工作单位", "北京")


def test_the_same_facts_have_the_same_ids(services: Services) -> None:
    message = said(1, "I work at Alibaba.")
    assert [f.id for f in select(services, message).facts] == [
        f.id for f in select(services, message).facts
    ]


def test_assistants_are_listened_to_only_if_asked(services: Services) -> None:
    message = said(1, "I was born in Trieste in 1931.", role="assistant")
    assert not select(services, message).facts
    assert select(services, message, assistant=True).facts


def test_keep_three_takes_what_lasts(services: Services) -> None:
    message = said(1, "I live in Leeds. I painted the fence green on Sunday.")
    assert contents(select(services, message, keep=3)) == ["I live in Leeds."]


def test_what_was_said_before_gives_context_but_no_facts(services: Services) -> None:
    before = (said(1, "I talked to my sister Ann. I bought a blue lamp."),)
    state = select(services, said(2, "She moved to Rome."), before=before)
    assert contents(state) == ["Ann moved to Rome."]
    assert set(state.scores) == {"m2"}


def test_a_game_of_an_earlier_turn_covers_the_batch(services: Services) -> None:
    before = (said(1, "Let's play a role-play: I am a knight and you are a dragon."),)
    assert not select(services, said(2, "I live in the castle of Morn."), before=before).facts
    other = said(3, "I live in the village of Bree.", session="another")
    assert select(services, other, before=before).facts


WEEK = [
    (0, "Morning! I work at Meta, on the maps team."),
    (0, "My birthday is on 5 June."),
    (1, "We're flying to Madrid on 20 July with my sister Ann."),
    (1, "I'm writing a novel about a smuggler. In my novel, I live in Marseille and own a ship."),
    (2, "He works at the harbour and his wife is called Louise."),
    (3, "I started at Apple yesterday, so no more maps for me!"),
    (4, "It was my birthday today, Ann gave me a kayak."),
    (6, "We cancelled our trip to Madrid, Ann broke her leg."),
]


def test_a_week(services: Services) -> None:
    """A new job, a birthday, a trip that is cancelled, a novel that is none of it."""
    messages = [said(seq, text, days=day) for seq, (day, text) in enumerate(WEEK, 1)]
    state = select(services, *messages)
    state = asyncio.run(ResolveTimes(services).run(state))
    facts: dict[str, Fact] = {}
    for fact in state.facts:
        facts.setdefault(fact.sources[-1], fact)
    assert "m5" not in facts
    assert not any("Marseille" in fact.content for fact in state.facts)
    assert any("novel about a smuggler" in fact.content for fact in state.facts)
    birthday = facts["m2"]
    assert birthday.event is not None
    assert birthday.event.recurrence is not None
    assert (birthday.event.recurrence.month, birthday.event.recurrence.day) == (6, 5)
    nodes = [observation_of(fact) for fact in state.facts]
    neighbours = {fact.id: tuple(nodes[:place]) for place, fact in enumerate(state.facts) if place}
    judged = asyncio.run(
        JudgeByRules(services).run(
            ConsolidationState(
                scope=SCOPE,
                now=MONDAY,
                messages=tuple(messages),
                facts=state.facts,
                neighbours=neighbours,
            )
        )
    )
    source = {fact.id: fact.sources[-1] for fact in state.facts}
    assert {(source[v.older], source[v.newer], v.relation) for v in judged.verdicts} == {
        ("m1", "m6", "contradicted"),
        ("m3", "m8", "contradicted"),
    }
