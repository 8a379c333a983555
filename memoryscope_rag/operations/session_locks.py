"""Turns of one session are recorded one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from memoryscope_rag.schema import Scope


class SessionLocks:
    """One writer a session within this process, so that a turn's context is the turn before it."""

    def __init__(self) -> None:
        self._locks: dict[tuple[Scope, str], asyncio.Lock] = {}
        self._users: dict[tuple[Scope, str], int] = {}

    @asynccontextmanager
    async def hold(self, scope: Scope, session_ids: Collection[str]) -> AsyncIterator[None]:
        """Hold the locks of these sessions; taken in one order, so that no two callers wait
        for each other.
        """
        held: list[asyncio.Lock] = []
        keys = [(scope, name) for name in sorted(session_ids)]
        for key in keys:
            self._users[key] = self._users.get(key, 0) + 1
        try:
            for key in keys:
                lock = self._locks.setdefault(key, asyncio.Lock())
                await lock.acquire()
                held.append(lock)
            yield
        finally:
            for lock in held:
                lock.release()
            for key in keys:
                self._users[key] -= 1
                if not self._users[key]:
                    del self._users[key]
                    self._locks.pop(key, None)
