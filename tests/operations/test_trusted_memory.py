"""A trusted memory: nothing of what was forgotten, nothing twice, and what it counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from memoryscope_rag.errors import MemoryStale, ModelError, StoreCorrupt
from memoryscope_rag.operations.trusted_memory import TrustedMemory
from memoryscope_rag.ports import Coverage, MemoryStore
from memoryscope_rag.schema import Clue, Scope
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.fakes import ScriptedMemory
from tests.operations.refreshing import ANN, BEN, covered, tell, turns

SPAN = Clue("a span", "span")


@asynccontextmanager
async def trusted(
    path: Path, inner: ScriptedMemory, stale: Callable[[Scope], None] = lambda scope: None
) -> AsyncIterator[tuple[TrustedMemory, MemoryStore]]:
    """A memory that covers ten messages of a store."""
    store = SQLiteStore.open(path, embedder=None)
    try:
        await tell(store, turns(10))
        inner.cover(ANN, await store.messages(ANN))
        yield TrustedMemory(inner, store, stale=stale, capacity=3), store
    finally:
        await store.close()


def scripted() -> ScriptedMemory:
    return ScriptedMemory(clues={ANN: [SPAN]}, attention={ANN: {"m1": 2.0}})


def test_a_question_is_answered_once_while_the_memory_is_the_same(tmp_path: Path) -> None:
    async def check() -> None:
        inner = scripted()
        async with trusted(tmp_path / "m.db", inner) as (memory, store):
            for _ in range(3):
                assert await memory.clues(ANN, "Where?", ["span"]) == (SPAN,)
                assert await memory.attention(ANN, "Where?") == {"m1": 2.0}
                await tell(store, turns(1, first=10))  # known by then; it is not covered
            assert (inner.calls["clues"], inner.calls["attention"]) == (1, 1)
            assert await memory.clues(ANN, "Where?", ["draft"]) == ()
            assert await memory.clues(ANN, "Who?", ["span"]) == (SPAN,)
            assert inner.calls["clues"] == 3
            await memory.write(ANN, (await store.messages(ANN))[10:], keep=10)
            await memory.clues(ANN, "Who?", ["span"])
            assert inner.calls["clues"] == 4
            counts = memory.counts
            assert (counts.asked, counts.cached, counts.refused) == (9, 4, 0)

    asyncio.run(check())


def test_so_many_answers_are_kept_and_no_more(tmp_path: Path) -> None:
    async def check() -> None:
        inner = scripted()
        async with trusted(tmp_path / "m.db", inner) as (memory, _):
            for question in ("1", "2", "3", "1", "4", "1", "2"):
                await memory.attention(ANN, question)
            assert inner.calls["attention"] == 5  # 2 had to go for 4

    asyncio.run(check())


def test_a_question_that_is_asked_twice_at_once_runs_once(tmp_path: Path) -> None:
    async def check() -> None:
        inner = scripted()
        inner.delay = 0.1
        async with trusted(tmp_path / "m.db", inner) as (memory, _):
            asked = [asyncio.create_task(memory.attention(ANN, "Where?")) for _ in range(5)]
            await asyncio.sleep(0.05)
            asked[0].cancel()  # the others get their answer all the same
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert isinstance(answers[0], asyncio.CancelledError)
            assert answers[1:] == [{"m1": 2.0}] * 4
            assert inner.calls["attention"] == 1
            assert memory.counts.cached == 4

    asyncio.run(check())


def test_a_question_that_nobody_waits_for_any_more_ends(tmp_path: Path) -> None:
    async def check() -> None:
        inner = scripted()
        inner.hangs = "await"
        async with trusted(tmp_path / "m.db", inner) as (memory, _):
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await memory.attention(ANN, "Where?")
            await asyncio.sleep(0)
            assert inner.calls["attention"] == 2
            assert len(asyncio.all_tasks()) == 1
            inner.hangs = None
            assert await memory.attention(ANN, "Where?") == {"m1": 2.0}

    asyncio.run(check())


def test_what_was_forgotten_makes_a_memory_stale_until_it_is_refreshed(tmp_path: Path) -> None:
    async def check() -> None:
        inner, stale = scripted(), list[Scope]()
        async with trusted(tmp_path / "m.db", inner, stale.append) as (memory, store):
            await memory.attention(ANN, "Where?")
            await store.forget(ANN, message_ids=["m4"])
            for _ in range(2):  # whether or not the answer is kept
                with pytest.raises(MemoryStale, match="is being refreshed") as caught:
                    await memory.attention(ANN, "Where?")
                assert caught.value.retryable
            with pytest.raises(MemoryStale):
                await memory.clues(ANN, "Where?", ["span"])
            assert stale == [ANN] * 3
            assert memory.counts.refused == 3
            assert inner.calls["clues"] == 0
            assert await memory.attention(BEN, "Where?") == {}  # it covers nothing there
            await memory.write(ANN, (), keep=4)
            assert await memory.attention(ANN, "Where?") == {"m1": 2.0}

    asyncio.run(check())


def test_what_is_forgotten_while_a_question_is_being_answered_is_not_told(tmp_path: Path) -> None:
    async def check() -> None:
        inner = scripted()
        inner.delay = 0.1
        async with trusted(tmp_path / "m.db", inner) as (memory, store):
            asked = asyncio.create_task(memory.clues(ANN, "Where?", ["span"]))
            while not inner.calls["clues"]:
                await asyncio.sleep(0.005)
            await store.forget(ANN, message_ids=["m4"])
            with pytest.raises(MemoryStale):
                await asked
            # and withdrawn from the memory before the answer is there
            inner.cover(ANN, await store.messages(ANN))
            asked = asyncio.create_task(memory.clues(ANN, "Why?", ["span"]))
            while inner.calls["clues"] < 2:
                await asyncio.sleep(0.005)
            await store.forget(ANN, message_ids=["m5"])
            inner.cover(ANN, await store.messages(ANN))
            assert await asked == (SPAN,)  # of the second asking, over what there is by now
            assert inner.calls["clues"] == 3

    asyncio.run(check())


def test_reading_on_does_not_spoil_an_answer(tmp_path: Path) -> None:
    async def check() -> None:
        inner = scripted()
        inner.delay = 0.1
        async with trusted(tmp_path / "m.db", inner) as (memory, store):
            inner.cover(ANN, (await store.messages(ANN))[:6])
            asked = asyncio.create_task(memory.attention(ANN, "Where?"))
            while not inner.calls["attention"]:
                await asyncio.sleep(0.005)
            inner.cover(ANN, await store.messages(ANN))
            assert await asked == {"m1": 2.0}
            assert inner.calls["attention"] == 1

    asyncio.run(check())


def test_failures_of_the_model_reach_whoever_asks_and_are_not_kept(tmp_path: Path) -> None:
    async def check() -> None:
        inner = scripted()
        inner.failure = ModelError("out of memory")
        async with trusted(tmp_path / "m.db", inner) as (memory, _):
            for _ in range(2):
                with pytest.raises(ModelError, match="out of memory"):
                    await memory.clues(ANN, "Where?", ["span"])
            inner.failure = None
            assert await memory.clues(ANN, "Where?", ["span"]) == (SPAN,)

    asyncio.run(check())


class Unreadable(ScriptedMemory):
    """A memory with damaged files."""

    async def coverage(self, scope: Scope) -> Coverage:
        raise StoreCorrupt("the manifest is cut off")


def test_damaged_files_cost_a_retrieval_its_clues_and_no_more(tmp_path: Path) -> None:
    async def check() -> None:
        stale = list[Scope]()
        async with trusted(tmp_path / "m.db", Unreadable(), stale.append) as (memory, _):
            with pytest.raises(ModelError, match="cannot be read: the manifest is cut off"):
                await memory.attention(ANN, "Where?")
            assert stale == [ANN]
            with pytest.raises(StoreCorrupt):
                await covered(memory)

    asyncio.run(check())


def test_it_is_the_inner_memory_in_all_else(tmp_path: Path) -> None:
    async def check() -> None:
        inner = scripted()
        async with trusted(tmp_path / "m.db", inner) as (memory, _):
            assert memory.model == inner.model
            assert await memory.coverage(ANN) == await inner.coverage(ANN)
            await memory.drop(ANN)
            assert await covered(inner) == []
            await memory.close()
            assert inner.closed

    asyncio.run(check())
