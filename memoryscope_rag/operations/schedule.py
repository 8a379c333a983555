"""When the backend works: after so much, after a pause, at intervals, or at once when asked.

What waits is counted as it is recorded, so an idle application reads no store. APScheduler
beats the time; what is due is decided from the clock, by :meth:`Schedule.tick`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from memoryscope_rag.configs.model import ScheduleConfig
from memoryscope_rag.operations.job_queue import Due, Job, JobQueue, Outcome
from memoryscope_rag.ports import Clock
from memoryscope_rag.schema import Scope

if TYPE_CHECKING:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler


class Schedule:
    """Consolidation, reflection of what was learned, and the refresh of beacon memories.

    Of the first two one goes on in a scope at a time, and ``workers`` in all. Beacon memories have
    one model, so one of them is refreshed at a time, beside the others. All methods belong to the
    event loop of the application.
    """

    def __init__(
        self,
        consolidate: Job,
        reflect: Job,
        settings: ScheduleConfig,
        clock: Clock,
        refresh: Job | None = None,
    ) -> None:
        slots = asyncio.Semaphore(settings.workers)
        self._settings = settings
        self._consolidation = JobQueue(
            consolidate,
            Due(settings.consolidate_every_s, settings.after_messages, settings.after_idle_s),
            slots,
            settings,
            clock,
            then=self._consolidated,
        )
        self._reflection = JobQueue(reflect, Due(settings.reflect_every_s), slots, settings, clock)
        self._refresh: JobQueue | None = None
        if refresh is not None:
            due = Due(settings.refresh_every_s, settings.refresh_after_tokens)
            self._refresh = JobQueue(refresh, due, asyncio.Semaphore(1), settings, clock)
        self._beat: AsyncIOScheduler | None = None

    @property
    def running(self) -> bool:
        """Whether the schedule was started and not stopped since."""
        return self._beat is not None

    @property
    def waiting(self) -> Mapping[Scope, int]:
        """Messages that were recorded through this application and wait for consolidation."""
        return self._consolidation.waiting

    def noticed(self, scope: Scope, messages: int, tokens: int = 0) -> None:
        """``messages`` more are pending in ``scope``; they hold about so many ``tokens``."""
        self._consolidation.noticed(scope, messages)
        if self._refresh is not None and tokens:
            self._refresh.noticed(scope, tokens)

    def refresh_soon(self, scope: Scope) -> None:
        """The beacon memory of ``scope`` has to be refreshed at once."""
        if self._refresh is not None:
            self._refresh.noticed(scope, 0, at_once=True)

    def start(self, pending: Mapping[Scope, int]) -> None:
        """Begin to work in the background; ``pending`` is what earlier runs left behind."""
        if self._beat is not None:
            return
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        for scope, count in pending.items():
            if scope not in self._consolidation:
                self._consolidation.noticed(scope, count)
        self._beat = AsyncIOScheduler(timezone="UTC")
        self._beat.add_job(
            self._on_beat,
            "interval",
            seconds=self._settings.tick_s,
            max_instances=1,
            coalesce=True,
        )
        self._beat.start()

    async def stop(self, *, wait: bool = True) -> None:
        """Start nothing more; what is running is finished, or without ``wait`` cancelled.

        A cancelled run has changed nothing since its last commit: the rest waits still.
        """
        if self._beat is not None:
            self._beat.shutdown(wait=False)
            self._beat = None
        await asyncio.gather(*(queue.finish(wait=wait) for queue in self._queues()))

    async def run_now(self, scope: Scope | None = None) -> None:
        """Consolidate what waits in ``scope``, or everywhere, without regard to time or backoff."""
        chosen = list(self.waiting) if scope is None else [scope]
        await asyncio.gather(*(self._reflection.ended(each) for each in chosen))
        await self._consolidation.run_now(scope)

    async def refresh_now(self) -> None:
        """Refresh the beacon memories that are behind, as far as this application knows."""
        if self._refresh is not None:
            await self._refresh.run_now()

    def tick(self) -> None:
        """Start what is due."""
        self._consolidation.tick(blocked=self._reflection.running)
        self._reflection.tick(blocked=self._consolidation.__contains__)
        if self._refresh is not None:
            self._refresh.tick()

    def _consolidated(self, scope: Scope, outcome: Outcome) -> None:
        if outcome.learned and scope not in self._reflection:
            self._reflection.noticed(scope, 1)

    def _queues(self) -> list[JobQueue]:
        queues = [self._consolidation, self._reflection, self._refresh]
        return [queue for queue in queues if queue is not None]

    async def _on_beat(self) -> None:
        self.tick()  # a coroutine, so that it runs in the event loop
