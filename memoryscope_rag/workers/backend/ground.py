"""The ground of an insight: what it rests on, what is gone, what has come in since.

A run that could not ask about all subjects of a fact leaves the fact unreflected and notes it with
the insights that it did bring up to date, so that the next run goes on where this one stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from datetime import datetime

from memoryscope_rag.schema import MemoryNode
from memoryscope_rag.workers.backend.settle import is_open
from memoryscope_rag.workers.backend.state import ReflectionState

SEEN = "seen"
"""Metadata of an insight: a line for each fact that it took in while the fact waits for others."""


def mark(fact: MemoryNode) -> str:
    """What stands for a fact in its present content. Ids hold no line ends."""
    return f"{fact.id}@{fact.version}"


def seen(insight: MemoryNode | None) -> frozenset[str]:
    """The marks of the facts that ``insight`` took in and that were fresh still."""
    marks = None if insight is None else insight.metadata.get(SEEN)
    return frozenset(marks.split("\n")) if isinstance(marks, str) else frozenset()


def untouched(state: ReflectionState) -> list[MemoryNode]:
    """The facts of ``fresh`` that no insight has taken in."""
    taken = frozenset().union(*(seen(insight) for insight in state.insights))
    return [fact for fact in state.fresh if mark(fact) not in taken]


def facts_of(state: ReflectionState) -> dict[str, MemoryNode]:
    """All facts that a run has before it, by id."""
    return {fact.id: fact for fact in (*state.evidence, *state.older, *state.fresh)}


def by_time(facts: Iterable[MemoryNode]) -> tuple[str, ...]:
    """The ids of ``facts``, each once, in the order in which they were said."""
    unique = {fact.id: fact for fact in facts}
    return tuple(sorted(unique, key=lambda name: (unique[name].said_at, unique[name].seq, name)))


def resting(
    facts: Mapping[str, MemoryNode], insight: MemoryNode, now: datetime
) -> tuple[list[MemoryNode], bool]:
    """The open facts that ``insight`` rests on, and whether any is closed or gone.

    In the place of a closed one stands what superseded it.
    """
    found: list[MemoryNode] = []
    lost = False
    for name in insight.provenance:
        fact = facts.get(name)
        passed: set[str] = set()
        while fact is not None and not is_open(fact, now):
            lost = True
            passed.add(fact.id)
            following = fact.superseded_by
            fact = None if following is None or following in passed else facts.get(following)
        if fact is None:
            lost = True
        elif fact not in found:
            found.append(fact)
    return found, lost


def to_judge(
    facts: Mapping[str, MemoryNode],
    fresh: Iterable[MemoryNode],
    insight: MemoryNode,
    near: Set[str],
    now: datetime,
) -> tuple[str, ...] | None:
    """The facts by which ``insight`` is to be judged anew; ``None`` when nothing has changed.

    ``near`` are ids of ``fresh`` that bear on it. Ids come in the order of saying.
    """
    ground, lost = resting(facts, insight, now)
    taken = seen(insight)
    new = [
        fact
        for fact in fresh
        if mark(fact) not in taken
        and is_open(fact, now)
        and (fact.id in near or fact.id in insight.provenance)
    ]
    return by_time([*ground, *new]) if new or lost else None
