"""A store behind a door that can be shut, for tests of what happens while a database is away."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.ports import MemoryStore


class Door:
    """Calls of a store go through; none does while the door is shut, or it is ``deaf`` to that one.

    ``lost`` loses that many answers of ``append``: the store does it, the caller hears that it is
    away. ``slow`` is how long an append takes, seconds. ``calls`` counts the attempts by name.
    """

    def __init__(self, store: MemoryStore, *, shut: bool = False) -> None:
        self._store = store
        self.shut = shut
        self.deaf: set[str] = set()
        self.lost = 0
        self.slow = 0.0
        self.calls: dict[str, int] = {}

    @property
    def store(self) -> MemoryStore:
        """The store behind the door, as one sees it from here."""
        return cast(MemoryStore, self)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def call(*given: Any, **named: Any) -> Any:
            self.calls[name] = self.calls.get(name, 0) + 1
            if name == "append" and self.slow:
                await asyncio.sleep(self.slow)
            if name in self.deaf or (self.shut and name != "close"):
                raise StoreUnavailable("the cluster is away")
            result = await method(*given, **named)
            if name == "append" and self.lost:
                self.lost -= 1
                raise StoreUnavailable("no answer came back")
            return result

        return call
