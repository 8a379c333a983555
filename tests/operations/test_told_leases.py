"""What leases are held is told whenever it changes, and only then."""

from __future__ import annotations

import asyncio
from pathlib import Path

from memoryscope_rag import Scope
from memoryscope_rag.app import SystemClock
from memoryscope_rag.build import open_store
from memoryscope_rag.configs.load import parse_config
from memoryscope_rag.operations.told_leases import ToldLeases
from memoryscope_rag.ports import Lease

ANN, BEN = Scope("ann"), Scope("ben")


def test_a_renewal_is_not_told_and_a_lost_lease_takes_no_other_with_it(tmp_path: Path) -> None:
    async def check() -> None:
        config = parse_config({"store": {"path": tmp_path / "m.db"}, "embedder": {"name": "none"}})
        inner = await open_store(config, None, clock=SystemClock())
        told: list[tuple[Lease, ...]] = []
        store = ToldLeases(inner, told.append)
        first = await store.acquire(ANN, "refresh", "me", 60.0)
        assert first is not None
        assert await store.acquire(ANN, "refresh", "you", 60.0) is None
        renewed = await store.acquire(ANN, "refresh", "me", 60.0)
        assert renewed is not None
        assert renewed.token == first.token
        other = await store.acquire(BEN, "refresh", "me", 60.0)
        assert other is not None
        assert [len(leases) for leases in told] == [1, 2]
        await inner.release(renewed)  # as if it had run out
        again = await store.acquire(ANN, "refresh", "me", 60.0)
        assert again is not None
        assert again.token > first.token
        await store.release(first)
        assert set(told[-1]) == {again, other}
        await store.release(other)
        await store.release(again)
        assert [len(leases) for leases in told] == [1, 2, 2, 1, 0]
        assert await inner.acquire(ANN, "refresh", "you", 60.0) is not None
        await store.close()

    asyncio.run(check())
