"""Rows N1 to N4 and O3: times, reasons, tokens, what is logged and what is wiped."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from memoryscope_rag import MemoryScope, NewMessage, Scope
from memoryscope_rag.build import build_generator
from memoryscope_rag.configs.load import packaged_text, parse_config
from memoryscope_rag.errors import ModelError
from memoryscope_rag.models.ledger import Ledger
from memoryscope_rag.ports import ChatMessage, Usage
from memoryscope_rag.testing.fakes import (
    HashEmbedder,
    ScriptedGenerator,
    ScriptedReply,
    ScriptedReranker,
)
from memoryscope_rag.testing.scripted_server import WireReply, WireRequest, scripted_server
from memoryscope_rag.testing.wire import openai_chat
from tests.operations.consolidating import reader
from tests.operations.reflecting import Thinker

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def turns(*texts: str) -> list[NewMessage]:
    return [
        NewMessage(f"m{n}", "s", "user", text, START + timedelta(minutes=n), "Ann")
        for n, text in enumerate(texts)
    ]


# ---------------------------------------------------------------- N1, N2: a retrieval


@pytest.mark.parametrize("failure", [None, ModelError("down")])
def test_n1_every_step_has_its_time(tmp_path: Path, failure: ModelError | None) -> None:
    stages = yaml.safe_load(packaged_text("operations", "retrieve.yaml"))["stages"]
    steps = {name for s in stages for name in (s if isinstance(s, list) else [s])}
    reranker = ScriptedReranker(lambda query, text: 0.5, failure=failure)
    with MemoryScope.open(
        tmp_path / "memory.db", embedder=HashEmbedder(), reranker=reranker
    ) as memory:
        memory.record_many(turns("the cello is old", "the cello is dear"), scope="ann")
        started = time.perf_counter()
        evidence = memory.retrieve("old cello", scope="ann", floor=False)
        whole = (time.perf_counter() - started) * 1000
    assert set(evidence.timings) == steps
    assert all(0 <= spent <= whole for spent in evidence.timings.values())
    assert evidence.left_out == (() if failure is None else ("semantic_rank: down",))


def test_n2_a_retrieval_is_explained_only_when_asked(tmp_path: Path) -> None:
    with MemoryScope.open(tmp_path / "memory.db", embedder=HashEmbedder()) as memory:
        memory.record_many(turns("the cello is old", "I like the harp"), scope="ann")
        memory.add_note("Ann sold the cello", scope="ann")
        told = memory.retrieve("old cello", scope="ann", floor=False, explain=True)
        plain = memory.retrieve("old cello", scope="ann", floor=False)
    assert len(told) > 1
    for item in told:
        assert item.found_by
        assert item.score == pytest.approx(sum(p.contribution for p in item.parts), abs=1e-3)
    assert [item.node.id for item in plain] == [item.node.id for item in told]
    assert all(item.parts == () and item.found_by == () for item in plain)


# ---------------------------------------------------------------- N3: tokens


def answering(thinker: Thinker) -> Callable[[Sequence[ChatMessage]], str]:
    """A model for chat, consolidation and reflection alike."""

    def reply(messages: Sequence[ChatMessage]) -> str:
        system = messages[0].content
        if any(f'{{"{key}":' in system for key in ("scores", "facts", "relations")):
            return reader()(messages)
        if any(f'"{key}"' in system for key in ("subjects", "insights")):
            return thinker.answer(messages)
        return "You live in Lisbon."

    return reply


def test_n3_every_call_of_a_model_is_counted(tmp_path: Path) -> None:
    reply = answering(Thinker({"home": "lives? in ([A-Z][a-z]+)"}, [("Ann", "home")]))

    def answer(request: WireRequest) -> WireReply:
        asked = [ChatMessage(m["role"], m["content"]) for m in request.body["messages"]]
        return openai_chat(reply(asked), usage=(1000, 10))

    def usage(calls: int) -> Usage:
        return Usage(1000 * calls, 10 * calls)

    ledger = Ledger()
    with scripted_server(answer) as server:
        settings = {"provider": "vllm", "model": "m", "base_url": server.url}
        prices = {"price_in": 2.0, "price_out": 10.0}
        config = parse_config({"generator": {**settings, **prices}, "reflection": {"threshold": 1}})
        generator = build_generator(config, ledger=ledger)
        with MemoryScope.open(
            tmp_path / "memory.db", config=config, embedder=HashEmbedder(), generator=generator
        ) as memory:
            memory.record_many(turns("I live in Lisbon. I have a cat."), scope="ann")
            learned = memory.consolidate(scope="ann")
            assert (learned.calls, learned.usage) == (len(server.requests), usage(learned.calls))
            assert learned.calls > 0
            known = memory.reflect(scope="ann")
            assert known.calls == len(server.requests) - learned.calls > 0
            assert known.usage == usage(known.calls)
            memory.chat("Where do I live?", scope="ann", remember=False)
        asked = len(server.requests)
    assert asked == learned.calls + known.calls + 1
    spent = ledger.by_model()["m"]
    assert (spent.calls, spent.usage, spent.estimated) == (asked, usage(asked), 0)
    assert ledger.cost == pytest.approx(asked * (1000 * 2.0 + 10 * 10.0) / 1e6)


# ---------------------------------------------------------------- N4: the log

CANARY = "xylofoon"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that anybody logs from here on."""
    with caplog.at_level(logging.DEBUG):
        yield caplog


def test_n4_a_retrieval_of_two_hundred_hits_logs_next_to_nothing(
    tmp_path: Path, log: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with MemoryScope.open(tmp_path / "memory.db", embedder=HashEmbedder()) as memory:
        memory.record_many(turns(*(f"the {CANARY} number {n}" for n in range(250))), scope="ann")
        log.clear()
        evidence = memory.retrieve(
            f"which {CANARY}?", scope="ann", limit=200, budget_tokens=20_000, floor=False,
            explain=True,
        )  # fmt: skip
        retrieved = log.text
    assert len(evidence) >= 100
    assert len(retrieved.encode()) <= 5_000
    assert CANARY not in log.text
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "reply",
    [
        None,
        answering(Thinker({"thing": f"({CANARY})"}, [("Ann", "thing")])),
        f"no idea of {CANARY}",
        ModelError("down", retryable=True),
    ],
    ids=["rules", "reading", "talking", "failing"],
)
def test_n4_the_back_end_logs_no_content_whatever_happens(
    tmp_path: Path,
    log: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    reply: ScriptedReply | None,
) -> None:
    model = None if reply is None else ScriptedGenerator(itertools.repeat(reply))
    embedder = HashEmbedder()
    config = parse_config({"reflection": {"threshold": 1}})
    reranker = ScriptedReranker(lambda query, text: 0.5, failure=ModelError("down"))
    with MemoryScope.open(
        tmp_path / "memory.db", config=config, embedder=embedder, reranker=reranker, generator=model
    ) as memory:
        memory.record_many(
            turns(*(f"I own a {CANARY} of {2000 + n}." for n in range(40))), scope=CANARY
        )
        first = memory.consolidate(scope=CANARY)
        assert first.messages > 0
        memory.reflect(scope=CANARY)
        embedder.failure = ModelError("down", retryable=True)
        memory.record(f"My {CANARY} is old", scope=CANARY)
        memory.add_note(f"a {CANARY}", scope=CANARY)
        found = memory.retrieve(f"an old {CANARY}", scope=CANARY, floor=False)
        assert found.left_out
        memory.forget(scope=CANARY, everything=True)
    assert CANARY not in log.text
    assert len(log.text.encode()) <= 10_000
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


# ---------------------------------------------------------------- O3: wiping


def test_o3_one_user_and_then_everybody(tmp_path: Path) -> None:
    users = [Scope("ann"), Scope("ann", "other"), Scope("bob")]
    with MemoryScope.open(tmp_path / "memory.db", embedder=HashEmbedder()) as memory:
        for scope in users:
            memory.record_many(turns(f"a {CANARY} of {scope.agent_id}"), scope=scope)
            memory.add_note(f"{CANARY}, the note", scope=scope)
        memory.forget(scope=users[0], everything=True)
        assert len(memory.messages(scope=users[0])) == 0
        assert all(len(memory.messages(scope=scope)) == 1 for scope in users[1:])
        for scope in memory.scopes():
            assert memory.forget(scope=scope, everything=True, compact=True).proven
        assert (memory.stats().messages, sum(memory.stats().nodes.values())) == (0, 0)
    for file in tmp_path.iterdir():
        assert CANARY.encode() not in file.read_bytes()
