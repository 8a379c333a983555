"""A store that is opened by the first call that finds its database there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.ports import MemoryStore
from memoryscope_rag.stores.passing import PassingStore

T = TypeVar("T")


class LateStore(PassingStore):
    """Takes the place of a store whose database is away when an application starts.

    Every call tries to open it, and raises what ``opener`` raises until that succeeds.
    """

    def __init__(self, opener: Callable[[], Awaitable[MemoryStore]]) -> None:
        self._opener = opener
        self._store: MemoryStore | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    async def _through(self, call: Callable[[MemoryStore], Coroutine[Any, Any, T]]) -> T:
        async with self._opening:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            if self._store is None:
                self._store = await self._opener()
        return await call(self._store)

    async def close(self) -> None:
        """Close the store if it was ever opened; a second call does nothing."""
        async with self._opening:
            self._closed = True
            if self._store is not None:
                await self._store.close()
