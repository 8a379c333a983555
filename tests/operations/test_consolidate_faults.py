"""Consolidation when things go wrong: no turn is lost, none is doubled, and no error escapes."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from memoryscope_rag.errors import BudgetExceeded, MalformedReply, ModelError, StoreUnavailable
from memoryscope_rag.models.openai import OpenAIGenerator
from memoryscope_rag.operations.consolidate import RERUNS
from memoryscope_rag.operations.record import index_fact
from memoryscope_rag.ports import Changes, ChatMessage, MemoryStore
from memoryscope_rag.schema import Message
from memoryscope_rag.scoring import LinearRanker
from memoryscope_rag.testing.fakes import FrozenClock, ScriptedGenerator
from memoryscope_rag.testing.scripted_server import WireReply, WireRequest, scripted_server
from memoryscope_rag.testing.wire import openai_chat, openai_error
from memoryscope_rag.workers.backend.extract_observations import ExtractObservations
from memoryscope_rag.workers.backend.info_filter import InfoFilter
from memoryscope_rag.workers.backend.resolve_times import ResolveTimes
from memoryscope_rag.workers.backend.state import ConsolidationState
from memoryscope_rag.workers.base import Services
from memoryscope_rag.workers.prompts import Prompts
from tests.operations.consolidating import (
    ANN,
    NOON,
    Memory,
    asked,
    fact,
    facts,
    memory,
    reader,
    reading,
    relations,
    scores,
)

ROOT = Path(__file__).parents[2]
Reply = dict[str, Any]
PROMPTS = Prompts.load()


# ---------------------------------------------------------------- malformed replies

VALID: dict[str, Reply] = {
    "scores": json.loads(scores(3, 2)),
    "facts": json.loads(facts(fact("Ann sings [alto].", 1), fact("Ben's cat is called Mo.", 2))),
}
STRANGE: tuple[Any, ...] = (
    None, -1, 0, 3, 17, 10**30, 1.5, "1", "one", True, [], {}, [1], {"n": 1}, "\ud800", "NaN",
)  # fmt: skip


def _number_wrong(reply: Reply, random: Random) -> None:
    (items,) = reply.values()
    item = random.choice(items)
    if "n" in item:
        item["n"] = random.choice([v for v in STRANGE if v is not True or item["n"] != 1])
    else:
        wrong = random.choice(STRANGE)
        item["sources"] = random.choice([wrong, [wrong], [], [1, wrong], None])
        if item["sources"] in ([1], [3]) and not isinstance(item["sources"][0], bool):
            item["sources"] = [3]


def _missing(reply: Reply, random: Random) -> None:
    (items,) = reply.values()
    item = random.choice(items)
    del item[random.choice([key for key in ("n", "score", "relation", "content", "sources")
                            if key in item])]  # fmt: skip


def _left_out(reply: Reply, random: Random) -> None:
    ((key, items),) = reply.items()
    if key == "facts":
        del reply[key]
    else:
        del items[random.randrange(len(items)) :]


def _extra(reply: Reply, random: Random) -> None:
    (items,) = reply.values()
    item = dict(random.choice(items))
    if "sources" in item:
        item["sources"] = [random.choice([-2, 0, 3, 4, 99])]
    items.insert(random.randrange(3), item)


def _value_wrong(reply: Reply, random: Random) -> None:
    (items,) = reply.values()
    item = random.choice(items)
    key = next(key for key in ("score", "relation", "content") if key in item)
    wrong: dict[str, tuple[Any, ...]] = {
        "score": (4, -1, "3", 2.5, None, True, [], {}),
        "relation": ("same", "", None, 1, "Repeated", [], "repeat"),
        "content": ("", "  ", None, 7, [], {}, "\ud83d", "x" * 5000),
    }
    item[key] = random.choice(wrong[key])


def _wrapped(reply: Reply, random: Random) -> None:
    ((key, items),) = reply.items()
    reply.clear()
    reply[random.choice(["result", "data", key.upper(), key[:-1], ""])] = items


DAMAGE: tuple[Callable[[Reply, Random], None], ...] = (
    _number_wrong, _missing, _left_out, _extra, _value_wrong, _wrapped,
)  # fmt: skip


def _text_broken(text: str, random: Random) -> str:
    return random.choice(
        [
            text[: random.randrange(1, len(text) - 1)],
            text[random.randrange(1, 10) :],
            "",
            " \n",
            "I'm sorry, I can't help with that.",
            "<think>" + text,
            "<think>hmm</think>",
            text.replace(":", "="),
            text.replace('"', ""),
            text.replace("}", "]"),
            f"[[{text}",
            "[" * 3000,
            '{"scores": ' * 500,
            "1",
            "null",
            "[]",
            "<1> <3>\n<2> <none>",
            json.dumps(text),
        ]
    )


def _dressed(text: str, random: Random) -> str:
    """What may stand around a right answer."""
    return random.choice(
        [
            f"<think>maybe [1] or {{2}}? {text[:20]}</think>\n{text}",
            f"```json\n{text}\n```",
            f"Here you are [as asked]:\n{text}\nAnything else? [y/n]",
            f"\ufeff  {text}\n\n",
            text.replace("]}", "],}"),
            text.replace('{"', '{"why": "because [1] <2>", "', 1),
        ]
    )


def _damaged(random: Random, number: int) -> tuple[str, bool, str, Callable[..., str]]:
    """A reply that was damaged or dressed, whether it was only dressed, what it was before, and a
    model that gives it where its kind is asked for.
    """
    key = random.choice(["scores", "facts"])
    text = json.dumps(VALID[key])
    dressed = number % 5 == 0
    if dressed:
        damaged = _dressed(text, random)
    elif random.random() < 0.5:
        damaged = _text_broken(text, random)
    else:
        reply = json.loads(text)
        random.choice(DAMAGE)(reply, random)
        damaged = json.dumps(reply)

    def answer(messages: Sequence[ChatMessage]) -> str:
        wanted, _ = asked(messages)
        if wanted == "relations":
            return reader()(messages)
        return damaged if wanted == key else json.dumps(VALID[wanted])

    return damaged, dressed, text, answer


RIGHT = {"Ann sings [alto].": ("m0",), "Ben's cat is called Mo.": ("m1",)}


@pytest.mark.slow
def test_e12_a_thousand_malformed_replies() -> None:
    """Each is refused, or it holds the right answer whole, which then is read rightly."""
    random = Random(12)
    texts = ("I sing [alto].", "My cat is called Mo.")
    state = ConsolidationState(
        scope=ANN,
        now=NOON,
        messages=tuple(
            Message(f"m{n}", "s", "user", text, NOON, "Ann", scope=ANN, seq=n + 1)
            for n, text in enumerate(texts)
        ),
    )

    async def check() -> None:
        outcomes = Counter[str]()
        for number in range(1000):
            damaged, dressed, text, answer = _damaged(random, number)
            model = ScriptedGenerator(itertools.repeat(answer))
            services = Services(
                cast(MemoryStore, None),  # these workers use none
                cast(LinearRanker, None),
                FrozenClock(NOON),
                generator=model,
                prompts=PROMPTS,
            )
            workers = [
                InfoFilter(services), ExtractObservations(services), ResolveTimes(services)
            ]  # fmt: skip
            found = state
            try:
                for worker in workers:
                    found = await worker.run(found)
            except MalformedReply as error:
                assert not dressed, damaged
                outcomes["kept"] += error.text == damaged
                assert model.calls <= 3
                outcomes["refused"] += 1
                continue
            assert dressed or text in damaged, damaged
            assert {fact.content: fact.sources for fact in found.facts} == RIGHT, damaged
            assert {fact.score for fact in found.facts} == {2, 3}
            outcomes["read"] += 1
        assert outcomes["refused"] == outcomes["kept"] > 700

    asyncio.run(check())


def test_e12_after_a_malformed_reply_messages_are_pending_and_nothing_is_stored(
    tmp_path: Path,
) -> None:
    random = Random(13)

    async def check() -> None:
        async with memory(tmp_path) as m:
            await m.say("I sing [alto].", "My cat is called Mo.")
            for number in range(40):
                damaged, dressed, _, answer = _damaged(random, number)
                await m.store.mark(ANN, ["m0", "m1"], "pending")  # attempts from 0
                report = await m.run(model=ScriptedGenerator(itertools.repeat(answer)))
                assert report.calls <= 12
                found = await m.known()
                if report.failed:
                    assert not dressed, damaged
                    assert report.failed.keys() == {"m0", "m1"}
                    assert set((await m.states()).values()) == {"pending"}
                    assert found == []
                    assert len(damaged) < 8 or damaged[:20] not in str(report.failed)
                else:
                    assert {node.content: node.provenance for node in found} == RIGHT
                    await m.store.delete_nodes(ANN, [node.id for node in found])

    asyncio.run(check())


def test_e12_a_malformed_judgement_leaves_everything_as_it_was(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            await m.say("I work at Meta in London")
            await m.run(model=reading())
            await m.say("I work at Apple in London")
            before = await m.known(closed=True)
            for bad in (
                "sure",
                relations(),
                relations("contradicted", "contradicted"),
                relations("newer"),
                relations("repeated").replace("1", "0"),
            ):
                told = facts(fact("Ann work at Apple in London"))
                report = await m.run(scores(3), told, bad, bad, attempts=100)
                assert report.failed.keys() == {"m1"}
                assert await m.known(closed=True) == before

    asyncio.run(check())


# ---------------------------------------------------------------- failing models


class _Faulty:
    """A server that fails three times in ten, in many ways, from a seed."""

    def __init__(self, random: Random, share: float = 0.3) -> None:
        self.random = random
        self.share = share
        self.read = reader()
        self.faults = Counter[str]()

    def __call__(self, request: WireRequest) -> WireReply:
        messages = [ChatMessage(m["role"], m["content"]) for m in request.body["messages"]]
        whole = openai_chat(self.read(messages))
        if self.random.random() >= self.share:
            return whole
        (body,) = whole.pieces
        assert isinstance(body, bytes)
        fault = self.random.choice(["429", "500", "timeout", "cut", "malformed", "short"])
        self.faults[fault] += 1
        return {
            "429": openai_error(429, "slow down"),
            "500": openai_error(500, "oops"),
            "timeout": WireReply(whole.pieces, delay=0.6),
            "cut": WireReply((body[: len(body) // 2],), cut=True),
            "malformed": openai_chat("I would rather talk about the weather."),
            "short": openai_chat(self.read(messages)[:-20], finish="length"),
        }[fault]


def _turn(number: int) -> str:
    if number % 2:
        return f"我在第{number}号摊位买了灯。"
    return f"I bought the lamp number {number} from stall {number}."


def _fact(number: int) -> str:
    return _turn(number).replace("I ", "Ann ").replace("我", "Ann")


@pytest.mark.slow
def test_e13_no_turn_is_lost_or_doubled_when_three_calls_in_ten_fail(tmp_path: Path) -> None:
    turns = 500
    faulty = _Faulty(Random(30))

    async def check(url: str) -> int:
        model = OpenAIGenerator("m", base_url=url, api_key="x", timeout_s=0.3)
        async with memory(tmp_path) as m:
            for start in range(0, turns, 50):
                await m.say(*(_turn(n) for n in range(start, start + 50)))
            runs = 0
            while any(state == "pending" for state in (await m.states()).values()):
                await m.run(model=model)
                runs += 1
                assert runs < 500
            await model.close()
            await _nothing_lost(m, turns)
            return runs

    with scripted_server(faulty) as server:
        asyncio.run(check(server.url))
        calls = len(server.requests)
    assert sum(faulty.faults.values()) > 0.2 * calls
    assert set(faulty.faults) == {"429", "500", "timeout", "cut", "malformed", "short"}
    # five attempts of three questions, each mended once, is the most a turn can ever cost
    assert calls <= turns, f"{calls} calls for {turns} turns"


async def _nothing_lost(m: Memory, turns: int) -> None:
    messages = await m.messages()
    assert len(messages) == turns
    held: dict[str, list[str]] = {}
    known = await m.known(closed=True)
    assert len({node.id for node in known}) == len(known)
    for node in known:
        for name in node.provenance:
            held.setdefault(name, []).append(node.content)
    for number, (name, message) in enumerate(messages.items()):
        if message.state == "parked":
            assert message.state_reason
            assert name not in held
        else:
            assert message.state == "consolidated"
            assert held[name] == [_fact(number)], name
    parked = sum(message.state == "parked" for message in messages.values())
    assert parked < turns / 10


@pytest.mark.parametrize(
    "error",
    [
        ModelError("busy", retryable=True),
        ModelError("no such model"),
        TimeoutError(),
        MalformedReply("the reply is no Scores", "secret words"),
    ],
)
def test_e13_every_kind_of_failure_is_a_value(tmp_path: Path, error: Exception) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            (name,) = await m.say("I have a secret")
            report = await m.run(error)
            assert report.failed.keys() == {name}
            assert report.failed[name].startswith(type(error).__name__)
            assert "secret" not in report.failed[name]
            assert (await m.messages())[name].attempts == 1

    asyncio.run(check())


def test_a_spent_budget_costs_no_attempt(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            (name,) = await m.say("I live in Kyoto")
            for _ in range(10):
                report = await m.run(BudgetExceeded("spent"))
                assert report.failed.keys() == {name}
            assert (await m.messages())[name].attempts == 0

    asyncio.run(check())


# ---------------------------------------------------------------- others at work


def test_a_message_forgotten_meanwhile_does_not_come_back(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            await m.say("I live in Kyoto", "I hate the opera", "I own a canoe")
            read = reader()
            forgotten = False

            class Slow(ScriptedGenerator):
                async def generate(self, messages: Sequence[ChatMessage], **how: Any) -> Any:
                    nonlocal forgotten
                    if asked(messages)[0] == "facts" and not forgotten:
                        forgotten = True
                        await m.store.forget(ANN, message_ids=["m1"])
                    return await super().generate(messages, **how)

            report = await m.run(model=Slow(itertools.repeat(read)))
            assert await m.contents() == ["Ann live in Kyoto", "Ann own a canoe"]
            assert await m.states() == {"m0": "consolidated", "m2": "consolidated"}
            assert (report.consolidated, report.failed) == (2, {})

    asyncio.run(check())


def test_a_message_forgotten_before_a_failure_is_no_error(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            await m.say("I live in Kyoto", "I hate the opera")

            class Forgetting(ScriptedGenerator):
                async def generate(self, messages: Sequence[ChatMessage], **how: Any) -> Any:
                    await m.store.forget(ANN, message_ids=["m1"])
                    return await super().generate(messages, **how)

            report = await m.run(model=Forgetting([ModelError("down")]))
            assert report.failed.keys() == {"m0"}

    asyncio.run(check())


def test_a_node_changed_meanwhile_is_looked_at_again(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            await m.say("I work at Meta in London")
            await m.run(model=reading())
            (node,) = await m.known()
            await m.say("I work at Apple in London")
            commit = m.store.commit
            tries = 0

            async def late(scope: Any, changes: Changes, lease: Any = None) -> None:
                nonlocal tries
                tries += 1
                if tries == 1:
                    edited = await index_fact(
                        m.services.embedder, node.with_(content="Ann works at Meta, London")
                    )
                    await m.store.update_node(ANN, edited, version=node.version)
                await commit(scope, changes, lease)

            m.store.commit = late  # type: ignore[method-assign]
            await m.run(model=reading(judge=lambda known, new: "contradicted"))
            assert tries == 2
            old, new = await m.known(closed=True)
            assert (old.content, old.superseded_by) == ("Ann works at Meta, London", new.id)
            assert old.version == 3

    asyncio.run(check())


def test_a_store_that_stays_unavailable_is_told(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            await m.say("I live in Kyoto")

            async def never(*_: Any) -> None:
                raise StoreUnavailable("disk full")

            m.store.commit = never  # type: ignore[assignment, method-assign]
            model = reading()
            with pytest.raises(StoreUnavailable, match="disk full"):
                await m.run(model=model)
            assert model.calls == 2 * (RERUNS + 1)

    asyncio.run(check())


def test_one_of_two_tasks_works_and_the_other_is_told(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            await m.say(*(_turn(n) for n in range(30)))
            models = [ScriptedGenerator(itertools.repeat(reader()), delay=0.05) for _ in range(2)]
            one, two = await asyncio.gather(*(m.run(model=model) for model in models))
            assert sorted([one.busy, two.busy]) == [False, True]
            assert sorted([one.consolidated, two.consolidated]) == [0, 30]
            assert min(model.calls for model in models) == 0
            await _nothing_lost(m, 30)

    asyncio.run(check())


def test_a_lease_that_was_lost_stops_the_run_and_its_writes(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            await m.say(*(_turn(n) for n in range(30)))

            class Suspended(ScriptedGenerator):
                async def generate(self, messages: Sequence[ChatMessage], **how: Any) -> Any:
                    if self.calls == 4:  # asleep for longer than the lease
                        m.clock.advance(timedelta(hours=1))
                        other = await m.store.acquire(ANN, "consolidate", "other", 60)
                        assert other is not None
                    return await super().generate(messages, **how)

            report = await m.run(model=Suspended(itertools.repeat(reader())), batch_messages=10)
            assert (report.busy, report.consolidated) == (True, 10)
            assert Counter((await m.states()).values()) == {"consolidated": 10, "pending": 20}
            assert len(await m.known()) == 10

    asyncio.run(check())


def test_a_long_call_keeps_its_lease(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            await m.say("I live in Kyoto")

            class Patient(ScriptedGenerator):
                async def generate(self, messages: Sequence[ChatMessage], **how: Any) -> Any:
                    for _ in range(6):
                        await asyncio.sleep(0.06)
                        m.clock.advance(0.06)
                    return await super().generate(messages, **how)

            report = await m.run(model=Patient(itertools.repeat(reader())), lease_seconds=0.15)
            assert (report.busy, report.consolidated) == (False, 1)
            assert await m.store.acquire(ANN, "consolidate", "next", 1) is not None

    asyncio.run(check())


def _child(path: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.operations.consolidating_child", str(path), str(seconds)],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        cwd=ROOT,
    )


def test_k5_a_run_killed_between_batches_is_taken_up_where_it_stopped(tmp_path: Path) -> None:
    turns = 60

    async def fill() -> None:
        async with memory(tmp_path) as m:
            await m.say(*(_turn(n) for n in range(turns)))

    async def finish() -> None:
        async with memory(tmp_path) as m:
            done = Counter((await m.states()).values())
            assert 0 < done["consolidated"] < turns
            assert await m.store.check() == ()
            assert (await m.run(model=reading())).busy  # until the lease of the dead one ends
            m.clock.advance(10)
            report = await m.run(model=reading())
            assert report.consolidated == done["pending"]
            await _nothing_lost(m, turns)

    asyncio.run(fill())
    with _child(tmp_path, 0.02) as child:
        assert child.stdout is not None
        for _ in range(8):
            assert child.stdout.readline() == "call\n"
        child.kill()
    asyncio.run(finish())


def test_k5_one_of_two_processes_works_and_the_other_is_told(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            await m.say(*(_turn(n) for n in range(30)))
            said: list[str] = []

            class WhileOtherTries(ScriptedGenerator):
                async def generate(self, messages: Sequence[ChatMessage], **how: Any) -> Any:
                    if not said:
                        with _child(tmp_path, 0.0) as child:
                            out, _ = await asyncio.to_thread(child.communicate, timeout=60)
                            said.append(out)
                    return await super().generate(messages, **how)

            report = await m.run(model=WhileOtherTries(itertools.repeat(reader())))
            assert (said, report.consolidated) == (["busy\n"], 30)
            await _nothing_lost(m, 30)

    asyncio.run(check())
