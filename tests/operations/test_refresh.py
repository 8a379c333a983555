"""Refresh: what is read and when, what a failure, a crash or forgetting leaves."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from memoryscope_rag.errors import ConfigError, InvalidInput, ModelError, StoreCorrupt
from memoryscope_rag.operations.refresh import withdraw
from memoryscope_rag.operations.scope_work import ScopeWork
from memoryscope_rag.ports import Coverage
from memoryscope_rag.schema import Message, Scope
from memoryscope_rag.testing.fakes import ScriptedMemory
from memoryscope_rag.workers.backend.agreement import LATE, agreement
from tests.operations.refreshing import ANN, BEN, covered, refreshing, tell, turns


def names(count: int, first: int = 0) -> list[str]:
    return [message.id for message in turns(count, first=first)]


def test_a_run_reads_everything_in_steps_and_then_only_what_is_new(tmp_path: Path) -> None:
    async def check() -> None:
        memory, seen = ScriptedMemory(), list[tuple[int, int]]()
        async with refreshing(tmp_path / "m.db", memory) as m:
            assert (await m.refresh()).covered == 0
            assert memory.written == []
            await tell(m.store, turns(40))
            report = await m.refresh(progress=lambda done, total: seen.append((done, total)))
            assert (report.read, report.covered, report.left) == (40, 40, 0)
            assert not report.rebuilt
            assert report.tokens == (await memory.coverage(ANN)).tokens > 0
            assert await covered(memory) == names(40)
            steps = [(keep, len(ids)) for _, keep, ids in memory.written]
            assert len(steps) > 3
            assert all(keep == sum(n for _, n in steps[:i]) for i, (keep, _) in enumerate(steps))
            assert seen[-1] == (40, 40)
            assert seen == sorted(seen)
            await tell(m.store, turns(3, first=40))
            assert (await m.refresh()).read == 3
            assert memory.written[-1] == (ANN, 40, tuple(names(3, 40)))
            assert await covered(memory, BEN) == []

    asyncio.run(check())


def test_a_message_longer_than_a_step_is_a_step(tmp_path: Path) -> None:
    async def check() -> None:
        memory = ScriptedMemory()
        async with refreshing(tmp_path / "m.db", memory) as m:
            await tell(m.store, [*turns(1), *turns(1, first=1, text="long " * 500)])
            await tell(m.store, turns(2, first=2))
            await m.refresh(step=64)
            assert [ids for _, _, ids in memory.written] == [("m0",), ("m1",), ("m2", "m3")]

    asyncio.run(check())


def test_a_run_with_a_limit_ends_and_the_next_goes_on(tmp_path: Path) -> None:
    async def check() -> None:
        memory = ScriptedMemory(delay=0.05)
        async with refreshing(tmp_path / "m.db", memory) as m:
            await tell(m.store, turns(100))
            report = await m.refresh(seconds=0.12)
            assert 0 < report.read < 100
            assert report.left == 100 - report.read
            assert (await m.refresh()).covered == 100
            assert sum(len(ids) for _, _, ids in memory.written) == 100

    asyncio.run(check())


def test_a_model_that_fails_is_in_the_report_and_the_next_run_goes_on(tmp_path: Path) -> None:
    async def check() -> None:
        memory = ScriptedMemory(failure=ModelError("out of memory"))
        async with refreshing(tmp_path / "m.db", memory) as m:
            await tell(m.store, turns(10))
            report = await m.refresh()
            assert report.failed == "ModelError: out of memory"
            assert (report.read, report.left) == (0, 10)
            memory.failure = None
            assert (await m.refresh()).covered == 10

    asyncio.run(check())


@pytest.mark.parametrize("gone", [0, 20, LATE + 10, 199])
def test_what_was_forgotten_is_read_around(tmp_path: Path, gone: int) -> None:
    async def check() -> None:
        memory = ScriptedMemory()
        async with refreshing(tmp_path / "m.db", memory) as m:
            await tell(m.store, turns(200))
            await m.refresh(step=100_000)
            await m.store.forget(ANN, message_ids=[f"m{gone}"])
            report = await m.refresh(step=100_000)
            assert report.rebuilt
            assert (report.covered, report.left) == (199, 0)
            assert memory.written[1][1] == gone
            assert await covered(memory) == [name for name in names(200) if name != f"m{gone}"]

    asyncio.run(check())


def test_all_forgotten_leaves_no_memory(tmp_path: Path) -> None:
    async def check() -> None:
        memory = ScriptedMemory()
        async with refreshing(tmp_path / "m.db", memory) as m:
            await tell(m.store, turns(5))
            await m.refresh()
            await m.store.forget(ANN, everything=True)
            assert (await m.refresh()).rebuilt
            assert await memory.coverage(ANN) == Coverage()
            assert memory.calls["drop"] == 1

    asyncio.run(check())


@pytest.mark.parametrize("late", [1, 3, LATE])
def test_a_message_that_turns_up_late_takes_its_place(tmp_path: Path, late: int) -> None:
    async def check() -> None:
        memory = ScriptedMemory()
        async with refreshing(tmp_path / "m.db", memory) as m:
            await tell(m.store, turns(200))
            log = list(await m.store.messages(ANN))
            seen = log[: 199 - late] + log[200 - late :]  # all but one of the last
            memory.cover(ANN, seen)
            report = await m.refresh(step=100_000)
            assert report.rebuilt
            assert memory.written == [(ANN, 199 - late, tuple(names(late + 1, 199 - late)))]
            assert await covered(memory) == names(200)

    asyncio.run(check())


def test_agreement_is_the_longest_common_beginning(tmp_path: Path) -> None:
    """Against the definition, for random changes of what is covered."""
    from random import Random

    async def check() -> None:
        async with refreshing(tmp_path / "m.db", ScriptedMemory()) as m:
            await tell(m.store, turns(180))
            log = names(180)
            random = Random(5)
            for _ in range(60):
                ids = log[: random.randrange(181)]
                if ids and random.random() < 0.7:
                    place = max(0, len(ids) - 1 - random.randrange(LATE))
                    change = random.choice(["gone", "late", "other", "swap"])
                    if change == "gone":
                        ids = [*ids[:place], f"gone{place}", *ids[place:]]
                    elif change == "late":
                        del ids[place]
                    elif change == "other":
                        ids[place] = "other"
                    else:
                        ids[place], ids[-1] = ids[-1], ids[place]
                same = [a == b for a, b in zip(ids, log, strict=False)]
                wanted = same.index(False) if False in same else len(same)
                found = await agreement(m.store, ANN, ids)
                assert found.count == wanted
                kept = await m.store.messages(ANN, limit=1000)
                assert found.seq == (kept[wanted - 1].seq if wanted else 0)

    asyncio.run(check())


def test_a_second_run_leaves_the_scope_to_the_first(tmp_path: Path) -> None:
    async def check() -> None:
        memory = ScriptedMemory(delay=0.2)
        async with refreshing(tmp_path / "m.db", memory) as m:
            await tell(m.store, turns(30))
            first = asyncio.create_task(m.refresh())
            while not memory.calls["write"]:
                await asyncio.sleep(0.005)
            second = await m.refresh()
            assert second.busy
            assert second.read == 0
            assert (await first).read == 30
            assert sum(len(ids) for _, _, ids in memory.written) == 30

    asyncio.run(check())


def test_a_run_whose_lease_went_to_another_stops_after_its_step(tmp_path: Path) -> None:
    async def check() -> None:
        memory = ScriptedMemory(delay=0.1)
        async with refreshing(tmp_path / "m.db", memory) as m:
            await tell(m.store, turns(30))
            first = asyncio.create_task(m.refresh())
            while not memory.calls["write"]:
                await asyncio.sleep(0.005)
            # as when it was suspended for longer than its lease
            database = sqlite3.connect(tmp_path / "m.db")
            with database:
                assert database.execute("UPDATE leases SET owner = 'somebody else'").rowcount == 1
            database.close()
            report = await first
            assert report.busy
            assert 0 < report.read < 30

    asyncio.run(check())


def test_a_step_that_is_broken_off_begins_again_without_what_was_forgotten(tmp_path: Path) -> None:
    async def check() -> None:
        memory, work = ScriptedMemory(delay=0.2), ScopeWork()
        async with refreshing(tmp_path / "m.db", memory) as m:
            await tell(m.store, turns(5))
            running = asyncio.create_task(m.refresh(work=work))
            while not memory.calls["write"]:
                await asyncio.sleep(0.005)
            await m.store.forget(ANN, message_ids=["m2"])
            await work.break_off(BEN)
            await work.break_off(ANN)
            assert await covered(memory) == []
            report = await running
            assert report.covered == 4
            assert memory.written == [(ANN, 0, ("m0", "m1", "m3", "m4"))]

    asyncio.run(check())


def test_a_cancelled_run_is_cancelled(tmp_path: Path) -> None:
    async def check() -> None:
        memory = ScriptedMemory(hangs="await")
        async with refreshing(tmp_path / "m.db", memory) as m:
            await tell(m.store, turns(5))
            running = asyncio.create_task(m.refresh())
            while not memory.calls["write"]:
                await asyncio.sleep(0.005)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            memory.hangs = None
            assert (await m.refresh()).covered == 5  # its lease was given back

    asyncio.run(check())


class Damaged(ScriptedMemory):
    """A memory whose files are damaged until they are removed."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where
        self.damaged = False

    async def coverage(self, scope: Scope) -> Coverage:
        if self.damaged and self.where == "coverage":
            raise StoreCorrupt("the manifest is cut off")
        return await super().coverage(scope)

    async def write(self, scope: Scope, messages: Sequence[Message], *, keep: int) -> Coverage:
        if self.damaged and self.where == "write":
            raise StoreCorrupt("a block is cut off")
        return await super().write(scope, messages, keep=keep)

    async def drop(self, scope: Scope) -> None:
        self.damaged = False
        await super().drop(scope)


@pytest.mark.parametrize("where", ["coverage", "write"])
def test_a_damaged_memory_is_made_anew(tmp_path: Path, where: str) -> None:
    async def check() -> None:
        memory = Damaged(where)
        async with refreshing(tmp_path / "m.db", memory) as m:
            await tell(m.store, turns(20))
            await m.refresh()
            await tell(m.store, turns(5, first=20))
            memory.damaged = True
            assert (await m.refresh()).covered == 25
            assert await covered(memory) == names(25)

    asyncio.run(check())


class Overtaken(ScriptedMemory):
    """Another process writes so many times right before this one does."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def write(self, scope: Scope, messages: Sequence[Message], *, keep: int) -> Coverage:
        if self.times:
            self.times -= 1
            await super().write(scope, messages[:1], keep=keep)
            raise InvalidInput("messages", "is in it already")
        return await super().write(scope, messages, keep=keep)


def test_another_process_may_write_in_between(tmp_path: Path) -> None:
    async def check() -> None:
        memory = Overtaken(times=2)
        async with refreshing(tmp_path / "m.db", memory) as m:
            await tell(m.store, turns(10))
            assert (await m.refresh()).covered == 10
        async with refreshing(tmp_path / "n.db", Overtaken(times=1000)) as m:
            await tell(m.store, turns(10))
            with pytest.raises(InvalidInput):
                await m.refresh()

    asyncio.run(check())


@pytest.mark.parametrize(
    ("gone", "trouble", "left"),
    [
        ("m7", None, 7),
        ("m0", None, 0),
        ("m7", "hangs", 0),
        ("m7", "fails", 0),
        ("m12", None, 10),
    ],
)
def test_withdraw_keeps_what_it_can_and_nothing_forgotten(
    tmp_path: Path, gone: str, trouble: str | None, left: int
) -> None:
    async def check() -> None:
        memory = ScriptedMemory()
        async with refreshing(tmp_path / "m.db", memory) as m:
            await tell(m.store, turns(10))
            await m.refresh()
            await tell(m.store, turns(5, first=10))
            await m.store.forget(ANN, message_ids=[gone])
            memory.hangs = "await" if trouble == "hangs" else None
            memory.failure = ModelError("no") if trouble == "fails" else None
            await withdraw(m.services, ANN, patience_s=0.1)
            assert await covered(memory) == names(left)

    asyncio.run(check())


def test_without_a_memory_refreshing_says_what_is_missing(tmp_path: Path) -> None:
    from memoryscope_rag import MemoryScope

    with MemoryScope.open(tmp_path / "m.db") as memory:
        with pytest.raises(ConfigError, match=r"memory\.model"):
            memory.refresh(scope="ann")
        assert memory.coverage(scope="ann") == Coverage()
        memory.drop_memory(scope="ann")
        assert memory.stats().memory is None
