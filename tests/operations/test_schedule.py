"""The schedule: what is due when, one job a scope, backoff, start and stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from memoryscope_rag.configs.model import ScheduleConfig
from memoryscope_rag.operations.job_queue import Outcome
from memoryscope_rag.operations.schedule import Schedule
from memoryscope_rag.schema import Scope
from memoryscope_rag.testing.fakes import FrozenClock

ANN, BEN = Scope("ann"), Scope("ben")
START = datetime(2026, 5, 4, 8, tzinfo=UTC)
SETTINGS = ScheduleConfig(
    after_messages=3,
    after_idle_s=20,
    consolidate_every_s=60,
    reflect_every_s=900,
    backoff_s=10,
    backoff_limit_s=40,
    refresh_after_tokens=500,
    refresh_every_s=120,
)


class Host:
    """Three jobs that note what they were asked for and answer as they are told."""

    def __init__(self, settings: ScheduleConfig = SETTINGS) -> None:
        self.clock = FrozenClock(START)
        self.did: list[tuple[str, str]] = []
        self.outcome = Outcome(learned=True)
        self.refreshed = Outcome()
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.busy = 0
        self.most_at_once = 0
        self.schedule = Schedule(
            self._job("consolidate"),
            self._job("reflect"),
            settings,
            self.clock,
            self._job("refresh"),
        )

    def _job(self, name: str) -> Callable[[Scope], Awaitable[Outcome]]:
        async def job(scope: Scope) -> Outcome:
            self.did.append((name, scope.user_id))
            self.busy += 1
            self.most_at_once = max(self.most_at_once, self.busy)
            try:
                if self.gate is not None:
                    await self.gate.wait()
                if self.failure is not None:
                    raise self.failure
            finally:
                self.busy -= 1
            return {"consolidate": self.outcome, "refresh": self.refreshed}.get(name, Outcome())

        return job

    async def after(self, seconds: float) -> list[tuple[str, str]]:
        """What was done once so many seconds had passed."""
        self.clock.advance(seconds)
        self.schedule.tick()
        for _ in range(5):
            await asyncio.sleep(0)
        done, self.did = self.did, []
        return done


@pytest.fixture
def quiet() -> Host:
    """One whose consolidation and reflection are never due."""
    never = {"after_messages": 10**9, "after_idle_s": 1e9, "consolidate_every_s": 1e9}
    return Host(SETTINGS.model_copy(update=never))


def run(check: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await check()

    asyncio.run(main())


def test_k1_due_by_count_by_pause_and_by_interval() -> None:
    async def check() -> None:
        host = Host()
        assert await host.after(1000) == []
        host.schedule.noticed(ANN, 2)
        assert await host.after(19) == []
        assert await host.after(1) == [("consolidate", "ann")]  # a pause of 20 s
        host.schedule.noticed(BEN, 3)
        assert await host.after(0) == [("consolidate", "ben")]  # three messages
        host.schedule.noticed(BEN, 1)
        for _ in range(3):
            assert await host.after(15) == []
            host.schedule.noticed(BEN, 0)  # somebody keeps talking
        assert await host.after(15) == [("consolidate", "ben")]  # waited for 60 s
        assert host.schedule.waiting == {}

    run(check)


def test_k1_reflects_once_after_something_was_learned() -> None:
    async def check() -> None:
        host = Host()
        host.schedule.noticed(ANN, 3)
        assert await host.after(0) == [("consolidate", "ann")]
        assert await host.after(899) == []
        assert await host.after(1) == [("reflect", "ann")]
        assert await host.after(5000) == []
        host.outcome = Outcome(learned=False)
        host.schedule.noticed(ANN, 3)
        assert await host.after(0) == [("consolidate", "ann")]
        assert await host.after(5000) == []

    run(check)


def test_k1_one_job_a_scope_and_a_bounded_number_in_all() -> None:
    async def check() -> None:
        host = Host(SETTINGS.model_copy(update={"workers": 2}))
        host.gate = asyncio.Event()
        scopes = [Scope(f"user{number}") for number in range(6)]
        for scope in scopes:
            host.schedule.noticed(scope, 3)
        for _ in range(4):
            await host.after(100)
            for scope in scopes:
                host.schedule.noticed(scope, 3)
        assert (host.most_at_once, host.busy) == (2, 2)
        host.gate.set()
        await host.schedule.run_now()
        assert host.most_at_once == 2
        assert host.schedule.waiting == {}

    run(check)


def test_e13_failures_wait_longer_each_time_and_lose_nothing() -> None:
    async def check() -> None:
        host = Host()
        host.failure = RuntimeError("down")
        host.schedule.noticed(ANN, 3)
        assert await host.after(0) == [("consolidate", "ann")]
        for wait in (10, 20, 40, 40, 40):
            assert await host.after(wait * 0.75 - 0.001) == []
            assert await host.after(wait * 0.25 + 0.001) == [("consolidate", "ann")]
        assert host.schedule.waiting == {ANN: 3}
        host.failure = None
        host.outcome = Outcome(again=True)  # another process holds the scope
        assert await host.after(40) == [("consolidate", "ann")]
        assert host.schedule.waiting == {ANN: 3}
        host.outcome = Outcome()
        await host.schedule.run_now(ANN)  # asked for: backoff does not matter
        assert host.did == [("consolidate", "ann")]
        assert host.schedule.waiting == {}

    run(check)


def test_messages_that_come_while_a_run_goes_on_are_not_forgotten() -> None:
    async def check() -> None:
        host = Host()
        host.gate = asyncio.Event()
        host.schedule.noticed(ANN, 3)
        await host.after(0)
        host.schedule.noticed(ANN, 2)
        host.gate.set()
        await asyncio.sleep(0.01)
        assert host.schedule.waiting == {ANN: 2}
        assert await host.after(20) == [("consolidate", "ann")]

    run(check)


@pytest.mark.parametrize("workers", [1, 2, 5, 64])
def test_k3_any_number_of_workers_finishes(workers: int) -> None:
    async def check() -> None:
        host = Host(SETTINGS.model_copy(update={"workers": workers}))
        for number in range(100):
            host.schedule.noticed(Scope(f"user{number}"), 1)
        await host.schedule.run_now()
        assert len(host.did) == 100
        assert host.schedule.waiting == {}

    run(check)


def test_k2_start_stop_and_start_again() -> None:
    async def check() -> None:
        host = Host(SETTINGS.model_copy(update={"tick_s": 0.01}))
        host.gate = asyncio.Event()
        host.schedule.start({ANN: 5})
        assert host.schedule.running
        while not host.busy:
            await asyncio.sleep(0.005)
        stopping = asyncio.create_task(host.schedule.stop())
        await asyncio.sleep(0.05)
        assert not stopping.done()  # waits for what is running
        host.gate.set()
        await stopping
        assert host.schedule.waiting == {}
        host.schedule.noticed(ANN, 5)
        await asyncio.sleep(0.05)
        assert host.did == [("consolidate", "ann")]
        host.schedule.start({})
        while len(host.did) < 2:
            await asyncio.sleep(0.005)
        host.gate.clear()
        host.schedule.noticed(BEN, 5)
        while not host.busy:
            await asyncio.sleep(0.005)
        await host.schedule.stop(wait=False)  # hands back what is in flight
        assert host.schedule.waiting == {BEN: 5}
        assert not host.schedule.running

    run(check)


def test_a_refresh_is_due_by_tokens_by_age_and_at_once(quiet: Host) -> None:
    host = quiet

    async def check() -> None:
        host.schedule.noticed(ANN, 1, 300)
        assert await host.after(0) == []
        host.schedule.noticed(ANN, 1, 200)
        assert await host.after(0) == [("refresh", "ann")]
        assert await host.after(500) == []
        host.schedule.noticed(BEN, 1, 1)
        assert await host.after(119) == []
        assert await host.after(1) == [("refresh", "ben")]
        host.schedule.refresh_soon(BEN)
        assert await host.after(0) == [("refresh", "ben")]
        assert await host.after(500) == []
        host.schedule.noticed(BEN, 1)  # without tokens: the memory has seen it
        assert await host.after(500) == []

    run(check)


def test_a_refresh_goes_on_in_turns_and_beside_consolidation() -> None:
    async def check() -> None:
        host = Host()
        host.refreshed = Outcome(more=True)
        host.schedule.refresh_soon(ANN)
        for _ in range(3):
            assert await host.after(0) == [("refresh", "ann")]
        host.refreshed = Outcome()
        assert await host.after(0) == [("refresh", "ann")]
        assert await host.after(0) == []
        host.gate = asyncio.Event()
        host.schedule.noticed(ANN, 3, 600)
        host.schedule.noticed(BEN, 1, 600)
        await host.after(0)
        assert await host.after(0) == []
        assert host.busy == 2  # one of each kind; the other refresh waits for the model
        host.gate.set()
        assert await host.after(0) == [("refresh", "ben")]

    run(check)


def test_a_refresh_that_fails_is_tried_again_later() -> None:
    async def check() -> None:
        host = Host()
        host.refreshed = Outcome(again=True)
        host.schedule.refresh_soon(ANN)
        assert await host.after(0) == [("refresh", "ann")]
        host.schedule.refresh_soon(ANN)  # somebody asks, and the memory is stale still
        assert await host.after(7) == []
        assert await host.after(3) == [("refresh", "ann")]
        host.refreshed = Outcome()
        assert await host.after(20) == [("refresh", "ann")]
        assert await host.after(500) == []

    run(check)
