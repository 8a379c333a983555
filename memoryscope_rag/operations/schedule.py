"""When the backend works: after N messages, after a pause, at intervals, or at once when asked.

What is pending is counted as it is recorded, so an idle application reads no store. APScheduler
beats the time; what is due is decided here, from the clock, by :meth:`Schedule.tick`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

from memoryscope_rag.configs.model import ScheduleConfig
from memoryscope_rag.ports import Clock
from memoryscope_rag.schema import Scope

if TYPE_CHECKING:
    from apscheduler.schedulers.asyncio import AsyncIOScheduler

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the schedule needs to know of a run.

    ``again``: something is left, because it failed or another process holds the scope; try later.
    ``learned``: there are new observations, so reflection has something to do.
    """

    again: bool = False
    learned: bool = False


Job = Callable[[Scope], Awaitable[Outcome]]


@dataclass(slots=True)
class _Work:
    """What is known of a scope with something to do. ``since`` and ``latest``: of messages."""

    pending: int = 0
    since: datetime | None = None
    latest: datetime | None = None
    learned_at: datetime | None = None
    not_before: datetime | None = None
    failures: int = 0
    task: asyncio.Task[None] | None = None


class Schedule:
    """Runs two jobs, one at a time for each scope and ``workers`` at a time in all.

    All methods belong to the event loop of the application.
    """

    def __init__(
        self, consolidate: Job, reflect: Job, settings: ScheduleConfig, clock: Clock
    ) -> None:
        self._consolidate = consolidate
        self._reflect = reflect
        self._settings = settings
        self._clock = clock
        self._work: dict[Scope, _Work] = {}
        self._slots = asyncio.Semaphore(settings.workers)
        self._beat: AsyncIOScheduler | None = None
        self._random = Random()  # of its own: the host's is not ours to advance

    @property
    def running(self) -> bool:
        """Whether the schedule was started and not stopped since."""
        return self._beat is not None

    @property
    def waiting(self) -> Mapping[Scope, int]:
        """Messages that were recorded through this application and wait for consolidation."""
        return {scope: work.pending for scope, work in self._work.items() if work.pending}

    def noticed(self, scope: Scope, messages: int) -> None:
        """``messages`` more are pending in ``scope``."""
        now = self._clock.now()
        work = self._work.setdefault(scope, _Work())
        work.pending += messages
        work.since = work.since or now
        work.latest = now

    def start(self, pending: Mapping[Scope, int]) -> None:
        """Begin to work in the background; ``pending`` is what earlier runs left behind."""
        if self._beat is not None:
            return
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        for scope, count in pending.items():
            if scope not in self._work:
                self.noticed(scope, count)
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

        A cancelled run has changed nothing: its messages are pending still.
        """
        if self._beat is not None:
            self._beat.shutdown(wait=False)
            self._beat = None
        tasks = [work.task for work in self._work.values() if work.task is not None]
        if not wait:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def run_now(self, scope: Scope | None = None) -> None:
        """Consolidate what waits in ``scope``, or everywhere, without regard to time or backoff."""
        chosen = list(self._work) if scope is None else [scope]
        for each in chosen:
            work = self._work.get(each)
            if work is not None and work.task is not None:
                await asyncio.gather(work.task, return_exceptions=True)
        tasks = [
            self._launch(each, self._work[each], self._consolidate)
            for each in chosen
            if each in self._work and self._work[each].pending
        ]
        await asyncio.gather(*tasks, return_exceptions=True)

    def tick(self) -> None:
        """Start what is due and forget scopes that have nothing left to do."""
        now = self._clock.now()
        for scope, work in list(self._work.items()):
            if work.task is not None or (work.not_before is not None and now < work.not_before):
                continue
            if work.pending:
                if self._consolidation_due(work, now):
                    self._launch(scope, work, self._consolidate)
            elif work.learned_at is None:
                del self._work[scope]
            elif now - work.learned_at >= timedelta(seconds=self._settings.reflect_every_s):
                self._launch(scope, work, self._reflect)

    def _consolidation_due(self, work: _Work, now: datetime) -> bool:
        settings = self._settings
        assert work.since is not None and work.latest is not None  # set with ``pending``  # noqa: PT018
        return (
            work.pending >= settings.after_messages
            or now - work.latest >= timedelta(seconds=settings.after_idle_s)
            or now - work.since >= timedelta(seconds=settings.consolidate_every_s)
        )

    async def _on_beat(self) -> None:
        self.tick()  # a coroutine, so that it runs in the event loop

    def _launch(self, scope: Scope, work: _Work, job: Job) -> asyncio.Task[None]:
        work.task = asyncio.create_task(self._run(scope, work, job))
        return work.task

    async def _run(self, scope: Scope, work: _Work, job: Job) -> None:
        taken, learned_at = work.pending, work.learned_at
        outcome = Outcome(again=True)
        try:
            async with self._slots:
                outcome = await job(scope)
        except Exception as error:  # noqa: BLE001  # the outermost loop: nobody else would see it
            _log.error("background work failed: %s", type(error).__name__)
        finally:
            work.task = None
            now = self._clock.now()
            if outcome.again:
                work.failures += 1
                work.not_before = now + self._backoff(work.failures)
            else:
                work.failures, work.not_before = 0, None
                if job is self._consolidate:
                    work.pending = max(0, work.pending - taken)
                    work.since = work.latest if work.pending else None
                elif work.learned_at == learned_at:
                    work.learned_at = None
            if outcome.learned:
                work.learned_at = work.learned_at or now

    def _backoff(self, failures: int) -> timedelta:
        seconds = min(
            self._settings.backoff_s * 2.0 ** min(failures - 1, 30), self._settings.backoff_limit_s
        )
        # jitter, so that the scopes that failed together do not come back together
        return timedelta(seconds=seconds * self._random.uniform(0.75, 1.0))
