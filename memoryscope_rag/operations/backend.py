"""The backend of one application: consolidation, reflection, refresh; asked for or on schedule."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace

from memoryscope_rag.configs.model import Config
from memoryscope_rag.errors import ModelError, StoreError, StoreUnavailable
from memoryscope_rag.lexical import estimate_tokens
from memoryscope_rag.operations.consolidate import ConsolidationReport
from memoryscope_rag.operations.foreground import BackgroundEmbedder, Foreground
from memoryscope_rag.operations.job_process import JobProcess, reason_to_share
from memoryscope_rag.operations.job_queue import Outcome
from memoryscope_rag.operations.jobs import Jobs, OwnJobs, Progress
from memoryscope_rag.operations.left_memory import remove_left_memory
from memoryscope_rag.operations.reflect import ReflectionReport
from memoryscope_rag.operations.refresh import LAST, RefreshReport
from memoryscope_rag.operations.schedule import Schedule
from memoryscope_rag.operations.trusted_memory import TrustedMemory
from memoryscope_rag.schema import Message, Scope
from memoryscope_rag.workers.base import Services

_log = logging.getLogger(__name__)

TURN_S = 20.0
"""Seconds of a refresh on schedule, after which other scopes have their turn."""


class Backend:
    """What happens behind the chat. All methods belong to the application's event loop.

    Between :meth:`start` and :meth:`stop` it happens in ``process``, where there is one: whoever
    asks for a single job waits for it anyway, and starting a process would only add to that.
    """

    def __init__(
        self,
        services: Services,
        config: Config,
        foreground: Foreground,
        process: JobProcess | None = None,
    ) -> None:
        if services.embedder is not None:
            embedder = BackgroundEmbedder(services.embedder, foreground)
            services = replace(services, embedder=embedder)
        self._services = services
        self._config = config
        self._own = OwnJobs(services, config)
        self._process = process
        self._closing = False
        self._looking: asyncio.Task[None] | None = None
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

    @property
    def place(self) -> str:
        """Which process works in the background, for people."""
        if self._process is None:
            reason = reason_to_share(self._config) or "it alone has all the parts"
            return f"this process: {reason}"
        pid = self._process.pid
        return f"a process of its own, {'started when needed' if pid is None else pid}"

    def recorded(self, scope: Scope, messages: Sequence[Message]) -> None:
        """``messages`` are new in ``scope`` and pending, and no beacon memory has read them."""
        if messages:
            tokens = 0
            if self._services.memory is not None:
                tokens = sum(estimate_tokens(message.content) for message in messages)
            self._schedule.noticed(scope, len(messages), tokens)

    def pending_again(self, scope: Scope, messages: int) -> None:
        """So many messages are pending in ``scope`` that were recorded before."""
        if messages:
            self._schedule.noticed(scope, messages)

    def refresh_soon(self, scope: Scope) -> None:
        """The beacon memory of ``scope`` is behind the log, or holds what that does not."""
        self._schedule.refresh_soon(scope)

    async def consolidate(self, scope: Scope) -> ConsolidationReport:
        """Turn what is pending in ``scope`` into observations."""
        return await (await self._jobs()).consolidate(scope)

    async def reflect(self, scope: Scope) -> ReflectionReport:
        """Bring the insights of ``scope`` up to date."""
        return await (await self._jobs()).reflect(scope)

    async def refresh(self, scope: Scope, *, progress: Progress | None = None) -> RefreshReport:
        """Let the beacon memory of ``scope`` read what it does not cover."""
        return await (await self._jobs()).refresh(scope, progress=progress)

    async def forgotten(self, scope: Scope, *, everything: bool) -> bool:
        """Take what was forgotten out of the beacon memory; whether no file of it holds it now."""
        memory = self._services.memory
        try:
            await self._break_off(scope)  # it may be reading what was forgotten
            if memory is None:  # any more
                remove_left_memory(self._config.memory_folder, scope)
            elif everything:
                await memory.drop(scope)
            else:
                await self._withdraw(scope)
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
        if self._process is not None:
            await self._process.close(wait=wait)

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
        they did so in the background: a model is not opened for the sake of closing, nor is a
        process started.
        """
        self._closing = True
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
        report = await (await self._jobs()).refresh(scope, seconds=TURN_S)
        if report.failed:
            _log.warning("a beacon memory was not refreshed: %s", report.failed)
        again = report.busy or report.failed is not None
        return Outcome(again=again, more=not again and report.left > 0)

    async def _jobs(self) -> Jobs:
        """Whoever does the next job. Raises what starting a process raises."""
        process = self._process
        if process is None or not self._schedule.running:
            return self._own
        if process.running or (not self._closing and await process.start()):
            return process
        return self._own

    async def _break_off(self, scope: Scope) -> None:
        await self._own.break_off(scope)
        if self._process is not None and self._process.running:
            with contextlib.suppress(StoreUnavailable):  # it has ended, and reads nothing more
                await self._process.break_off(scope)

    async def _withdraw(self, scope: Scope) -> None:
        """Where the model is open: opening it takes longer than forgetting waits."""
        memory = self._services.memory
        if self._process is not None and self._process.running:
            with contextlib.suppress(StoreError):  # then it is done here
                await self._process.withdraw(scope)
                if isinstance(memory, TrustedMemory):
                    memory.let_go(scope)
                return
        await self._own.withdraw(scope)

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
