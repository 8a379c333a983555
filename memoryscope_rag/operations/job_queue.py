"""What waits for one kind of work, scope by scope, and when it is done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from memoryscope_rag.configs.model import ScheduleConfig
from memoryscope_rag.ports import Clock
from memoryscope_rag.schema import Scope

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the schedule needs to know of a run.

    ``again``: something is left, because it failed or another process holds the scope; try later.
    ``more``: something is left for which the run had no time; others first, then go on.
    ``learned``: there are new observations, so reflection has something to do.
    """

    again: bool = False
    more: bool = False
    learned: bool = False


Job = Callable[[Scope], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Due:
    """When a job is due: at ``amount``, after a pause of ``idle_s``, or ``every_s`` at the latest.

    ``None`` is never.
    """

    every_s: float
    amount: int | None = None
    idle_s: float | None = None


@dataclass(slots=True)
class _Waiting:
    """What waits in a scope. ``since`` and ``latest``: when the first and the last of it came."""

    since: datetime
    latest: datetime
    amount: int = 0
    at_once: bool = False
    not_before: datetime | None = None
    failures: int = 0
    task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self.task is not None and not self.task.done()


class JobQueue:
    """One job, run once at a time in a scope, ``slots`` at a time in all.

    All methods belong to the event loop of the application.
    """

    def __init__(
        self,
        job: Job,
        due: Due,
        slots: asyncio.Semaphore,
        settings: ScheduleConfig,
        clock: Clock,
        *,
        then: Callable[[Scope, Outcome], None] | None = None,
    ) -> None:
        self._job = job
        self._due = due
        self._slots = slots
        self._settings = settings
        self._clock = clock
        self._then = then
        self._work: dict[Scope, _Waiting] = {}
        self._random = Random()  # of its own: the host's is not ours to advance

    def __contains__(self, scope: Scope) -> bool:
        return scope in self._work

    @property
    def waiting(self) -> Mapping[Scope, int]:
        """How much waits in each scope."""
        return {scope: work.amount for scope, work in self._work.items()}

    def running(self, scope: Scope) -> bool:
        """Whether the job is being done in ``scope``, or waits for a slot."""
        return scope in self._work and self._work[scope].running

    def noticed(self, scope: Scope, amount: int, *, at_once: bool = False) -> None:
        """``amount`` more waits in ``scope``; ``at_once``: for nothing but the end of a backoff."""
        now = self._clock.now()
        work = self._work.setdefault(scope, _Waiting(since=now, latest=now))
        work.amount += amount
        work.latest = now
        work.at_once = work.at_once or at_once

    def tick(self, *, blocked: Callable[[Scope], bool] = lambda scope: False) -> None:
        """Start what is due, but for ``blocked`` scopes."""
        now = self._clock.now()
        for scope, work in self._work.items():
            if not work.running and self._is_due(work, now) and not blocked(scope):
                self._launch(scope, work)

    async def run_now(self, scope: Scope | None = None) -> None:
        """Do what waits in ``scope``, or everywhere, without regard to time or backoff."""
        chosen = list(self._work) if scope is None else [scope]
        await asyncio.gather(*(self.ended(each) for each in chosen))
        left = [(each, self._work[each]) for each in chosen if each in self._work]
        tasks = [self._launch(each, work) for each, work in left if not work.running]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def ended(self, scope: Scope) -> None:
        """Return when nothing is running in ``scope``."""
        work = self._work.get(scope)
        if work is not None and work.task is not None:
            await asyncio.gather(work.task, return_exceptions=True)

    async def finish(self, *, wait: bool = True) -> None:
        """Let what is running end, or without ``wait`` cancel it; its work waits still then."""
        tasks = [work.task for work in self._work.values() if work.task is not None]
        if not wait:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_due(self, work: _Waiting, now: datetime) -> bool:
        if work.not_before is not None and now < work.not_before:
            return False
        due = self._due
        return (
            work.at_once
            or (due.amount is not None and work.amount >= due.amount)
            or (due.idle_s is not None and now - work.latest >= timedelta(seconds=due.idle_s))
            or now - work.since >= timedelta(seconds=due.every_s)
        )

    def _launch(self, scope: Scope, work: _Waiting) -> asyncio.Task[None]:
        work.task = asyncio.create_task(self._run(scope, work))
        return work.task

    async def _run(self, scope: Scope, work: _Waiting) -> None:
        taken, hurried, work.at_once = work.amount, work.at_once, False
        outcome = Outcome(again=True)
        try:
            async with self._slots:
                outcome = await self._job(scope)
        except Exception as error:  # noqa: BLE001  # the outermost loop: nobody else would see it
            _log.error("background work failed: %s", type(error).__name__)
        finally:
            work.task = None
            if outcome.again:
                work.failures += 1
                work.at_once = work.at_once or hurried
                work.not_before = self._clock.now() + self._backoff(work.failures)
            else:
                work.failures, work.not_before = 0, None
                if outcome.more:
                    work.at_once = True
                else:
                    work.amount -= taken
                    work.since = work.latest
                    if not work.amount and not work.at_once:
                        del self._work[scope]
            if self._then is not None:
                self._then(scope, outcome)

    def _backoff(self, failures: int) -> timedelta:
        seconds = min(
            self._settings.backoff_s * 2.0 ** min(failures - 1, 30), self._settings.backoff_limit_s
        )
        # jitter, so that the scopes that failed together do not come back together
        return timedelta(seconds=seconds * self._random.uniform(0.75, 1.0))
