"""A month of chat whose process is killed fifty times: the beacon memory is what it would be.

Recorded, refreshed by the scheduler while retrieval goes on; a tiny model, whose texts mean
nothing, so that only what is kept is looked at.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from pathlib import Path
from random import Random

import pytest

from memoryscope_rag import MemoryScope
from memoryscope_rag.beacon.memories import BeaconMemories
from memoryscope_rag.testing.fakes import HashEmbedder
from tests.beacon.memories import checksums, made
from tests.e2e import month
from tests.e2e.month import MIA

KILLS = 50


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_kills_change_nothing_of_the_memory(tmp_path: Path) -> None:
    model = made(tmp_path / "tiny")
    folder = tmp_path / "home"
    folder.mkdir()
    random, answers = Random(11), 0
    for _ in range(KILLS):
        here, there = multiprocessing.Pipe(duplex=False)
        child = month.started(folder, model, there)
        there.close()
        assert here.poll(120), "the process does nothing"
        until = time.monotonic() + random.uniform(0.0, 0.6)
        while time.monotonic() < until:
            time.sleep(0.005)
        child.kill()
        child.join()
        while here.poll():
            try:
                said = here.recv()
            except EOFError:
                break
            assert not isinstance(said, str), said  # no retrieval failed
            found, left_out = said
            assert found, left_out
            answers += 1
        here.close()
    month.live_to_the_end(folder, model)

    assert answers >= KILLS
    config = month.settings(folder, model)
    with MemoryScope.open(config=config, embedder=HashEmbedder()) as app:
        log = app.messages(scope=MIA)
        assert app.check() == ()
    assert [message.id for message in log] == [message.id for message in month.script()]

    async def compare() -> None:
        survived = BeaconMemories(config.memory, config.memory_folder)
        covered = (await survived.coverage(MIA)).message_ids
        assert covered == tuple(message.id for message in log)
        by_id = {message.id: message for message in log}
        steps = month.splits(folder / "notes.jsonl", len(covered))
        assert sum(len(ids) for _, ids in steps) == len(covered)
        anew = BeaconMemories(config.memory, tmp_path / "anew")
        for keep, ids in steps:
            await anew.write(MIA, [by_id[name] for name in ids], keep=keep)
        assert (await anew.coverage(MIA)).message_ids == covered
        left, right = await checksums(survived, MIA), await checksums(anew, MIA)
        assert left[""] == right[""]
        assert left == right
        await survived.close()
        await anew.close()

    asyncio.run(compare())
