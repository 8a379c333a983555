"""What the backend does in a scope: consolidate, reflect, refresh, all in this process."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from memoryscope_rag.configs.model import Config
from memoryscope_rag.errors import ConfigError
from memoryscope_rag.operations.consolidate import (
    ConsolidationOptions,
    ConsolidationReport,
    build_consolidate,
    consolidate,
)
from memoryscope_rag.operations.reflect import (
    ReflectionOptions,
    ReflectionReport,
    build_reflect,
    reflect,
)
from memoryscope_rag.operations.refresh import (
    RefreshOptions,
    RefreshReport,
    build_refresh,
    refresh,
    withdraw,
)
from memoryscope_rag.operations.scope_work import ScopeWork
from memoryscope_rag.schema import Scope
from memoryscope_rag.workers.base import Services

Progress = Callable[[int, int], None]
WITHDRAW_S = 5.0
"""Seconds that forgetting waits for the model to take something out of the beacon memory."""


class Jobs(Protocol):
    """The work of the backend, wherever it is done. A call that is cancelled changes nothing more.

    All methods belong to the event loop of the application, and raise what the operations raise.
    """

    async def consolidate(self, scope: Scope) -> ConsolidationReport:
        """Turn what is pending in ``scope`` into observations."""
        ...

    async def reflect(self, scope: Scope) -> ReflectionReport:
        """Bring the insights of ``scope`` up to date."""
        ...

    async def refresh(
        self, scope: Scope, *, seconds: float | None = None, progress: Progress | None = None
    ) -> RefreshReport:
        """Let the beacon memory of ``scope`` read what it does not cover, for ``seconds`` or all.

        Raises ConfigError where there is no beacon memory.
        """
        ...

    async def break_off(self, scope: Scope) -> None:
        """Have the step that a refresh of ``scope`` is in begin anew, with the log as it is."""
        ...

    async def withdraw(self, scope: Scope) -> None:
        """Take what is not in the log out of the beacon memory of ``scope``."""
        ...


class OwnJobs:
    """The :class:`Jobs` of this process, with the parts that ``services`` lend."""

    def __init__(self, services: Services, config: Config) -> None:
        self._services = services
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
        self._zone = ZoneInfo(config.time_zone)

    async def consolidate(self, scope: Scope) -> ConsolidationReport:
        """See :class:`Jobs`."""
        return await consolidate(
            self._services,
            scope,
            operation=self._consolidation,
            options=self._consolidation_options,
            now=self._now(),
            owner=_owner(),
        )

    async def reflect(self, scope: Scope) -> ReflectionReport:
        """See :class:`Jobs`."""
        return await reflect(
            self._services,
            scope,
            operation=self._reflection,
            options=self._reflection_options,
            now=self._now(),
            owner=_owner(),
        )

    async def refresh(
        self, scope: Scope, *, seconds: float | None = None, progress: Progress | None = None
    ) -> RefreshReport:
        """See :class:`Jobs`."""
        if self._refreshing is None:
            raise ConfigError(
                "there is no beacon memory; the setting 'memory.model' names its model"
            )
        return await refresh(
            self._services,
            scope,
            operation=self._refreshing,
            options=replace(self._refresh_options, seconds=seconds),
            owner=_owner(),
            work=self._refresh_work,
            progress=progress,
        )

    async def break_off(self, scope: Scope) -> None:
        """See :class:`Jobs`."""
        await self._refresh_work.break_off(scope)

    async def withdraw(self, scope: Scope) -> None:
        """See :class:`Jobs`."""
        await withdraw(self._services, scope, patience_s=WITHDRAW_S)

    def _now(self) -> datetime:
        return self._services.clock.now().astimezone(self._zone)


def _owner() -> str:
    # one a run: a second run of the same process must not take the first one's lease for its own
    return uuid.uuid4().hex
