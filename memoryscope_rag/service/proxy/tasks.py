"""Work that outlives the request that began it: an answer read to its end, a turn recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


class Tasks:
    """Such work, held here, since an event loop keeps no hold of its tasks."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Begin ``work``."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def finish(self, within_s: float) -> None:
        """Wait until all of it is done, and what that began; ``within_s`` seconds at most."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within_s
        while self._running and loop.time() < end:
            await asyncio.wait(self._running, timeout=end - loop.time())
