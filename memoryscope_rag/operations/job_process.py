"""Background work in a process of its own: whether there is one, and when it is started and ended.

Consolidation is Python, and so is retrieval: in one process they take turns at the interpreter
lock, and whoever asks waits for whoever learns. In two, the one that learns stands back.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from memoryscope_rag.configs.model import Config, RerankerConfig
from memoryscope_rag.errors import StoreError, StoreUnavailable
from memoryscope_rag.models.ledger import Ledger
from memoryscope_rag.operations.consolidate import ConsolidationReport
from memoryscope_rag.operations.jobs import Progress
from memoryscope_rag.operations.reflect import ReflectionReport
from memoryscope_rag.operations.refresh import RefreshReport
from memoryscope_rag.ports import Lease
from memoryscope_rag.schema import Scope

if TYPE_CHECKING:
    from memoryscope_rag.operations.job_channel import Channel
    from memoryscope_rag.operations.job_lines import Job

_log = logging.getLogger(__name__)

IDLE_S: Final = 300.0
"""After so long with nothing to do the process is ended, which gives back its memory."""


def reason_to_share(config: Config) -> str | None:
    """Why background work stays in the application's process; ``None``: it has one of its own."""
    wanted = config.schedule.process
    if wanted == "shared":
        return "schedule.process says so"
    if not sys.executable or getattr(sys, "frozen", False):
        return "there is no Python interpreter to start"
    if wanted == "own":
        return None
    if config.generator.provider == "transformers":
        return "a local chat model would be loaded twice"
    if config.memory.model is not None and config.memory.device != "cpu":
        return f"the model of the beacon memory would be on {config.memory.device} twice"
    if config.generator.budget is not None:
        return "generator.budget is counted in one process"
    return None


class JobProcess:
    """The :class:`~memoryscope_rag.operations.jobs.Jobs` of a process that opens the store itself.

    It is started by :meth:`start`, ends after :data:`IDLE_S` with nothing to do, and never
    outlives the application, not even one that is killed. When it dies, what it was at fails and
    is pending still, and the leases that it held are given back before another is started. It
    belongs to one event loop.

    Args:
        config: names all the parts that are needed; relative paths begin in the folder that is
            current when this is made.
        ledger: what models take in the process is counted here.
        release: gives back a lease of the store; harmless for one that was lost.
    """

    def __init__(
        self, config: Config, ledger: Ledger, release: Callable[[Lease], Awaitable[None]]
    ) -> None:
        self._config = _for_jobs(config)
        self._release = release
        self._folder: Path | None = None
        with suppress(OSError):  # it was removed: no relative path leads anywhere
            self._folder = Path.cwd()
        self._ledger = ledger
        self._channel: Channel | None = None
        self._impossible = False
        self._starting = asyncio.Lock()
        self._rest: asyncio.TimerHandle | None = None
        self._resting: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process that runs, if one does."""
        return self._channel.pid if self._channel is not None and self.running else None

    @property
    def running(self) -> bool:
        """Whether it takes jobs at this moment."""
        return self._channel is not None and not self._channel.ended

    async def start(self) -> bool:
        """Have a process run that takes jobs; whether there can be one on this machine.

        Raises MemoryScopeError: the store or a model cannot be opened there.
        """
        from memoryscope_rag.operations.job_channel import Channel, NotStarted

        async with self._starting:
            if self._impossible or self.running:
                return not self._impossible
            if self._channel is not None:  # to one that has died
                await self._end(self._channel)
            try:
                self._channel = await Channel.open(self._config, self._folder, self._ledger)
            except NotStarted as error:
                self._impossible = True
                _log.warning("there is no background process, its work is done here: %s", error)
        return not self._impossible

    async def consolidate(self, scope: Scope) -> ConsolidationReport:
        """See :class:`~memoryscope_rag.operations.jobs.Jobs`."""
        report: ConsolidationReport = await self._do("consolidate", scope)
        return report

    async def reflect(self, scope: Scope) -> ReflectionReport:
        """See :class:`~memoryscope_rag.operations.jobs.Jobs`."""
        report: ReflectionReport = await self._do("reflect", scope)
        return report

    async def refresh(
        self, scope: Scope, *, seconds: float | None = None, progress: Progress | None = None
    ) -> RefreshReport:
        """See :class:`~memoryscope_rag.operations.jobs.Jobs`."""
        report: RefreshReport = await self._do("refresh", scope, seconds, progress)
        return report

    async def break_off(self, scope: Scope) -> None:
        """See :class:`~memoryscope_rag.operations.jobs.Jobs`."""
        await self._do("break_off", scope)

    async def withdraw(self, scope: Scope) -> None:
        """See :class:`~memoryscope_rag.operations.jobs.Jobs`."""
        await self._do("withdraw", scope)

    async def close(self, *, wait: bool = False) -> None:
        """End the process, which hands back what it is at, or with ``wait`` finishes that first.

        :meth:`start` begins another.
        """
        self._wake()
        channel, self._channel = self._channel, None
        if channel is not None:
            if wait:
                await channel.finished()
            await self._end(channel)
        if self._resting is not None:
            await self._resting

    async def _do(
        self,
        job: Job,
        scope: Scope,
        seconds: float | None = None,
        progress: Progress | None = None,
    ) -> Any:
        channel = self._channel
        if channel is None:
            raise StoreUnavailable("there is no background process; what was pending is so still")
        self._wake()
        try:
            return await channel.do(job, scope, seconds, progress)
        finally:
            if channel is self._channel and channel.idle:
                self._wake()
                self._rest = asyncio.get_running_loop().call_later(IDLE_S, self._go_to_rest)

    async def _end(self, channel: Channel) -> None:
        """Have the process end, and give back what it was killed with: nobody else is told."""
        await channel.close()
        for lease in channel.leases:
            with suppress(StoreError):  # then it runs out
                await self._release(lease)

    def _wake(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _go_to_rest(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            self._resting = asyncio.create_task(self._end(channel))


def _for_jobs(config: Config) -> Config:
    """Without what only answers need, and with one thread where there would be one a core."""
    store = config.store
    if store.provider == "elasticsearch":  # the application's outbox is its own
        cluster = store.elasticsearch.model_copy(update={"outbox": False})
        store = store.model_copy(update={"elasticsearch": cluster})
    embedder = config.embedder.model_copy(update={"threads": config.embedder.threads or 1})
    return config.model_copy(
        update={"store": store, "embedder": embedder, "reranker": RerankerConfig()}
    )
