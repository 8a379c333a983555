"""Consolidate: pending messages become observations, batch by batch, each batch in one commit.

A batch that fails costs its messages an attempt and nothing else. The more attempts a message has
behind it, the smaller the batches that it is in, and its last attempt it has alone: so a message
that no run survives is parked by itself, and its neighbours are not.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from memoryscope_rag import indexing, lexical
from memoryscope_rag.errors import (
    BudgetExceeded,
    DuplicateId,
    LeaseLost,
    MalformedReply,
    ModelError,
    StoreUnavailable,
    UnknownId,
)
from memoryscope_rag.models.counted import CountedGenerator
from memoryscope_rag.operations.base import Operation, StageSpec, WorkerClass, load_operation
from memoryscope_rag.operations.leases import held
from memoryscope_rag.ports import Changes, Lease, MemoryStore, Usage
from memoryscope_rag.schema import Message, Scope
from memoryscope_rag.workers.backend import BACKEND, ConsolidationState
from memoryscope_rag.workers.backend.state import Action
from memoryscope_rag.workers.base import Deadline, Services

_log = logging.getLogger(__name__)

LEASE = "consolidate"
FAILURES_IN_A_ROW = 3
"""Malformed replies, one batch after the other, after which a model is given a rest."""
RERUNS = 2
"""How often a batch is run again because the memory changed under it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolidationOptions:
    """How much goes into one run of the operation, and how often a message may fail.

    ``batch_tokens`` counts messages of users whole and others as context; one longer message is a
    batch of its own. ``context_turns`` are the turns before it that each session of a batch brings
    along. ``attempts`` is how many failures park a message. ``lease_seconds`` is how long a
    process that died keeps others from its scope.
    """

    batch_tokens: int = 1500
    batch_messages: int = 20
    context_turns: int = 4
    attempts: int = 5
    lease_seconds: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolidationReport:
    """What a run did. ``busy``: another process has the scope, the rest is left to it.

    ``messages`` counts those taken up, ``consolidated`` those that are done with; ``parked`` and
    ``failed`` give the reason by message id, and the failed ones are pending still. ``calls`` and
    ``usage`` are those of the language model, failures included.
    """

    busy: bool = False
    messages: int = 0
    consolidated: int = 0
    parked: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    actions: tuple[Action, ...] = ()
    batches: int = 0
    calls: int = 0
    usage: Usage = field(default_factory=Usage)


def build_consolidate(
    services: Services,
    stages: Sequence[StageSpec] | Path | None = None,
    *,
    extra: Mapping[str, WorkerClass] | None = None,
) -> Operation[ConsolidationState]:
    """The consolidate operation: one from a YAML file, one given as stages, or the default one.

    The default one asks the generator of ``services``, and works by rules where there is none.
    ``extra`` adds worker classes by name to ours and to those of installed packages.
    """
    by_rules = services.generator is None
    return load_operation(
        "consolidate",
        ConsolidationState,
        stages,
        default="consolidate_by_rules.yaml" if by_rules else "consolidate.yaml",
        ours=BACKEND,
        extra=extra,
        services=services,
        gives="changes",
    )


async def consolidate(
    services: Services,
    scope: Scope,
    *,
    operation: Operation[ConsolidationState],
    options: ConsolidationOptions = ConsolidationOptions(),
    now: datetime,
    owner: str = "consolidate",
) -> ConsolidationReport:
    """Consolidate what is pending in ``scope``, oldest first, until nothing is or a model fails.

    ``now`` is in the user's time zone. Failures of models are in the report.

    Raises:
        StoreError: the store failed; what was committed before is done, the rest is pending.
    """
    store = services.store
    async with held(store, scope, LEASE, owner, options.lease_seconds) as lease:
        if lease is None:
            return ConsolidationReport(busy=True)
        counted = None if services.generator is None else CountedGenerator(services.generator)
        if counted is not None:
            operation = operation.lend(replace(services, generator=counted))
        run = _Run(store, scope, operation, options, now, lease)
        await run.all()
        return run.report(counted)


class _Run:
    """One call of :func:`consolidate`: what it has done so far."""

    def __init__(
        self,
        store: MemoryStore,
        scope: Scope,
        operation: Operation[ConsolidationState],
        options: ConsolidationOptions,
        now: datetime,
        lease: Lease,
    ) -> None:
        self._store = store
        self._scope = scope
        self._operation = operation
        self._options = options
        self._now = now
        self._lease = lease
        self._taken: set[str] = set()
        self._done: set[str] = set()
        self._parked: dict[str, str] = {}
        self._failed: dict[str, str] = {}
        self._left: set[str] = set()
        self._most: dict[str, int] = {}
        self._actions: list[Action] = []
        self._batches = 0
        self._lost = False

    def report(self, counted: CountedGenerator | None) -> ConsolidationReport:
        """What became of it all."""
        return ConsolidationReport(
            busy=self._lost,
            messages=len(self._taken),
            consolidated=len(self._done),
            parked=self._parked,
            failed=self._failed,
            actions=tuple(self._actions),
            batches=self._batches,
            calls=0 if counted is None else counted.calls,
            usage=Usage() if counted is None else counted.usage,
        )

    async def all(self) -> None:
        """Batch after batch."""
        failures = reruns = 0
        try:
            while batch := await self._next():
                try:
                    state = await self._attempt(batch)
                except MalformedReply as error:
                    failures += 1
                    await self._fail(batch, error)
                    if failures == FAILURES_IN_A_ROW:
                        return
                    half = len(batch) // 2
                    if half == 0:
                        self._left.add(batch[0].id)
                    self._most.update((message.id, half) for message in batch)
                    continue
                except (ModelError, TimeoutError) as error:
                    # an overloaded or misconfigured server: more calls now would not help
                    await self._fail(batch, error)
                    return
                failures = 0
                changes = state.changes
                assert changes is not None  # checked when the operation was built
                try:
                    await self._store.commit(self._scope, changes, self._lease)
                except (UnknownId, DuplicateId, StoreUnavailable):
                    # forgotten, or changed by somebody else, while the model was thinking
                    reruns += 1
                    if reruns > RERUNS:
                        raise
                    continue
                reruns = 0
                self._concluded(batch, changes)
                self._actions += state.actions
        except LeaseLost:
            _log.warning("consolidation stopped: its lease went to another process")
            self._lost = True

    def _concluded(self, batch: Sequence[Message], changes: Changes) -> None:
        done = set(changes.consolidated)
        for name in (message.id for message in batch):
            self._failed.pop(name, None)
            if name in done:
                self._done.add(name)
            elif name in changes.parked:
                self._parked[name] = changes.parked[name]
            else:  # an operation of one's own may leave some for another run, but not for ever
                self._left.add(name)
                self._failed[name] = changes.failed.get(name, "left by the operation")

    async def _attempt(self, batch: Sequence[Message]) -> ConsolidationState:
        self._batches += 1
        self._taken.update(message.id for message in batch)
        state, _, _ = await self._operation.run(
            ConsolidationState(
                scope=self._scope,
                now=self._now,
                messages=tuple(batch),
                before=await self._before(batch),
            ),
            Deadline(),
        )
        return state

    async def _next(self) -> list[Message]:
        """The first pending messages that make a batch; none when nothing is left to do."""
        options = self._options
        found = await self._store.messages(
            self._scope, state="pending", limit=options.batch_messages + len(self._left)
        )
        batch: list[Message] = []
        tokens, most = 0, options.batch_messages
        for message in found:
            if message.id in self._left:
                continue
            most = min(most, self._size(message))
            tokens += _tokens(message)
            if batch and (len(batch) >= most or tokens > options.batch_tokens):
                break
            batch.append(message)
        return batch

    def _size(self, message: Message) -> int:
        """Most messages in a batch that holds ``message``, which may have failed before."""
        if message.attempts >= self._options.attempts - 1:
            return 1
        # a first failure is mostly the server's and says nothing about the batch
        size = self._options.batch_messages >> max(0, message.attempts - 1)
        return max(1, min(size, self._most.get(message.id, size)))

    async def _before(self, batch: Sequence[Message]) -> tuple[Message, ...]:
        """The turns right before the batch in each of its sessions, by ``seq``."""
        first: dict[str, int] = {}
        for message in batch:
            first.setdefault(message.session_id, message.seq)
        around = await self._store.around(
            self._scope, list(first.values()), self._options.context_turns, 0
        )
        turns = {turn.seq: turn for before, _ in around.values() for turn in before}
        return tuple(turns[seq] for seq in sorted(turns))

    async def _fail(self, batch: Sequence[Message], error: Exception) -> None:
        reason = _reason(error)
        if isinstance(error, BudgetExceeded):  # nothing was tried
            self._failed.update((message.id, reason) for message in batch)
            return
        # some may have been forgotten while the model was thinking
        here = await self._store.get_messages(self._scope, [message.id for message in batch])
        last = self._options.attempts - 1
        parked = {message.id: reason for message in here if message.attempts >= last}
        failed = {message.id: reason for message in here if message.attempts < last}
        try:
            await self._store.commit(
                self._scope, Changes(parked=parked, failed=failed), self._lease
            )
        except UnknownId:  # or right now: the others are pending still, without this attempt
            return
        for name in parked:
            self._failed.pop(name, None)
        self._parked.update(parked)
        self._failed.update(failed)


def _reason(error: Exception) -> str:
    """Why, in words that quote no memory: messages of our errors never do."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _tokens(message: Message) -> int:
    content = message.content
    if message.role != "user":
        content = content[: indexing.CONTEXT_CHARS]
    return lexical.estimate_tokens(content)
