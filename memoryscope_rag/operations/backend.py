"""The backend of one application: consolidation and reflection, asked for or on schedule."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from dataclasses import replace
from zoneinfo import ZoneInfo

from memoryscope_rag.configs.model import Config
from memoryscope_rag.operations.consolidate import (
    ConsolidationOptions,
    ConsolidationReport,
    build_consolidate,
    consolidate,
)
from memoryscope_rag.operations.foreground import BackgroundEmbedder, Foreground
from memoryscope_rag.operations.reflect import (
    ReflectionOptions,
    ReflectionReport,
    build_reflect,
    reflect,
)
from memoryscope_rag.operations.schedule import Outcome, Schedule
from memoryscope_rag.schema import Scope
from memoryscope_rag.workers.base import Services


class Backend:
    """What happens behind the chat. All methods belong to the application's event loop."""

    def __init__(self, services: Services, config: Config, foreground: Foreground) -> None:
        if services.embedder is not None:
            embedder = BackgroundEmbedder(services.embedder, foreground)
            services = replace(services, embedder=embedder)
        self._services = services
        self._config = config
        settings = config.consolidation
        self._consolidation = build_consolidate(services, settings.operation)
        self._consolidation_options = ConsolidationOptions(
            batch_tokens=settings.batch_tokens,
            batch_messages=settings.batch_messages,
            context_turns=settings.context_turns,
            attempts=settings.attempts,
            lease_seconds=settings.lease_s,
        )
        reflection = config.reflection
        self._reflection = build_reflect(services, reflection.operation)
        self._reflection_options = ReflectionOptions(
            threshold=reflection.threshold,
            batch=reflection.batch,
            subjects=reflection.subjects,
            calls=reflection.calls,
            long_range=reflection.long_range,
            lease_seconds=reflection.lease_s,
        )
        self._zone = ZoneInfo(config.time_zone)
        self._schedule = Schedule(
            self._consolidate_when_due, self._reflect_when_due, config.schedule, services.clock
        )

    @property
    def running(self) -> bool:
        """Whether it works in the background."""
        return self._schedule.running

    def noticed(self, scope: Scope, messages: int) -> None:
        """So many messages were recorded in ``scope`` and are pending."""
        if messages:
            self._schedule.noticed(scope, messages)

    async def consolidate(self, scope: Scope) -> ConsolidationReport:
        """Turn what is pending in ``scope`` into observations."""
        return await consolidate(
            self._services,
            scope,
            operation=self._consolidation,
            options=self._consolidation_options,
            now=self._services.clock.now().astimezone(self._zone),
            owner=_owner(),
        )

    async def reflect(self, scope: Scope) -> ReflectionReport:
        """Bring the insights of ``scope`` up to date."""
        return await reflect(
            self._services,
            scope,
            operation=self._reflection,
            options=self._reflection_options,
            now=self._services.clock.now().astimezone(self._zone),
            owner=_owner(),
        )

    async def start(self) -> None:
        """Work in the background from now on, also on what earlier runs left pending."""
        if not self._schedule.running:
            self._schedule.start(await self._services.store.pending())

    async def stop(self, *, wait: bool = True) -> None:
        """Stop working in the background; see :meth:`Schedule.stop`."""
        await self._schedule.stop(wait=wait)

    async def flush(self, scope: Scope | None = None) -> int:
        """Consolidate everything that is pending now; how many messages still are afterwards."""
        for each, count in (await self._services.store.pending()).items():
            if scope in (None, each) and each not in self._schedule.waiting:
                self._schedule.noticed(each, count)
        await self._schedule.run_now(scope)
        left = await self._services.store.pending()
        return sum(count for each, count in left.items() if scope in (None, each))

    async def close(self) -> None:
        """Finish what is running and what was recorded, as far as the time of closing allows.

        The rest is pending still and waits for the next run.
        """
        if seconds := self._config.schedule.close_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._schedule.run_now()
        await self._schedule.stop(wait=False)

    async def _consolidate_when_due(self, scope: Scope) -> Outcome:
        report = await self.consolidate(scope)
        return Outcome(again=report.busy or bool(report.failed), learned=bool(report.actions))

    async def _reflect_when_due(self, scope: Scope) -> Outcome:
        report = await self.reflect(scope)
        return Outcome(again=report.busy or report.again)


def _owner() -> str:
    # one a run: a second run of the same process must not take the first one's lease for its own
    return uuid.uuid4().hex
