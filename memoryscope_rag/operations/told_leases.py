"""Leases that another process is told of, which gives them back should this one be killed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from memoryscope_rag.ports import Lease, MemoryStore
from memoryscope_rag.schema import Scope
from memoryscope_rag.stores.passing import PassingStore

T = TypeVar("T")


class ToldLeases(PassingStore):
    """Calls ``tell`` with the leases that are held through it, whenever one comes or goes."""

    def __init__(self, store: MemoryStore, tell: Callable[[tuple[Lease, ...]], None]) -> None:
        self._store = store
        self._tell = tell
        self._held: dict[tuple[Scope, str], Lease] = {}

    async def _through(self, call: Callable[[MemoryStore], Coroutine[Any, Any, T]]) -> T:
        return await call(self._store)

    async def close(self) -> None:
        """Close the store behind, too."""
        await self._store.close()

    async def acquire(self, scope: Scope, name: str, owner: str, seconds: float) -> Lease | None:
        """As the store does it; the renewal of a lease is not told."""
        lease = await super().acquire(scope, name, owner, seconds)
        if lease is not None:
            before = self._held.get((scope, name))
            self._held[scope, name] = lease
            if before is None or before.token != lease.token:
                self._tell(tuple(self._held.values()))
        return lease

    async def release(self, lease: Lease) -> None:
        """As the store does it."""
        await super().release(lease)
        held = self._held.get((lease.scope, lease.name))
        if held is not None and held.token == lease.token:
            del self._held[lease.scope, lease.name]
            self._tell(tuple(self._held.values()))
