"""What an outbox takes while the database is away, delivers when it is back, and never loses."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from memoryscope_rag import load_config
from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.errors import InvalidInput, StoreCorrupt, StoreUnavailable
from memoryscope_rag.operations.record import record
from memoryscope_rag.ports import EmbedderSpec, LogEntry, MemoryStore, Query, SearchRequest
from memoryscope_rag.schema import NewMessage, Scope
from memoryscope_rag.stores import outbox_file
from memoryscope_rag.stores.outbox import OutboxStore
from memoryscope_rag.stores.outbox_rows import Refusal
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.fakes import HashEmbedder
from memoryscope_rag.testing.samples import (
    ALICE,
    ALL_KINDS,
    BOB,
    OTHER_SPEC,
    SPEC,
    entry,
    message,
    random_entries,
    vector,
)
from tests.stores.doors import Door


@asynccontextmanager
async def opened(
    folder: Path,
    *,
    shut: bool = False,
    embedder: EmbedderSpec | None = SPEC,
    limit_bytes: int = 1 << 30,
) -> AsyncIterator[tuple[OutboxStore, Door]]:
    """A store with an outbox, and the door to its database."""
    door = Door(SQLiteStore.open(folder / "memory.db", embedder=embedder), shut=shut)
    box = await OutboxStore.open(
        door.store, folder / "outbox.db", embedder=embedder, limit_bytes=limit_bytes
    )
    try:
        yield box, door
    finally:
        await box.close()


async def delivered(box: OutboxStore, waiting: int = 0) -> None:
    """Wait until no more than ``waiting`` messages wait."""
    async with asyncio.timeout(20):
        while True:
            state = (await box.stats()).outbox
            assert state is not None
            if state.waiting <= waiting:
                return
            await asyncio.sleep(0.02)


def refusals(folder: Path) -> tuple[Refusal, ...]:
    """What the database did not take, read from the file alone."""
    with outbox_file.opened(folder / "outbox.db") as file:
        assert file is not None
        return file.refusals()


def request(word: str, near: LogEntry | None = None) -> SearchRequest:
    """A search for a word, and for what is like an entry."""
    at = None if near is None else near.nodes[0].vector
    return SearchRequest((Query("q", (word,), at),), ALL_KINDS, neighbours=0)


def test_messages_wait_and_then_arrive_in_order(tmp_path: Path) -> None:
    async def check() -> None:
        made = [entry(message(f"m{n}", f"word{n}", minute=n), Random(n)) for n in range(200)]
        async with opened(tmp_path) as (box, door):
            (first,) = await box.append(ALICE, made[:1])
            assert first.status == "stored"
            door.shut = True
            outcome = await box.append(ALICE, made[1:3])
            assert [(r.status, r.message.seq) for r in outcome] == [("waiting", 0)] * 2
            assert outcome[1].message.content == "word2"
            for each in made[3:]:
                (taken,) = await box.append(ALICE, [each])
                assert taken.status == "waiting"
            assert [m.id for m in await box.last_messages(ALICE, 2)] == ["m198", "m199"]
            with pytest.raises(StoreUnavailable):
                await box.search(ALICE, [request("word5")])
            with pytest.raises(StoreUnavailable):
                await box.count(ALICE, 10)
            with pytest.raises(StoreUnavailable, match=r"199 messages wait in .*, the first since"):
                await box.stats()
            door.shut = False
            await delivered(box)
            log = await box.messages(ALICE)
            assert [m.id for m in log] == [f"m{n}" for n in range(200)]
            assert [m.seq for m in log] == list(range(1, 201))
            (found,) = await box.search(ALICE, [request("word5", made[5])])
            assert found.ids[0] == "m5#0"
            assert found.dense[0, 0] == pytest.approx(1.0, abs=1e-3)
            ((turn, context),) = (await box.vectors(ALICE, ["m5#0"])).values()
            (sent,) = made[5].nodes
            for there, given in ((turn, sent.vector), (context, sent.context_vector)):
                assert there is not None
                assert given is not None
                assert np.allclose(there, given, atol=1e-3)
            assert await box.check() == ()

    asyncio.run(check())


def test_it_asks_a_database_that_is_away_only_now_and_then(tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path, shut=True) as (box, door):
            for number in range(300):
                await box.append(Scope(f"u{number}"), [entry(message("m"))])
                await box.last_messages(ALICE, 2)
            assert door.calls["append"] < 10
            assert door.calls.get("last_messages", 0) < 10

    asyncio.run(check())


def test_an_answer_that_was_lost_doubles_nothing(tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path) as (box, door):
            door.lost = 3
            for number in range(5):
                await box.append(ALICE, [entry(message(f"m{number}"), Random(number))])
            await delivered(box)
            assert [m.id for m in await box.messages(ALICE)] == [f"m{n}" for n in range(5)]
            assert len((await box.list_nodes(ALICE)).items) == 5
            assert (refusals(tmp_path), await box.check()) == ((), ())

    asyncio.run(check())


@pytest.mark.parametrize("seed", range(3))
def test_order_holds_through_outages(tmp_path: Path, seed: int) -> None:
    async def check() -> None:
        random = Random(seed)
        async with opened(tmp_path) as (box, door):

            async def talk(scope: Scope) -> None:
                for number in range(150):
                    await box.append(scope, [entry(message(f"m{number}"))])
                    await asyncio.sleep(random.random() * 0.02)

            async def weather() -> None:
                while True:
                    door.shut, door.slow = not door.shut, random.choice([0.0, 0.01])
                    await asyncio.sleep(random.random() * 0.5)

            storm = asyncio.create_task(weather())
            await asyncio.gather(*[talk(Scope(f"u{n}")) for n in range(5)])
            storm.cancel()
            door.shut = False
            await delivered(box)
            for number in range(5):
                log = await box.messages(Scope(f"u{number}"))
                assert [m.id for m in log] == [f"m{n}" for n in range(150)]
            assert await box.check() == ()

    asyncio.run(check())


def test_what_is_known_and_what_is_refused_while_it_waits(tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path, shut=True) as (box, door):
            outcome = await box.append(
                ALICE,
                [
                    entry(message("m1", "a")),
                    entry(message("m1", "a")),
                    entry(message("m1", "b")),
                    entry(message("m2", "c")),
                ],
            )
            assert [r.status for r in outcome] == ["waiting", "known", "refused", "waiting"]
            assert outcome[2].message.content == "a"
            (again,) = await box.append(ALICE, [entry(message("m2", "c"))])
            (other,) = await box.append(BOB, [entry(message("m2", "d"))])
            assert (again.status, other.status) == ("known", "waiting")
            assert [m.content for m in await box.get_messages(ALICE, ["m2", "no", "m1"])] == [
                "c",
                "a",
            ]
            door.shut = False
            await delivered(box)
            assert [m.content for m in await box.messages(ALICE)] == ["a", "c"]
            assert [m.content for m in await box.messages(BOB)] == ["d"]

    asyncio.run(check())


def test_what_the_database_refuses_is_set_aside(tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path) as (box, door):
            await box.append(ALICE, [entry(message("m1", "the first"))])
            door.shut = True
            taken = entry(message("m3"))  # its node has the id of another one's
            taken = replace(
                taken,
                nodes=tuple(replace(n, node=n.node.with_(id="m1#0")) for n in taken.nodes),
            )
            await box.append(ALICE, [entry(message("m1", "the second")), entry(message("m2"))])
            await box.append(ALICE, [taken, entry(message("m4"))])
            door.shut = False
            await delivered(box)
            assert [m.id for m in await box.messages(ALICE)] == ["m1", "m2", "m4"]
            first, second = refusals(tmp_path)
            assert (first.message.content, first.message.scope) == ("the second", ALICE)
            assert first.reason == "the id 'm1' is taken by other content"
            assert second.message.id == "m3"
            assert "'m1#0' is taken" in second.reason
        async with opened(tmp_path) as (box, _):
            state = (await box.stats()).outbox
            assert state is not None
            assert (state.waiting, state.refused, state.oldest) == (0, 2, None)
            assert await box.check() == (f"2 messages were refused and stand in {state.path}",)
            # the one's id is free again after this, and both go when they are forgotten
            await box.forget(ALICE, message_ids=["m1"])
            assert len(refusals(tmp_path)) == 1
            await box.forget(ALICE, everything=True)
            assert refusals(tmp_path) == ()
            assert await box.check() == ()

    asyncio.run(check())


def test_refused_messages_can_be_tried_again(tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path) as (box, door):
            await box.append(ALICE, [entry(message("m1", "the first"))])
            door.shut = True
            await box.append(ALICE, [entry(message("m1", "the second"))])
            door.shut = False
            await delivered(box)
            assert len(refusals(tmp_path)) == 1
            await door.store.forget(ALICE, message_ids=["m1"])
            with outbox_file.opened(tmp_path / "outbox.db") as file:
                assert file is not None
                assert (file.retry(), file.retry()) == (1, 0)
        async with opened(tmp_path) as (box, _):
            await delivered(box)
            assert [m.content for m in await box.messages(ALICE)] == ["the second"]

    asyncio.run(check())


def test_a_full_outbox_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path, shut=True, limit_bytes=1 << 20) as (box, door):

            async def fill() -> None:
                for number in range(100):
                    await box.append(ALICE, [entry(message(f"m{number}", "x" * 20_000))])

            with pytest.raises(StoreUnavailable, match=r"outbox\.db is full: 1 MiB wait"):
                await fill()
            taken = len(await box.last_messages(ALICE, 100))
            assert 5 < taken < 50
            door.shut = False
            await delivered(box)
            assert len(await box.messages(ALICE)) == taken
            door.shut = True
            (outcome,) = await box.append(ALICE, [entry(message("later", "x" * 20_000))])
            assert outcome.status == "waiting"

    asyncio.run(check())


def test_bad_vectors_are_refused_at_once(tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path, shut=True) as (box, _):
            made = entry(message("m1"), Random(1))
            wrong = replace(made, nodes=(replace(made.nodes[0], vector=np.full(8, np.nan)),))
            with pytest.raises(InvalidInput, match="vector"):
                await box.append(ALICE, [wrong])
            assert await box.get_messages(ALICE, ["m1"]) == ()

    asyncio.run(check())


def test_vectors_of_another_model_are_dropped(tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path, shut=True) as (box, _):
            await box.append(ALICE, [entry(message("m1"), Random(1))])
        inner = SQLiteStore.open(tmp_path / "memory.db", embedder=OTHER_SPEC, reembedding=True)
        await inner.begin_reembed(OTHER_SPEC)
        box = await OutboxStore.open(inner, tmp_path / "outbox.db", embedder=OTHER_SPEC)
        await delivered(box)
        assert [node.id for _, node in await box.unembedded(5)] == ["m1#0"]
        random = Random(2)
        await box.set_vectors(ALICE, {"m1#0": (vector(random, 12), vector(random, 12))})
        await box.finish_reembed()
        await box.close()

    asyncio.run(check())


def test_a_process_without_a_model_leaves_vectors_to_others(tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path, shut=True) as (box, _):
            await box.append(ALICE, [entry(message("m1"), Random(1))])
        async with opened(tmp_path, embedder=None) as (looking, _):
            await asyncio.sleep(0.1)
            state = (await looking.stats()).outbox
            assert state is not None
            assert state.waiting == 1
        async with opened(tmp_path) as (box, _):
            await delivered(box)
            assert await box.unembedded(5) == ()

    asyncio.run(check())


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path / "new", shut=True) as (box, _):
            await box.append(ALICE, [entry(message("m1"))])
            for path in (tmp_path / "new").glob("outbox.db*"):
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
            with outbox_file.opened(tmp_path / "none.db") as nothing:
                assert nothing is None
            with outbox_file.opened(tmp_path / "new" / "outbox.db") as file:
                assert file is not None
                state = file.state()
            assert (state.waiting, state.refused) == (1, 0)
            assert state.oldest is not None

    (tmp_path / "new").mkdir()
    asyncio.run(check())


def test_a_file_that_is_no_outbox(tmp_path: Path) -> None:
    async def check() -> None:
        inner: MemoryStore = SQLiteStore.open(tmp_path / "memory.db", embedder=SPEC)
        with pytest.raises(StoreCorrupt, match="another program"):
            await OutboxStore.open(inner, tmp_path / "memory.db", embedder=SPEC)
        with pytest.raises(StoreUnavailable):
            await OutboxStore.open(inner, tmp_path, embedder=SPEC)
        await inner.close()

    asyncio.run(check())


def test_record_works_through_an_outage(tmp_path: Path) -> None:
    async def check() -> None:
        embedder = HashEmbedder()
        async with opened(tmp_path, embedder=embedder.spec) as (box, door):

            async def say(name: str, text: str) -> str:
                new = NewMessage(name, "s1", "user", text, message(name).created_at)
                return (await record(box, embedder, ALICE, [new]))[0].status

            assert await say("m1", "Do you like oranges?") == "stored"
            door.shut = True
            assert await say("m2", "And what about pears?") == "waiting"
            assert await say("m3", "Very much") == "waiting"
            assert await say("m3", "Very much") == "known"
            door.shut = False
            await delivered(box)
            assert await say("m3", "Very much") == "known"
            assert await box.unembedded(5) == ()
            # the turn before it waited, too, and is found in its context
            (found,) = await box.search(ALICE, [request("pear")])
            assert set(found.ids) == {"m2#0", "m3#0"}

    asyncio.run(check())


def test_close_gives_way_or_delivers(tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path, shut=True) as (box, _):
            await box.append(ALICE, random_entries(Random(1), 100))
            async with asyncio.timeout(2):
                await box.close()
            with pytest.raises(StoreUnavailable, match="closed"):
                await box.append(ALICE, [entry(message("late"))])
        async with opened(tmp_path):
            pass  # opened and closed: a process that lives short delivers what it finds
        inner = SQLiteStore.open(tmp_path / "memory.db", embedder=SPEC)
        assert len(await inner.messages(ALICE)) == 100
        await inner.close()

    asyncio.run(check())


def test_a_memory_works_through_an_outage(tmp_path: Path) -> None:
    async def check() -> None:
        embedder = HashEmbedder()
        config = load_config(overrides={"schedule": {"close_s": 1.0}})
        async with opened(tmp_path, embedder=embedder.spec) as (box, door):
            async with AsyncMemoryScope(config, box, embedder) as memory:
                await memory.record("I moved to Lisbon", scope="ann")
                door.shut = True
                said = await memory.record("My cat hates trams", scope="ann")
                assert (said.status, said.message.seq) == ("waiting", 0)
                with pytest.raises(StoreUnavailable):
                    await memory.retrieve("trams", scope="ann")
                with pytest.raises(StoreUnavailable):
                    await memory.add_note("likes tea", scope="ann")
            door.shut = False
        async with (
            opened(tmp_path, embedder=embedder.spec) as (box, _),
            AsyncMemoryScope(config, box, HashEmbedder()) as memory,
        ):
            await delivered(box)
            (found, *_) = await memory.retrieve("trams", scope="ann", floor=False)
            assert found.node.content == "My cat hates trams"
            assert found.before[0].content == "I moved to Lisbon"

    asyncio.run(check())
