"""An application that starts while its cluster is away takes messages all the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from memoryscope_rag import MemoryScope, load_config
from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.ports import MemoryStore
from memoryscope_rag.stores.late import LateStore
from memoryscope_rag.stores.outbox import OutboxStore
from memoryscope_rag.stores.outbox_file import OutboxFile
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.samples import ALICE, SPEC, entry, message
from tests.stores.test_outbox import delivered


def test_it_opens_when_the_database_comes(tmp_path: Path) -> None:
    async def check() -> None:
        there = False

        async def opener() -> MemoryStore:
            if not there:
                raise StoreUnavailable("the cluster is away")
            return SQLiteStore.open(tmp_path / "memory.db", embedder=SPEC)

        box = await OutboxStore.open(LateStore(opener), tmp_path / "outbox.db", embedder=SPEC)
        (said,) = await box.append(ALICE, [entry(message("m1"))])
        assert said.status == "waiting"
        with pytest.raises(StoreUnavailable, match="1 messages wait"):
            await box.stats()
        there = True
        await delivered(box)
        assert [m.seq for m in await box.messages(ALICE)] == [1]
        await box.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await box.messages(ALICE)

    asyncio.run(check())


def test_a_store_that_never_came_is_closed(tmp_path: Path) -> None:
    async def check() -> None:
        async def opener() -> MemoryStore:
            raise StoreUnavailable("the cluster is away")

        late = LateStore(opener)
        with pytest.raises(StoreUnavailable, match="away"):
            await late.messages(ALICE)
        await late.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await late.messages(ALICE)

    asyncio.run(check())


def test_only_one_that_knew_its_cluster_starts_without_it(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    cluster = {"url": "http://127.0.0.1:9", "outbox": path, "deadline_s": 0.2}
    config = load_config(
        overrides={
            "store": {"provider": "elasticsearch", "elasticsearch": cluster},
            "embedder": {"name": "none"},
            "schedule": {"close_s": 0.0},
        }
    )
    with pytest.raises(StoreUnavailable):
        MemoryScope.open(config=config)
    assert not path.exists()
    OutboxFile(path).close()
    with MemoryScope.open(config=config) as memory:
        assert memory.record("I moved to Lisbon", scope="ann").status == "waiting"
        with pytest.raises(StoreUnavailable):
            memory.retrieve("Lisbon", scope="ann")
    with MemoryScope.open(config=config) as memory, pytest.raises(StoreUnavailable, match="1 mess"):
        memory.stats()
