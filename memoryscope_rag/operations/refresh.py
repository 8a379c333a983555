"""Refresh: the beacon memory of a scope follows the log, step by step, each step in one commit.

What is done when a process dies, or a caller does not want to wait any more, is done; the next run
goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from memoryscope_rag.errors import InvalidInput, ModelError, StoreCorrupt
from memoryscope_rag.operations.base import Operation, StageSpec, WorkerClass, load_operation
from memoryscope_rag.operations.leases import held
from memoryscope_rag.operations.scope_work import ScopeWork
from memoryscope_rag.ports import Coverage, Lease, MemoryStore
from memoryscope_rag.schema import Scope
from memoryscope_rag.workers.backend import BACKEND, RefreshState
from memoryscope_rag.workers.backend.agreement import agreement
from memoryscope_rag.workers.backend.extend_memory import memory_of
from memoryscope_rag.workers.base import Deadline, Services

_log = logging.getLogger(__name__)

LEASE = "refresh"
RERUNS = 3
"""How often a step is taken again because another process wrote the memory at the same time."""
LAST = 2**62
"""No message has a higher ``seq``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshOptions:
    """``step_tokens`` is about how much is read between two commits.

    ``seconds``: after so many the run ends with the step that it is in, ``None``: when all is read.
    ``lease_seconds`` is how long a process that died keeps others from its scope.
    """

    step_tokens: int = 1024
    seconds: float | None = None
    lease_seconds: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshReport:
    """What a run did.

    ``read`` counts messages that it read, ``covered`` those that the memory holds now and ``left``
    those of the log that it does not hold. ``tokens`` and ``bytes`` are the memory's, ``seconds``
    the run's. ``rebuilt``: something that was covered did not hold any more. ``busy``: another
    process has the scope. ``failed`` is why a model gave up; the next run goes on.
    """

    read: int = 0
    left: int = 0
    covered: int = 0
    tokens: int = 0
    bytes: int = 0
    seconds: float = 0.0
    rebuilt: bool = False
    busy: bool = False
    failed: str | None = None


def build_refresh(
    services: Services,
    stages: Sequence[StageSpec] | Path | None = None,
    *,
    extra: Mapping[str, WorkerClass] | None = None,
) -> Operation[RefreshState]:
    """The refresh operation, which is one step: the default one, or one given as stages or YAML.

    ``extra`` adds worker classes by name to ours and to those of installed packages.
    """
    return load_operation(
        "refresh",
        RefreshState,
        stages,
        default="refresh.yaml",
        ours=BACKEND,
        extra=extra,
        services=services,
        gives="after",
    )


async def refresh(
    services: Services,
    scope: Scope,
    *,
    operation: Operation[RefreshState],
    options: RefreshOptions = RefreshOptions(),
    owner: str = "refresh",
    work: ScopeWork | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RefreshReport:
    """Read what the memory of ``scope`` does not cover, until it covers all of the log.

    ``progress`` is called with the messages that are covered, and those of the log. A step that is
    broken off in ``work`` begins again with the log as it is then.

    Raises:
        ConfigError: there is no beacon memory.
        ModelNotFound: its model's files are not here.
        StoreError: the store failed, or the files of the memory; what was committed is kept.
    """
    memory, store = memory_of(services), services.store
    started = time.monotonic()
    run = _Run(services, scope, operation, options, work or ScopeWork(), progress)
    async with held(store, scope, LEASE, owner, options.lease_seconds) as lease:
        if lease is None:
            run.busy = True
        else:
            await run.all(lease)
    coverage = await memory.coverage(scope)
    covered = len(coverage.message_ids)
    return RefreshReport(
        read=run.read,
        left=max(0, await store.count(scope, LAST) - covered),
        covered=covered,
        tokens=coverage.tokens,
        bytes=coverage.bytes,
        seconds=time.monotonic() - started,
        rebuilt=run.rebuilt,
        busy=run.busy,
        failed=run.failed,
    )


class _Run:
    """One call of :func:`refresh`: what it has done so far."""

    def __init__(
        self,
        services: Services,
        scope: Scope,
        operation: Operation[RefreshState],
        options: RefreshOptions,
        work: ScopeWork,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._store: MemoryStore = services.store
        self._scope = scope
        self._operation = operation
        self._options = options
        self._work = work
        self._progress = progress
        self.read = 0
        self.rebuilt = False
        self.busy = False
        self.failed: str | None = None

    async def all(self, lease: Lease) -> None:
        """Step after step; the last one finds that there is nothing to do."""
        seconds = self._options.seconds
        until = None if seconds is None else time.monotonic() + seconds
        reruns = 0
        while until is None or time.monotonic() < until:
            if await self._lost(lease):
                self.busy = True
                return
            first = RefreshState(scope=self._scope, step_tokens=self._options.step_tokens)
            try:
                done = await self._work.run(self._scope, self._operation.run(first, Deadline()))
            except InvalidInput:  # another process wrote between the two workers
                reruns += 1
                if reruns > RERUNS:
                    raise
                continue
            except ModelError as error:
                self.failed = f"{type(error).__name__}: {error}"
                return
            if done is None:  # something was forgotten, which this step may have been reading
                continue
            reruns = 0
            state = done[0]
            if await self._took(state):
                return

    async def _lost(self, lease: Lease) -> bool:
        """Whether another process has taken the scope over: the files know no lease."""
        now = await self._store.acquire(
            self._scope, LEASE, lease.owner, self._options.lease_seconds
        )
        if now is not None and now.token != lease.token:
            await self._store.release(now)
            return True
        return now is None

    async def _took(self, state: RefreshState) -> bool:
        """Put a step down; whether there was nothing to do."""
        before = state.before.message_ids
        self.read += len(state.messages)
        self.rebuilt = self.rebuilt or state.keep < len(before)
        if self._progress is not None:
            total = await self._store.count(self._scope, LAST)
            covered = len((state.after or Coverage()).message_ids)
            self._progress(min(covered, total), total)
        return not state.messages and state.keep == len(before)


async def withdraw(services: Services, scope: Scope, *, patience_s: float) -> None:
    """Take out of the memory of ``scope`` what the log does not hold, and what comes after that.

    When that takes a model longer than ``patience_s``, or fails, the memory is removed: it can be
    made anew from the log, whereas what was forgotten must not stay.

    Raises:
        StoreError: the log cannot be read, or files cannot be removed.
    """
    memory = memory_of(services)
    try:
        async with asyncio.timeout(patience_s):
            coverage = await memory.coverage(scope)
            agreed = await agreement(services.store, scope, coverage.message_ids)
            if agreed.count or not coverage.message_ids:
                # also where all is kept: what was forgotten may lie in another model's memory
                await memory.write(scope, (), keep=agreed.count)
                return
    except (TimeoutError, ModelError, StoreCorrupt, InvalidInput) as error:
        _log.warning("a beacon memory is made anew after forgetting: %s", type(error).__name__)
    await memory.drop(scope)
