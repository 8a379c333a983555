"""Many memories: each is its own, whoever writes when, and no more is held than was allowed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch

from memoryscope_rag.beacon.files.bank import BeaconBank, Budgets
from memoryscope_rag.beacon.files.maker import Maker
from memoryscope_rag.beacon.files.manifest import MANIFEST
from memoryscope_rag.beacon.files.quantize import Encoding
from memoryscope_rag.beacon.files.tiers import held_bytes
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.errors import (
    BeaconMismatch,
    InvalidInput,
    StoreCorrupt,
    StoreUnavailable,
)
from memoryscope_rag.schema import Scope
from tests.beacon.random_states import ORIGIN, empty_state, grown
from tests.beacon.savers import MAKER, SCOPE, append_messages, context, hold_the_lock, started

Writing = Callable[[], Awaitable[None]]
BOB = Scope("bob")


def bank_at(
    folder: Path,
    *,
    encoding: Encoding = "fp32",
    budgets: Budgets | None = None,
    wait_seconds: float = 60.0,
) -> BeaconBank:
    return BeaconBank(
        folder,
        empty_state(),
        MAKER,
        encoding=encoding,
        budgets=Budgets() if budgets is None else budgets,
        wait_seconds=wait_seconds,
    )


async def append(
    bank: BeaconBank, scope: Scope, blocks: int = 1, *, seed: int = 0, message: str | None = None
) -> MemoryState:
    async with bank.writing(scope) as draft:
        draft.state = grown(draft.state, blocks, seed=seed, message=message)
        return draft.state


def messages(state: MemoryState) -> list[str]:
    return [span.message_id for span in state.spans]


# ---------------------------------------------------------------- one memory after another


def test_n8_a_memory_is_empty_until_it_is_written(tmp_path: Path) -> None:
    async def run() -> None:
        bank = bank_at(tmp_path)
        assert await bank.read(SCOPE) is bank.empty
        written = await append(bank, SCOPE, 2)
        assert (await bank.read(SCOPE)).checksum() == written.checksum()
        assert (await bank_at(tmp_path).read(SCOPE)).checksum() == written.checksum()
        assert await bank.read(BOB) is bank.empty

    asyncio.run(run())


@pytest.mark.parametrize(("encoding", "share"), [("fp32", 0.0), ("int8", 0.15), ("fp32", 10.0)])
def test_n8_a_hundred_scopes_side_by_side_are_as_they_are_alone(
    encoding: Encoding, share: float, tmp_path: Path
) -> None:
    scopes = [Scope(f"user-{n % 25}", f"agent-{n // 25}") for n in range(100)]
    order = [number for number in range(100) for _ in range(2)]
    Random(4).shuffle(order)
    limit = int(share * 100 * held_bytes(grown(empty_state(), 2)))

    async def all_of(bank: BeaconBank, numbers: list[int]) -> None:
        for number in numbers:
            await append(bank, scopes[number], 1, seed=number, message=f"of-{number}")
            if bank.budgets.device == limit:
                assert max(bank.held_bytes) <= limit

    async def run() -> None:
        bank = bank_at(tmp_path / "together", encoding=encoding, budgets=Budgets(limit, limit))
        some = [number for number in order if number % 2]
        others = [number for number in order if not number % 2]
        await asyncio.gather(all_of(bank, some), all_of(bank, others))
        for number, scope in enumerate(scopes):
            mine = await bank.read(scope)
            assert messages(mine) == [f"of-{number}"] * 2
            if encoding == "fp32":
                alone = empty_state()
                for _ in range(2):
                    alone = grown(alone, seed=number, message=f"of-{number}")
            elif number % 10:
                continue
            else:
                single = bank_at(tmp_path / str(number), encoding=encoding)
                await all_of(single, [number] * 2)
                alone = await single.read(scope)
            assert mine.checksum() == alone.checksum()
        assert (await bank.stats()).memories == 100

    asyncio.run(run())


def test_n7_a_memory_does_not_depend_on_whether_it_is_at_hand(tmp_path: Path) -> None:
    async def run() -> None:
        warm = bank_at(tmp_path, encoding="int4")
        exact = await append(warm, SCOPE, 2)
        held, loaded = await warm.read(SCOPE), await bank_at(tmp_path).read(SCOPE)
        assert held.checksum() == loaded.checksum() != exact.checksum()
        longer = await append(warm, SCOPE)
        assert longer.blocks[:2] == held.blocks  # the same objects: nothing was loaded again

    asyncio.run(run())


def test_n8_names_of_folders_tell_no_ids(tmp_path: Path) -> None:
    async def run() -> None:
        bank = bank_at(tmp_path)
        await append(bank, Scope("Ann Smith", "coach", "clinic"))
        await append(bank, Scope("Ann Smith", "clinic", "coach"))
        names = [path.name for path in tmp_path.rglob("*")]
        assert len([name for name in names if name == MANIFEST]) == 2
        assert not any(word in name for word in ("Ann", "coach", "clinic") for name in names)

    asyncio.run(run())


def test_n8_the_disk_keeps_what_was_used_last(tmp_path: Path) -> None:
    async def run() -> None:
        scopes = [Scope(f"user-{n}") for n in range(6)]
        roomy = bank_at(tmp_path)
        for scope in scopes:
            await append(roomy, scope, 2)
        limit = (await roomy.stats()).disk_bytes * 4 // 6
        await roomy.read(scopes[0])
        tight = bank_at(tmp_path, budgets=Budgets(disk=limit))
        await append(tight, scopes[5])
        kept = [scope for scope in scopes if (await tight.read(scope)).tokens]
        assert (await tight.stats()).disk_bytes <= limit
        assert scopes[0] in kept
        assert scopes[5] in kept
        assert not {scopes[1], scopes[2]} & set(kept)

    asyncio.run(run())


def test_n10_forgetting_leaves_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        bank, other = bank_at(tmp_path), bank_at(tmp_path)
        await append(bank, SCOPE)
        kept = await append(bank, BOB)
        await other.read(SCOPE)
        await bank.forget(SCOPE)
        assert await bank.read(SCOPE) is bank.empty
        assert await other.read(SCOPE) is other.empty
        assert (await other.read(BOB)).checksum() == kept.checksum()
        await bank.forget(BOB)
        await bank.forget(BOB)
        assert list(tmp_path.iterdir()) == []
        assert (await bank.stats()).device_bytes == (await bank.stats()).host_bytes == 0
        assert messages(await append(bank, SCOPE, message="again")) == ["again"]

    asyncio.run(run())


def test_n10_what_cannot_be_read_can_be_written_anew(tmp_path: Path) -> None:
    async def run() -> None:
        bank = bank_at(tmp_path)
        await append(bank, SCOPE)
        for path in tmp_path.rglob("blocks-*"):
            path.write_bytes(b"damaged")
        fresh = bank_at(tmp_path)
        with pytest.raises(StoreCorrupt):
            await fresh.read(SCOPE)
        with pytest.raises(StoreCorrupt):
            await append(fresh, SCOPE)
        async with fresh.writing(SCOPE, anew=True) as draft:
            assert draft.state is fresh.empty
            draft.state = grown(draft.state, 2)
        assert len((await fresh.read(SCOPE)).blocks) == 2
        other = BeaconBank(tmp_path, empty_state("ffff"), Maker("ffff"))
        with pytest.raises(BeaconMismatch):
            await other.read(SCOPE)
        async with other.writing(SCOPE, anew=True):
            pass
        assert (await other.read(SCOPE)).tokens == 0
        with pytest.raises(BeaconMismatch):
            await fresh.read(SCOPE)

    asyncio.run(run())


def test_n6_what_crashes_left_behind_is_swept(tmp_path: Path) -> None:
    async def run() -> None:
        bank = bank_at(tmp_path)
        kept = await append(bank, SCOPE)
        await append(bank, BOB)
        (bank._disk.memory(BOB) / MANIFEST).unlink()
        (tmp_path / ("0" * 40 + ".lock")).touch()
        (tmp_path / "others").mkdir()
        (tmp_path / "others.lock").touch()
        fresh = bank_at(tmp_path)
        assert (await fresh.read(SCOPE)).checksum() == kept.checksum()
        folder = fresh._disk.memory(SCOPE)
        assert set(tmp_path.iterdir()) == {
            folder,
            folder.with_suffix(".lock"),
            tmp_path / "others",
            tmp_path / "others.lock",
        }

    asyncio.run(run())


def test_n8_a_bank_is_of_one_maker(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="was made by"):
        BeaconBank(tmp_path, empty_state("ffff"), Maker(ORIGIN))


# ---------------------------------------------------------------- at once


def test_n9_a_writer_that_fails_changes_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        bank = bank_at(tmp_path)
        before = await append(bank, SCOPE)

        async def failing() -> None:
            async with bank.writing(SCOPE) as draft:
                draft.state = grown(draft.state)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await failing()
        assert (await bank.read(SCOPE)).checksum() == before.checksum()
        assert len((await append(bank, SCOPE)).blocks) == 2

    asyncio.run(run())


def test_n9_a_second_writer_waits_so_long_and_no_longer(tmp_path: Path) -> None:
    async def run() -> None:
        bank = bank_at(tmp_path, wait_seconds=0.05)
        async with bank.writing(SCOPE) as draft:
            with pytest.raises(StoreUnavailable, match=r"another writer .* for 0.05 s"):
                await append(bank, SCOPE)
            await append(bank, BOB)  # another scope does not wait
            assert await bank.read(SCOPE) is bank.empty  # nor does a reader
            draft.state = grown(draft.state)
        assert len((await bank.read(SCOPE)).blocks) == 1

    asyncio.run(run())


def test_n9_a_cancelled_writer_is_seen_whole_or_not_at_all(tmp_path: Path) -> None:
    async def run() -> None:
        bank = bank_at(tmp_path)
        random, count = Random(5), 0
        for number in range(40):
            task = asyncio.create_task(append(bank, SCOPE, 1, message=f"m-{number}"))
            await asyncio.sleep(random.uniform(0, 0.03))
            task.cancel()
            await asyncio.wait([task])
            # the lock is free: nobody is still at work behind the back of the next writer
            state = await append(
                bank_at(tmp_path, wait_seconds=0.0), SCOPE, 0, message=f"n-{number}"
            )
            assert count <= len(state.blocks) <= count + 1
            count = len(state.blocks)
            assert messages(state).count(f"n-{number}") == 1
        assert 0 < count < 40

    asyncio.run(run())


async def _append_and_tell(
    bank: BeaconBank, name: str, written: list[tuple[int, str]], count: int
) -> None:
    """Append; tell how many messages there are when the write is done, and the checksum."""
    for number in range(count):
        async with bank.writing(SCOPE) as draft:
            draft.state = grown(draft.state, number % 2, message=f"{name}-{number}")
            mine = (len(draft.state.spans), draft.state.checksum())
        written.append(mine)


async def _read_and_check(
    bank: BeaconBank, written: list[tuple[int, str]], done: Callable[[], bool]
) -> int:
    """Every state that is read was written, whole, and is no older than what was known before."""
    seen: list[tuple[int, str]] = []
    while not done():
        known = max((count for count, _ in list(written)), default=0)
        state = await bank.read(SCOPE)
        assert len(state.spans) >= max([known, *(count for count, _ in seen[-1:])])
        seen.append((len(state.spans), state.checksum()))
        await asyncio.sleep(0)
    assert set(seen) <= {(0, empty_state().checksum()), *written}
    return len(set(seen))


@pytest.mark.parametrize("budgets", [Budgets(), Budgets(0, 0)])
def test_n9_tasks_read_and_append_in_one_order(budgets: Budgets, tmp_path: Path) -> None:
    async def run() -> None:
        bank = bank_at(tmp_path, budgets=budgets)
        written: list[tuple[int, str]] = []
        writers = [asyncio.create_task(_append_and_tell(bank, name, written, 12)) for name in "abc"]

        def done() -> bool:
            return all(writer.done() for writer in writers)

        readers = [_read_and_check(bank, written, done) for _ in range(3)]
        assert max(await asyncio.gather(*readers)) > 5
        await asyncio.gather(*writers)
        state = await bank.read(SCOPE)
        assert sorted(messages(state)) == sorted(f"{n}-{i}" for n in "abc" for i in range(12))
        assert sorted(count for count, _ in written) == list(range(1, 37))

    asyncio.run(run())


def test_n9_threads_with_loops_of_their_own_do_the_same(tmp_path: Path) -> None:
    bank = bank_at(tmp_path)
    written: list[tuple[int, str]] = []
    failed: list[BaseException] = []

    def thread(run: Callable[[], Awaitable[object]]) -> threading.Thread:
        async def running() -> None:
            await run()

        def body() -> None:
            try:
                asyncio.run(running())
            except BaseException as error:
                failed.append(error)
                raise

        made = threading.Thread(target=body)
        made.start()
        return made

    writers = [thread(lambda n=n: _append_and_tell(bank, n, written, 10)) for n in "abcd"]  # type: ignore[misc]

    def done() -> bool:
        return not any(writer.is_alive() for writer in writers)

    readers = [thread(lambda: _read_and_check(bank, written, done)) for _ in range(2)]
    for one in [*writers, *readers]:
        one.join()
    assert not failed
    assert sorted(count for count, _ in written) == list(range(1, 41))


def test_n9_processes_take_turns_and_see_each_other(tmp_path: Path) -> None:
    children = [started(append_messages, tmp_path, name, 15) for name in "ab"]

    async def run() -> None:
        bank = bank_at(tmp_path)
        before: list[str] = []
        while any(child.is_alive() for child in children):
            now = messages(await bank.read(SCOPE))
            assert now[: len(before)] == before
            before = now
            await asyncio.sleep(0.002)
        last = await bank.read(SCOPE)
        wanted = [f"{name}-{number}" for name in "ab" for number in range(15)]
        assert sorted(messages(last)) == sorted(wanted)
        assert sum(len(block.rows) for block in last.blocks) == 14 * 8
        assert (await append(bank, SCOPE, message="mine")).spans[:-1] == last.spans

    asyncio.run(run())
    assert [child.exitcode for child in children] == [0, 0]


def test_n9_the_lock_of_a_writer_that_dies_is_free(tmp_path: Path) -> None:
    ours, theirs = context().Pipe(duplex=False)
    child = started(hold_the_lock, tmp_path, theirs)
    assert ours.recv() == "held"
    bank = bank_at(tmp_path, wait_seconds=0.1)
    with pytest.raises(StoreUnavailable, match="another writer"):
        asyncio.run(append(bank, SCOPE))
    child.kill()
    child.join()
    assert len(asyncio.run(append(bank, SCOPE)).blocks) == 1
    ours.close()
    theirs.close()


def test_n8_a_memory_comes_in_the_type_of_the_engine(tmp_path: Path) -> None:
    async def run() -> None:
        written = await append(bank_at(tmp_path), SCOPE)
        half = BeaconBank(tmp_path, empty_state(dtype=torch.bfloat16), MAKER)
        found = await half.read(SCOPE)
        assert found.tail.keys.dtype == found.blocks[0].rows.keys.dtype == torch.bfloat16
        assert torch.equal(found.tail.keys, written.tail.keys.to(torch.bfloat16))
        assert replace(found, blocks=()).digest == replace(written, blocks=()).digest

    asyncio.run(run())
