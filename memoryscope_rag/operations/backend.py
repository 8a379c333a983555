"""The backend of one application: consolidation, reflection, refresh; asked for or on schedule."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from zoneinfo import ZoneInfo

from memoryscope_rag.configs.model import Config
from memoryscope_rag.errors import ConfigError, ModelError, StoreError
from memoryscope_rag.operations.consolidate import (
    ConsolidationOptions,
    ConsolidationReport,
    build_consolidate,
    consolidate,
)
from memoryscope_rag.operations.foreground import BackgroundEmbedder, Foreground
from memoryscope_rag.operations.job_queue import Outcome
from memoryscope_rag.operations.left_memory import remove_left_memory
from memoryscope_rag.operations.reflect import (
    ReflectionOptions,
    ReflectionReport,
    build_reflect,
    reflect,
)
from memoryscope_rag.operations.refresh import (
    LAST,
    RefreshOptions,
    RefreshReport,
    build_refresh,
    refresh,
    withdraw,
)
from memoryscope_rag.operations.schedule import Schedule
from memoryscope_rag.operations.scope_work import ScopeWork
from memoryscope_rag.schema import Scope
from memoryscope_rag.workers.base import Services

_log = logging.getLogger(__name__)

TURN_S = 20.0
"""Seconds of a refresh on schedule, after which other scopes have their turn."""
WITHDRAW_S = 5.0
"""Seconds that forgetting waits for the model to take something out of the beacon memory."""


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
        self._refreshing = None if services.memory is None else build_refresh(services)
        self._refresh_options = RefreshOptions(
            step_tokens=config.memory.step_tokens, lease_seconds=config.memory.lease_s
        )
        self._refresh_work = ScopeWork()
        self._looking: asyncio.Task[None] | None = None
        self._zone = ZoneInfo(config.time_zone)
        self._schedule = Schedule(
            self._consolidate_when_due,
            self._reflect_when_due,
            config.schedule,
            services.clock,
            None if services.memory is None else self._refresh_when_due,
        )

    @property
    def running(self) -> bool:
        """Whether it works in the background."""
        return self._schedule.running

    def noticed(self, scope: Scope, messages: int, tokens: int = 0) -> None:
        """So many messages were recorded in ``scope``, with about so many tokens, and are pending.

        Messages without tokens are such as the beacon memory has seen before.
        """
        if messages:
            self._schedule.noticed(scope, messages, tokens)

    def refresh_soon(self, scope: Scope) -> None:
        """The beacon memory of ``scope`` is behind the log, or holds what that does not."""
        self._schedule.refresh_soon(scope)

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

    async def refresh(
        self, scope: Scope, *, progress: Callable[[int, int], None] | None = None
    ) -> RefreshReport:
        """Let the beacon memory of ``scope`` read what it does not cover."""
        return await self._refresh(scope, self._refresh_options, progress)

    async def forgotten(self, scope: Scope, *, everything: bool) -> bool:
        """Take what was forgotten out of the beacon memory; whether no file of it holds it now."""
        memory = self._services.memory
        await self._refresh_work.break_off(scope)  # it may be reading what was forgotten
        try:
            if memory is None:  # any more
                remove_left_memory(self._config.memory_folder, scope)
            elif everything:
                await memory.drop(scope)
            else:
                await withdraw(self._services, scope, patience_s=WITHDRAW_S)
        except StoreError as error:
            _log.error("a beacon memory was not cleared: %s", error)
            return False
        finally:
            self._schedule.refresh_soon(scope)
        return True

    async def start(self) -> None:
        """Work in the background from now on, also on what earlier runs left pending."""
        if not self._schedule.running:
            self._schedule.start(await self._services.store.pending())
            if self._services.memory is not None:
                self._looking = asyncio.create_task(self._look_for_lag())

    async def stop(self, *, wait: bool = True) -> None:
        """Stop working in the background; see :meth:`Schedule.stop`."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None
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

        The rest is pending still and waits for the next run. The beacon memories follow only if
        they did so in the background: a model is not opened for the sake of closing.
        """
        if seconds := self._config.schedule.close_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    if self._schedule.running:
                        await self._schedule.refresh_now()
                    await self._schedule.run_now()
        await self.stop(wait=False)

    async def _consolidate_when_due(self, scope: Scope) -> Outcome:
        report = await self.consolidate(scope)
        return Outcome(again=report.busy or bool(report.failed), learned=bool(report.actions))

    async def _reflect_when_due(self, scope: Scope) -> Outcome:
        report = await self.reflect(scope)
        return Outcome(again=report.busy or report.again)

    async def _refresh_when_due(self, scope: Scope) -> Outcome:
        report = await self._refresh(scope, replace(self._refresh_options, seconds=TURN_S))
        if report.failed:
            _log.warning("a beacon memory was not refreshed: %s", report.failed)
        again = report.busy or report.failed is not None
        return Outcome(again=again, more=not again and report.left > 0)

    async def _refresh(
        self,
        scope: Scope,
        options: RefreshOptions,
        progress: Callable[[int, int], None] | None = None,
    ) -> RefreshReport:
        if self._refreshing is None:
            raise ConfigError(
                "there is no beacon memory; the setting 'memory.model' names its model"
            )
        return await refresh(
            self._services,
            scope,
            operation=self._refreshing,
            options=options,
            owner=_owner(),
            work=self._refresh_work,
            progress=progress,
        )

    async def _look_for_lag(self) -> None:
        """Put down the scopes whose beacon memory does not hold as many messages as the log."""
        store, memory = self._services.store, self._services.memory
        assert memory is not None  # this is started only with one
        try:
            for scope in await store.scopes():
                try:
                    covered = len((await memory.coverage(scope)).message_ids)
                except (ModelError, StoreError):
                    covered = -1  # a refresh finds out what is wrong with it
                if covered != await store.count(scope, LAST):
                    self._schedule.refresh_soon(scope)
        except StoreError as error:
            _log.warning("beacon memories were not compared with the log: %s", error)


def _owner() -> str:
    # one a run: a second run of the same process must not take the first one's lease for its own
    return uuid.uuid4().hex
