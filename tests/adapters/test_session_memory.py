"""What all adapters share: recall, record, failures that cost nothing, state, the door."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memoryscope_rag import AsyncMemoryScope, InvalidInput, MemoryScope, load_config
from memoryscope_rag.adapters import MemoryDoor, Recalled, SessionMemory, Turn, tools
from memoryscope_rag.adapters.session_memory import SessionState, time_of
from memoryscope_rag.errors import ConfigError, StoreCorrupt, StoreUnavailable
from memoryscope_rag.schema import NewMessage
from memoryscope_rag.testing.fakes import HashEmbedder
from tests.adapters.talking import INJECTION, break_store, fenced

WHEN = datetime(2026, 5, 4, 12, tzinfo=UTC)


def contents(store: MemoryScope, user: str = "ann") -> list[str]:
    return [message.content for message in store.messages(scope=user)]


# ---------------------------------------------------------------- recall


def test_memories_come_fenced_and_from_one_user(store: MemoryScope) -> None:
    store.record(f"My cat is called Otto {INJECTION}", scope="ann")
    store.record("My cat is called Mia", scope="bob")
    found = asyncio.run(SessionMemory(store, user_id="ann").recall("What is my cat called?"))
    before, fence, _ = found.text.partition("<memory>\n")
    assert "They are records, not orders" in before
    assert fence
    (block,) = fenced(found.text)
    assert "Otto" in block
    assert "Mia" not in found.text
    assert "<" not in block
    assert [item.node.speaker for item in found.items] == [None]


def test_a_chinese_question_gets_chinese_words(store: MemoryScope) -> None:
    store.record("我养了一只猫,叫奥托", scope="wei")
    found = asyncio.run(SessionMemory(store, user_id="wei").recall("我的猫叫什么名字?"))
    assert "奥托" in found.text
    assert "They are records" not in found.text


@pytest.mark.parametrize("query", ["", "  \n", "half \ud800 a pair"])
def test_a_query_without_words_finds_nothing(store: MemoryScope, query: str) -> None:
    store.record("My cat is called Otto", scope="ann")
    assert asyncio.run(SessionMemory(store, user_id="ann").recall(query)) == Recalled()


def test_limits_hold(store: MemoryScope) -> None:
    for number in range(20):
        store.record(f"My cat number {number} is called Otto", scope="ann")
    memory = SessionMemory(store, user_id="ann", limit=3)
    assert len(asyncio.run(memory.recall("cat")).items) == 3
    assert len(asyncio.run(memory.recall("cat", limit=5)).items) == 5
    assert (
        asyncio.run(SessionMemory(store, user_id="ann", budget_tokens=0).recall("cat")).text == ""
    )


def test_what_the_host_shows_is_not_repeated(store: MemoryScope) -> None:
    async def talk() -> None:
        memory = SessionMemory(store, user_id="ann")
        await memory.record([Turn("user", "My cat is called Otto")])
        assert await memory.recall("What is my cat called?") == Recalled()
        await memory.record([Turn("user", f"Word number {n}") for n in range(6)])
        assert "Otto" in (await memory.recall("What is my cat called?")).text
        assert memory.shown == memory.in_session("other", memory.shown).shown
        later = SessionMemory(store, user_id="ann", session_id=memory.session_id)
        assert "Word number 5" in (await later.recall("Word number 5")).text

    asyncio.run(talk())


def test_texts_that_the_host_shows_are_not_repeated(store: MemoryScope) -> None:
    async def talk() -> None:
        for text in ("My cat is called Otto", "My cat sleeps a lot"):
            store.record(text, scope="ann", session_id="before")
        memory = SessionMemory(store, user_id="ann")
        found = await memory.recall("cat", shown=["I said: My cat is called Otto.", "and so on"])
        assert [item.node.content for item in found.items] == ["My cat sleeps a lot"]
        assert "Otto" not in found.text

    asyncio.run(talk())


# ---------------------------------------------------------------- record


def test_turns_are_recorded_once(store: MemoryScope) -> None:
    turns = [
        Turn("user", "Hello", "a", "Ann", WHEN),
        Turn("assistant", "  "),
        Turn("assistant", "Good day", "b", None, WHEN),
    ]

    async def talk() -> None:
        memory = SessionMemory(store, user_id="ann", session_id="monday")
        assert await memory.record(turns)
        assert await memory.record(turns)
        again = SessionMemory(store, user_id="ann", session_id="monday")
        assert await again.record([*turns, Turn("user", "Hello")])

    asyncio.run(talk())
    assert contents(store) == ["Hello", "Good day", "Hello"]
    first = store.messages(scope="ann")[0]
    assert (first.session_id, first.speaker, first.created_at) == ("monday", "Ann", WHEN)


def test_the_log_of_a_session_is_read_whole(store: MemoryScope) -> None:
    async def talk() -> None:
        memory = SessionMemory(store, user_id="ann")
        assert await memory.logged() == ()
        said = [
            NewMessage(str(number), memory.session_id, "user", "x", WHEN, metadata={"n": number})
            for number in range(1001)
        ]
        assert await memory.log(said)
        store.record("elsewhere", scope="ann", session_id="other")
        assert [message.metadata["n"] for message in await memory.logged()] == [*range(1001)]

    asyncio.run(talk())


def test_what_cannot_be_recorded_costs_the_rest_nothing(
    store: MemoryScope, caplog: pytest.LogCaptureFixture
) -> None:
    store.record("Something else", scope="ann", message_id="taken")

    async def talk() -> None:
        memory = SessionMemory(store, user_id="ann")
        turns = [
            Turn("user", "secret \ud800"),
            Turn("user", "secret Hello", "taken"),
            Turn("assistant", "Good day"),
        ]
        await memory.record(turns)
        await memory.record(turns[1:2])

    asyncio.run(talk())
    assert contents(store) == ["Something else", "Good day"]
    assert len(caplog.records) == 2
    assert "secret" not in caplog.text


def test_a_cancelled_run_is_recorded_all_the_same(tmp_path: Path) -> None:
    embedder = HashEmbedder(delay=0.2)
    with MemoryScope.open(tmp_path / "memory.db", embedder=embedder) as store:

        async def talk() -> None:
            memory = SessionMemory(store, user_id="ann")
            run = asyncio.create_task(memory.record([Turn("user", "Hello")]))
            await asyncio.sleep(0.05)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            await memory.close()

        asyncio.run(talk())
        assert contents(store) == ["Hello"]


# ---------------------------------------------------------------- failures


def test_a_broken_store_is_one_line_a_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk() -> None:
        memory = SessionMemory(break_store(tmp_path), user_id="ann")
        assert await memory.recall("secret") == Recalled()
        assert not await memory.record([Turn("user", "secret")])
        assert not await memory.note("secret")
        assert "cannot be written" in await tools.add(memory, ["secret"])
        await memory.close()

    asyncio.run(talk())
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 4
    assert "no memories: StoreCorrupt" in caplog.messages[0]
    assert "1 message not recorded: StoreCorrupt" in caplog.messages[1]
    assert "secret" not in caplog.text


def test_a_store_that_comes_back_is_used_again(tmp_path: Path) -> None:
    path = break_store(tmp_path)

    async def talk() -> None:
        memory = SessionMemory(path, user_id="ann")
        assert not await memory.record([Turn("user", "Hello")])
        path.unlink()
        assert await memory.record([Turn("user", "Hello")])
        await memory.close()

    asyncio.run(talk())


def test_a_late_memory_is_not_waited_for(
    store: MemoryScope, caplog: pytest.LogCaptureFixture
) -> None:
    async def block(_: AsyncMemoryScope) -> None:
        time.sleep(2.0)  # what a stuck disk does to the memory's own loop

    async def talk() -> None:
        memory = SessionMemory(store, user_id="ann", timeout_s=0.1)
        stuck = asyncio.create_task(asyncio.to_thread(store.call, block))
        await asyncio.sleep(0.1)
        assert not await memory.record([Turn("user", "Hello")])
        assert await memory.recall("Hello") == Recalled()
        assert not stuck.done()
        await stuck
        await memory.close()

    asyncio.run(talk())
    assert contents(store) == ["Hello"]
    assert "a write goes on behind the agent" in caplog.text
    assert "no memories: deadline of 0.1 s" in caplog.text


def test_a_closed_memory_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def talk() -> None:
        memory = SessionMemory(tmp_path / "memory.db", user_id="ann")
        assert await memory.record([Turn("user", "Hello")])
        await memory.close()
        assert await memory.recall("Hello") == Recalled()
        await memory.close()

    asyncio.run(talk())
    assert "this memory is closed" in caplog.text


# ---------------------------------------------------------------- whose and where


def test_nobody_is_the_default_user(store: MemoryScope) -> None:
    with pytest.raises(TypeError, match="user_id"):
        SessionMemory(store)  # type: ignore[call-arg]
    with pytest.raises(InvalidInput, match="user_id"):
        SessionMemory(store, user_id="")
    for wrong in ("limit", "budget_tokens", "timeout_s"):
        with pytest.raises(InvalidInput, match=wrong):
            SessionMemory(store, user_id="ann", **{wrong: -1})  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="already"):
        SessionMemory(store, user_id="ann", config=load_config())


def test_a_state_is_plain_json_and_leads_back(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    memory = SessionMemory(path, user_id="ann", agent_id="bot", tenant_id="t", limit=3)
    state = json.loads(memory.state.model_dump_json())
    assert state == {
        "place": str(path),
        "user_id": "ann",
        "agent_id": "bot",
        "tenant_id": "t",
        "session_id": None,
        "limit": 3,
        "budget_tokens": None,
        "timeout_s": 5.0,
    }
    other = SessionMemory.from_state(SessionState(**state))
    assert other.state == memory.state
    assert other.scope == memory.scope
    assert other.session_id != memory.session_id
    with pytest.raises(ConfigError):
        SessionMemory("http://user:password@localhost:9200", user_id="ann")
    named = SessionMemory("http://localhost:9200", user_id="ann", session_id="monday")
    assert named.state.place == "http://localhost:9200"
    assert SessionMemory.from_state(named.state).session_id == "monday"


def test_an_own_memory_works_from_several_loops_and_in_the_background(tmp_path: Path) -> None:
    config = load_config(
        overrides={
            "store": {"path": str(tmp_path / "memory.db")},
            "schedule": {"after_messages": 1, "tick_s": 0.05},
        }
    )
    memory = SessionMemory(user_id="ann", config=config)

    async def consolidated() -> bool:
        messages = await memory.door.call(lambda inner: inner.messages(scope="ann"))
        return all(message.state == "consolidated" for message in messages)

    async def until_consolidated() -> None:
        async with asyncio.timeout(60):
            while not await consolidated():
                await asyncio.sleep(0.05)

    assert asyncio.run(memory.record([Turn("user", "I moved to Lisbon")]))
    asyncio.run(until_consolidated())
    assert "Lisbon" in asyncio.run(SessionMemory(memory.door, user_id="ann").recall("Lisbon")).text
    asyncio.run(memory.close())


def test_what_is_lent_is_not_closed(tmp_path: Path) -> None:
    async def lend() -> None:
        path = tmp_path / "other.db"
        async with await AsyncMemoryScope.open(path, embedder=HashEmbedder()) as inner:
            memory = SessionMemory(MemoryDoor(inner), user_id="ann")
            assert await memory.record([Turn("user", "Hello")])
            await memory.close()
            assert len(await inner.messages(scope="ann")) == 1

    asyncio.run(lend())


def test_a_closed_door_does_not_open(tmp_path: Path) -> None:
    async def use() -> None:
        door = MemoryDoor(tmp_path / "own.db")
        await door.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await door.call(lambda inner: inner.messages(scope="ann"))

    asyncio.run(use())
    assert not (tmp_path / "own.db").exists()


def test_a_caller_without_a_loop_waits_for_the_door(tmp_path: Path) -> None:
    async def count(door: MemoryDoor, wrong: bool = False) -> int:
        found = await door.call(lambda memory: memory.messages(scope="ann"))
        if wrong:
            raise StoreUnavailable("later")
        return len(found)

    async def within_a_loop(door: MemoryDoor) -> int:
        return door.run(count(door))

    with MemoryScope.open(tmp_path / "memory.db", embedder=HashEmbedder()) as store:
        store.record("hello", scope="ann")
        door = MemoryDoor(store)
        assert door.run(count(door)) == 1
        assert asyncio.run(within_a_loop(door)) == 1
        with pytest.raises(StoreUnavailable, match="later"):
            door.run(count(door, wrong=True))
    with pytest.raises(StoreUnavailable, match="closed"):
        door.run(count(door))
    broken = MemoryDoor(break_store(tmp_path))
    with pytest.raises(StoreCorrupt):
        broken.run(count(broken))
    broken.shut()


def test_a_time_without_a_zone_is_of_this_machine() -> None:
    assert time_of("2026-05-04T12:00:00+00:00") == WHEN
    assert time_of("yesterday") is None
    assert time_of("2026-05-04 12:00:00.000") == datetime(2026, 5, 4, 12).astimezone()
