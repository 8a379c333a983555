"""Reflect: observations become insights, subject by subject, one commit a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from memoryscope_rag.errors import (
    LeaseLost,
    MalformedReply,
    ModelError,
    StoreUnavailable,
    UnknownId,
)
from memoryscope_rag.models.counted import CountedGenerator
from memoryscope_rag.operations.base import Operation, StageSpec, WorkerClass, load_operation
from memoryscope_rag.operations.leases import held
from memoryscope_rag.ports import Changes, Lease, MemoryStore, NodeFilter, Usage
from memoryscope_rag.schema import Kind, MemoryNode, Scope
from memoryscope_rag.workers.backend import BACKEND, ReflectionState
from memoryscope_rag.workers.backend.ground import resting
from memoryscope_rag.workers.backend.settle import is_open
from memoryscope_rag.workers.backend.state import Action
from memoryscope_rag.workers.base import Deadline, Services

LEASE = "reflect"
FACTS: frozenset[Kind] = frozenset({"observation", "note"})
INSIGHTS: frozenset[Kind] = frozenset({"insight"})
PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectionOptions:
    """When a run looks for new subjects, and how much it may do.

    ``threshold`` fresh facts make it look; what bears on a subject that is known is taken in
    however little it is. ``batch`` bounds the fresh facts of a run, the oldest ones. ``subjects``
    is how many it begins at most (0: any number), ``calls`` how often it asks a model for values.
    ``long_range`` holds fresh facts once more against older ones. ``lease_seconds`` is how long a
    process that died keeps others from its scope.
    """

    threshold: int = 6
    batch: int = 50
    subjects: int = 3
    calls: int = 4
    long_range: bool = True
    lease_seconds: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectionReport:
    """What a run did. ``busy``: another process has the scope, or has taken it over.

    ``looked_at`` counts the fresh facts that were read, ``left`` those of them that are fresh
    still: they wait for further ones, or for a run that can ask about all their subjects.
    ``proposed`` names the new subjects, ``updated`` counts insights that were begun or changed,
    ``closed`` those that hold no more. ``failures`` are reasons, without any content. ``again``
    says that another run would get on at once. ``calls`` and ``usage`` are those of the language
    model, failures included.
    """

    busy: bool = False
    looked_at: int = 0
    proposed: tuple[str, ...] = ()
    updated: int = 0
    closed: int = 0
    left: int = 0
    actions: tuple[Action, ...] = ()
    failures: tuple[str, ...] = ()
    again: bool = False
    calls: int = 0
    usage: Usage = Usage()


def build_reflect(
    services: Services,
    stages: Sequence[StageSpec] | Path | None = None,
    *,
    extra: Mapping[str, WorkerClass] | None = None,
) -> Operation[ReflectionState]:
    """The reflect operation: one from a YAML file, one given as stages, or the default one.

    The default one asks the generator of ``services``, and works by rules where there is none.
    ``extra`` adds worker classes by name to ours and to those of installed packages.
    """
    by_rules = services.generator is None
    return load_operation(
        "reflect",
        ReflectionState,
        stages,
        default="reflect_by_rules.yaml" if by_rules else "reflect.yaml",
        ours=BACKEND,
        extra=extra,
        services=services,
        gives="changes",
    )


async def reflect(
    services: Services,
    scope: Scope,
    *,
    operation: Operation[ReflectionState],
    options: ReflectionOptions = ReflectionOptions(),
    now: datetime,
    owner: str = "reflect",
) -> ReflectionReport:
    """Look for new subjects in the fresh facts of ``scope``, and bring its insights up to date.

    ``now`` is in the user's time zone. What could not be done is in the report, and what it would
    have used up is fresh still.

    Raises:
        StoreError: the store failed; nothing was done.
    """
    async with held(services.store, scope, LEASE, owner, options.lease_seconds) as lease:
        if lease is None:
            return ReflectionReport(busy=True)
        state = await _given(services.store, scope, options, now)
        if not _worthwhile(state):
            return ReflectionReport(looked_at=len(state.fresh), left=len(state.fresh))
        counted = None if services.generator is None else CountedGenerator(services.generator)
        if counted is not None:
            operation = operation.lend(replace(services, generator=counted))
        report = await _run(services.store, operation, state, lease)
        if counted is not None:
            report = replace(report, calls=counted.calls, usage=counted.usage)
        return report


async def _run(
    store: MemoryStore, operation: Operation[ReflectionState], state: ReflectionState, lease: Lease
) -> ReflectionReport:
    looked_at = len(state.fresh)
    failed = ReflectionReport(looked_at=looked_at, left=looked_at, again=True)
    try:
        state, _, _ = await operation.run(state, Deadline())
    except (ModelError, MalformedReply, TimeoutError) as error:
        return replace(failed, failures=(_reason(error),))
    assert state.changes is not None  # checked when the operation was built
    try:
        if not _empty(state.changes):
            await store.commit(state.scope, state.changes, lease)
    except LeaseLost as error:
        return replace(failed, busy=True, failures=(_reason(error),))
    except (UnknownId, StoreUnavailable) as error:
        # forgotten, or changed by somebody else, while the model was thinking
        return replace(failed, failures=(_reason(error),))
    done = set(state.done)
    left = [fact for fact in state.fresh if fact.id not in done]
    # subjects were found up to the limit, so there may be more of them
    capped = bool(state.subjects) and not state.considered and len(left) >= state.threshold
    unsettled = state.relevant.keys() - set(state.settled)
    insights = {node.id for node in state.insights}
    return ReflectionReport(
        looked_at=looked_at,
        proposed=tuple(
            update.subject.name
            for update in state.updates
            if update.subject.insight is None and update.evidence
        ),
        updated=sum(
            action.did in ("added", "updated")
            or (action.did == "merged" and action.node in insights)
            for action in state.actions
        ),
        closed=sum(a.did == "closed" and a.node in insights for a in state.actions),
        left=len(left),
        actions=state.actions,
        failures=state.failures,
        again=bool(state.failures or unsettled) or capped,
    )


async def _given(
    store: MemoryStore, scope: Scope, options: ReflectionOptions, now: datetime
) -> ReflectionState:
    """What the operation hands to its workers."""
    page = await store.list_nodes(
        scope, NodeFilter(kinds=FACTS, reflected=False), limit=options.batch
    )
    insights: list[MemoryNode] = []
    cursor: str | None = None
    while True:
        part = await store.list_nodes(scope, NodeFilter(kinds=INSIGHTS), cursor=cursor, limit=PAGE)
        insights += part.items
        cursor = part.cursor
        if cursor is None:
            break
    return ReflectionState(
        scope=scope,
        now=now,
        fresh=page.items,
        insights=tuple(insights),
        evidence=await _evidence(store, scope, insights, now),
        threshold=options.threshold,
        proposals=options.subjects,
        calls=options.calls,
        long_range=options.long_range,
    )


async def _evidence(
    store: MemoryStore, scope: Scope, insights: Sequence[MemoryNode], now: datetime
) -> tuple[MemoryNode, ...]:
    """What the insights rest on and, in place of what is closed, what superseded it."""
    found: dict[str, MemoryNode] = {}
    wanted = {name for insight in insights for name in insight.provenance}
    while wanted:
        nodes = await store.nodes(scope, sorted(wanted))
        found.update((node.id, node) for node in nodes)
        following = {
            node.superseded_by
            for node in nodes
            if node.superseded_by is not None and not is_open(node, now)
        }
        wanted = following - found.keys() - wanted
    return tuple(found.values())


def _worthwhile(state: ReflectionState) -> bool:
    """Whether there is anything to do: enough facts, or insights that some may bear on."""
    if len(state.fresh) >= state.threshold or (state.fresh and state.insights):
        return True
    facts = {fact.id: fact for fact in state.evidence}
    return any(resting(facts, insight, state.now)[1] for insight in state.insights)


def _empty(changes: Changes) -> bool:
    return not (changes.add or changes.update or changes.reflected)


def _reason(error: Exception) -> str:
    """Why, in words that quote no memory: messages of our errors never do."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
