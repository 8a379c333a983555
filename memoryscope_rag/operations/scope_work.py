"""Work on scopes that can be broken off from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from memoryscope_rag.schema import Scope

T = TypeVar("T")


class ScopeWork:
    """What goes on in each scope; belongs to one event loop."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[Any], Scope] = {}
        self._broken_off: set[asyncio.Task[Any]] = set()

    async def run(self, scope: Scope, work: Coroutine[Any, Any, T]) -> T | None:
        """What ``work`` returns, ``None`` when it was broken off."""
        task = asyncio.create_task(work)
        self._tasks[task] = scope
        try:
            return await task
        except asyncio.CancelledError:
            ourselves = asyncio.current_task()
            if task not in self._broken_off or (ourselves is not None and ourselves.cancelling()):
                raise
            return None
        finally:
            del self._tasks[task]
            self._broken_off.discard(task)

    async def break_off(self, scope: Scope) -> None:
        """End what goes on in ``scope``, and return when it has ended."""
        tasks = [task for task, where in self._tasks.items() if where == scope]
        for task in tasks:
            self._broken_off.add(task)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
