"""Delivering what waits in an outbox: in order, again and again until the database has it.

A batch is taken out of the outbox after the database acknowledged it. Killed in between, it is
delivered once more, which the ids make harmless. One process delivers at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from memoryscope_rag.errors import InvalidInput, StoreError
from memoryscope_rag.ports import EmbedderSpec, MemoryStore
from memoryscope_rag.schema import Scope
from memoryscope_rag.stores import outbox_rows
from memoryscope_rag.stores.outbox_file import OutboxFile
from memoryscope_rag.stores.outbox_rows import Waiting

_log = logging.getLogger(__name__)

BATCH, BATCH_BYTES = 64, 8 << 20
"""Messages of one delivery at most, and about how large it becomes."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds until a database that was away is tried again: at first, and at most."""
LOOK_SECONDS = 10.0
"""How often an idle courier looks whether another process left something."""


class Outage:
    """Whether the database is away. Pauses between attempts double, with jitter."""

    def __init__(self) -> None:
        self._pause = 0.0
        self._failed_at = self._until = -math.inf

    @property
    def away(self) -> bool:
        """Whether it was away a moment ago, so that asking again is not worth the wait."""
        return time.monotonic() < self._until

    @property
    def seconds(self) -> float:
        """Until it is worth asking again."""
        return max(0.0, self._until - time.monotonic())

    def failed(self, error: StoreError) -> None:
        """It took no message. Calls that fail together count once."""
        if self.away:
            return
        if not self._pause:
            _log.warning("messages wait in the outbox: %s", type(error).__name__)
        self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * self._pause))
        self._failed_at = time.monotonic()
        self._until = self._failed_at + self._pause * random.uniform(0.75, 1.0)

    def worked(self) -> None:
        """It took a message."""
        if self._pause:
            _log.info("the outbox is delivered again")
        self._pause, self._until = 0.0, -math.inf

    def answered(self) -> bool:
        """It answered something else; whether the pause is over for that.

        A database that can be read but not written would else be asked without a pause.
        """
        if self.away and time.monotonic() - self._failed_at >= FIRST_PAUSE:
            self._until = -math.inf
            return True
        return False


class Courier:
    """The task that delivers. ``embedder`` is the model whose vectors the store takes now."""

    def __init__(
        self,
        store: MemoryStore,
        file: OutboxFile,
        threads: ThreadPoolExecutor,
        outage: Outage,
        embedder: EmbedderSpec | None,
    ) -> None:
        self.embedder = embedder
        self._store = store
        self._file = file
        self._threads = threads
        self._outage = outage
        self._due = asyncio.Event()
        self._idle = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to deliver; a second call does nothing."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(_report)

    def wake(self) -> None:
        """There is something to deliver, or the database is back."""
        self._idle.clear()
        self._due.set()

    async def stop(self, seconds: float) -> None:
        """End the task; ``seconds`` are given to what waits, unless the database is away."""
        if self._task is None:
            return
        if not self._outage.away:
            self.wake()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._idle.wait()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            self._due.clear()
            pause = self._outage.seconds
            if not pause:
                pause = LOOK_SECONDS if await self._deliver_all() else FIRST_PAUSE
            self._idle.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._due.wait()

    async def _deliver_all(self) -> bool:
        try:
            while await self._deliver():
                self._outage.worked()
        except StoreError as error:
            # also one that is not retryable: what is wrong may be put right while we wait
            self._outage.failed(error)
            return False
        return True

    async def _deliver(self) -> bool:
        """Deliver a batch; ``False`` when there was none, or when another process is at it."""
        async with self._file.delivering(0.0) as mine:
            if not mine:
                return False
            found = await self._next()
            if found is None:
                return False
            scope, batch = found
            reasons = await self._hand_over(scope, batch)
            await self._settle(batch, reasons)
            return True

    async def _hand_over(self, scope: Scope, batch: Sequence[Waiting]) -> list[str | None]:
        """For each entry ``None`` once the store has it, or why it never will."""
        try:
            outcome = await self._store.append(scope, [row.entry for row in batch])
        except InvalidInput as error:
            if len(batch) == 1:
                return [str(error)]
            # all or none: the others are not to be held up by one of them
            return [(await self._hand_over(scope, [row]))[0] for row in batch]
        return [
            f"the id {item.message.id!r} is taken by other content"
            if item.status == "refused"
            else None
            for item in outcome
        ]

    async def _next(self) -> tuple[Scope, list[Waiting]] | None:
        def job() -> tuple[Scope, list[Waiting]] | None:
            with self._file.read() as connection:
                found = outbox_rows.next_batch(connection, BATCH, BATCH_BYTES, self.embedder)
            if found is None:
                self._file.scrub()
            return found

        return await asyncio.wrap_future(self._threads.submit(job))

    async def _settle(self, batch: Sequence[Waiting], reasons: Sequence[str | None]) -> None:
        def job() -> None:
            with self._file.write() as connection:
                outbox_rows.settle(connection, batch, reasons)

        await asyncio.wrap_future(self._threads.submit(job))


def _report(done: asyncio.Task[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        _log.error("the outbox is not delivered any more: %s", type(error).__name__)
