"""Four processes write one store while this one reads."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from memoryscope_rag.ports import Query, SearchRequest
from memoryscope_rag.schema import Message
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.samples import ALL_KINDS, SPEC, vector
from tests.stores.children import start
from tests.stores.writer import SCOPE

PROCESSES = 4
WRITES = 2_500


@pytest.mark.slow
def test_no_write_is_lost_or_doubled(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    children = [start(path, f"p{n}", str(WRITES)) for n in range(PROCESSES)]

    async def read() -> None:
        store = SQLiteStore.open(path, embedder=SPEC)
        random, seen, count = Random(1), 0, 0
        while any(child.poll() is None for child in children):
            request = SearchRequest((Query("q", ("text",), vector(random)),), ALL_KINDS)
            (found,) = await store.search(SCOPE, [request])
            assert len(set(found.ids)) == len(found.ids)
            count = (await store.stats(SCOPE)).messages
            assert count >= seen
            seen = count
            await asyncio.sleep(0.05)
        log: list[Message] = []
        while page := await store.messages(SCOPE, after=log[-1].seq if log else 0):
            log += page
        assert len(log) == PROCESSES * WRITES
        assert [m.seq for m in log] == list(range(1, len(log) + 1))
        assert {m.id for m in log} == {f"p{p}-{n}" for p in range(PROCESSES) for n in range(WRITES)}
        index = store._cache.peek(SCOPE)
        await store.search(SCOPE, [request])
        assert index is not None
        assert len(index) == len(log)
        assert await store.check() == ()
        await store.close()

    drains = [asyncio.to_thread(child.communicate) for child in children]

    async def both() -> None:
        await asyncio.gather(read(), *drains)

    asyncio.run(both())
    assert [child.returncode for child in children] == [0] * PROCESSES
