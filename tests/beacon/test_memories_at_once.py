"""The beacon memories under kills, in several processes, and while others want something."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path
from random import Random

import pytest

from memoryscope_rag.beacon.memories import BeaconMemories
from memoryscope_rag.errors import ModelError
from tests.beacon.memories import ANN, BOB, checksums, config, finished, made, said, written
from tests.beacon.memory_writers import settings, steps, write_on
from tests.beacon.savers import context, started


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("tiny") / "tiny")


@pytest.mark.parametrize(("encoding", "kills"), [("int8", 14), ("bf16", 6)])
def test_n1_a_writer_that_is_killed_and_killed_again_ends_up_with_the_same(
    encoding: str, kills: int, tiny: Path, tmp_path: Path
) -> None:
    random = Random(7)
    for number in range(kills + 1):
        ours, theirs = context().Pipe(duplex=False)
        child = started(write_on, tiny, encoding, tmp_path / "killed", theirs)
        theirs.close()
        if number < kills:
            try:
                ours.recv()  # it has opened its model, or is about to
                time.sleep(random.uniform(0.0, 0.6))
            except EOFError:
                pass  # all was written: nothing is left to be killed
            child.kill()
        child.join()
        ours.close()
    assert child.exitcode == 0

    async def run() -> None:
        killed = await written(settings(tiny, encoding), tmp_path / "killed", [])
        whole = await written(settings(tiny, encoding), tmp_path / "whole", steps(1))
        assert await checksums(killed) == await checksums(whole)
        files = {path.name for path in (tmp_path / "killed").rglob("*") if path.is_file()}
        assert not any(name.endswith(".new") for name in files)
        await killed.close()
        await whole.close()

    finished(run())


def test_two_processes_write_in_turn_and_see_each_other(tiny: Path, tmp_path: Path) -> None:
    """Two of them over one folder, as two processes: nothing but the files connects them."""

    async def run() -> None:
        one, other = (BeaconMemories(config(tiny), tmp_path) for _ in range(2))
        messages = said(12)
        await one.write(ANN, messages[:6], keep=0)
        assert (await other.coverage(ANN)).message_ids == tuple(m.id for m in messages[:6])
        await other.attention(ANN, "Otto?")
        await other.write(ANN, messages[6:], keep=6)
        assert (await one.coverage(ANN)) == (await other.coverage(ANN))
        assert await one.attention(ANN, "Otto?") == await other.attention(ANN, "Otto?")
        assert await checksums(one) == await checksums(other)
        # both want to write: the second finds what the first has done
        results = await asyncio.gather(
            one.write(ANN, said(2, first=12), keep=12),
            other.write(ANN, said(2, first=12), keep=12),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == ["Coverage", "Coverage"]
        assert len((await one.coverage(ANN)).message_ids) == 14
        await one.drop(ANN)
        assert (await other.coverage(ANN)).message_ids == ()
        assert await other.clues(ANN, "Otto?", ["draft"]) == ()
        assert await other.attention(ANN, "Otto?") == {}
        await one.close()
        await other.close()

    finished(run())


def test_questions_come_between_the_steps_of_a_write(tiny: Path, tmp_path: Path) -> None:
    async def run() -> None:
        memories = await written(config(tiny), tmp_path, [(0, said(10, scope=BOB))], BOB)
        before = await memories.attention(BOB, "Otto?")
        writing = asyncio.create_task(memories.write(ANN, said(12), keep=0))
        answered = 0
        while not writing.done():
            assert await memories.attention(BOB, "Otto?") == before
            answered += 1
        assert len((await writing).message_ids) == 12
        assert answered >= 3
        await memories.close()

    finished(run())


def test_a_write_that_nobody_waits_for_changes_nothing(tiny: Path, tmp_path: Path) -> None:
    async def run() -> None:
        memories = await written(config(tiny), tmp_path, [(0, said(5))])
        before = await checksums(memories)
        random = Random(3)
        for _ in range(4):
            writing = asyncio.create_task(memories.write(ANN, said(80, first=5), keep=5))
            await asyncio.sleep(random.uniform(0.0, 0.4))
            began = time.monotonic()
            writing.cancel()
            await asyncio.wait([writing])
            assert writing.cancelled()
            assert time.monotonic() - began < 5
            assert await checksums(memories) == before
        await memories.write(ANN, said(3, first=5), keep=5)
        await memories.close()

    finished(run())


def test_closing_ends_what_runs(tiny: Path, tmp_path: Path) -> None:
    async def run() -> None:
        memories = await written(config(tiny), tmp_path, [(0, said(30))])
        tasks = [
            asyncio.create_task(memories.write(ANN, said(200, first=30), keep=30)),
            asyncio.create_task(memories.clues(ANN, "Otto?", ["span", "surrogate", "draft"])),
        ]
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await memories.close()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert time.monotonic() - began < 10
        assert isinstance(ended[0], ModelError)
        with pytest.raises(ModelError, match="closed"):
            await memories.write(ANN, [], keep=3)
        again = await written(config(tiny), tmp_path, [])
        assert len((await again.coverage(ANN)).message_ids) == 30
        await again.close()

    finished(run())


@pytest.mark.skipif(sys.platform != "linux", reason="a priority is a process's elsewhere")
def test_reading_stands_back_and_answering_does_not(tiny: Path, tmp_path: Path) -> None:
    async def run() -> None:
        memories = await written(config(tiny), tmp_path, [(0, said(2))])

        def standing(given_up: object) -> int:
            return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

        usual = standing(None)
        assert await memories._asker.run(standing) == usual
        assert await memories._reader.run(standing) == min(19, usual + 10)
        await memories.close()

    finished(run())
