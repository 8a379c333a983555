"""store_observations: facts and verdicts as changes of the store, newest said wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from memoryscope_rag.ports import Changes
from memoryscope_rag.schema import MemoryNode
from memoryscope_rag.workers.backend.facts import observation_of
from memoryscope_rag.workers.backend.settle import closed
from memoryscope_rag.workers.backend.state import (
    Action,
    ConsolidationState,
    Fact,
    Relation,
    Verdict,
)
from memoryscope_rag.workers.base import Worker
from memoryscope_rag.workers.indexed import index_facts

_CONVERSE: Mapping[Relation, Relation] = {
    "repeated": "contained",
    "contained": "repeated",
    "contradicted": "contradicted",
    "compatible": "compatible",
}
"""What a relation is when the other of the two is taken for the newer."""


@dataclass(slots=True)
class _Draft:
    """A node as this run leaves it; ``stored`` is what the store holds, ``None`` for a new one."""

    node: MemoryNode
    stored: MemoryNode | None = None

    @property
    def open(self) -> bool:
        return self.node.valid_to is None


class StoreObservations(Worker[ConsolidationState]):
    """Makes one set of changes of a batch: observations added, merged and closed, messages done.

    Facts are dealt with in the order in which they were said. A repetition lends its messages to
    the older node and is not stored; an observation that is contained or contradicted is closed
    when the newer was said, and names it. When messages come late, a fact that what is known has
    overtaken already is stored as closed. A note that is repeated stays as its author wrote it.
    """

    name = "store_observations"
    reads = frozenset({"scope", "messages", "facts", "verdicts"})
    uses = frozenset({"neighbours"})
    gives = frozenset({"changes", "actions"})

    async def run(self, state: ConsolidationState) -> ConsolidationState:
        """Give ``changes``, which conclude all ``messages``, and ``actions``."""
        store = self.services.store
        wanted = dict.fromkeys(
            [fact.id for fact in state.facts] + [verdict.older for verdict in state.verdicts]
        )
        known = {node.id: node for node in await store.nodes(state.scope, list(wanted))}
        board = _Board(known)
        facts = sorted(state.facts, key=lambda fact: (fact.said_at, fact.seq))
        place = {fact.id: number for number, fact in enumerate(facts)}
        by_fact: dict[str, list[Verdict]] = {}
        for verdict in state.verdicts:
            if place.get(verdict.older, -1) > place.get(verdict.newer, -1):
                verdict = Verdict(verdict.older, verdict.newer, _CONVERSE[verdict.relation])
            by_fact.setdefault(verdict.newer, []).append(verdict)
        for fact in facts:
            board.take(fact, _nearest_first(fact, by_fact.get(fact.id, ()), state.neighbours))
        added = [draft.node for draft in board.drafts.values() if draft.stored is None]
        changed = [
            (draft.node, draft.stored.version)
            for draft in board.drafts.values()
            if draft.stored is not None and draft.node != draft.stored
        ]
        indexed = await index_facts(
            self.services.embedder, [*added, *(node for node, _ in changed)]
        )
        changes = Changes(
            add=indexed[: len(added)],
            update=tuple(
                zip(indexed[len(added) :], (version for _, version in changed), strict=True)
            ),
            consolidated=tuple(message.id for message in state.messages),
        )
        return replace(state, changes=changes, actions=tuple(board.actions))


def _nearest_first(
    fact: Fact, verdicts: Iterable[Verdict], neighbours: Mapping[str, tuple[MemoryNode, ...]]
) -> Sequence[Verdict]:
    order = {node.id: place for place, node in enumerate(neighbours.get(fact.id, ()))}
    return sorted(verdicts, key=lambda verdict: order.get(verdict.older, len(order)))


class _Board:
    """The nodes that a run touches, while its facts are taken up one by one."""

    def __init__(self, known: Mapping[str, MemoryNode]) -> None:
        self.drafts = {name: _Draft(node, node) for name, node in known.items()}
        self.actions: list[Action] = []
        self._merged: dict[str, str] = {}

    def take(self, fact: Fact, verdicts: Sequence[Verdict]) -> None:
        """Take up one fact with what was found about it."""
        if fact.id in self.drafts:  # an earlier run has stored it
            return
        related = [
            (verdict, draft)
            for verdict in verdicts
            if (draft := self._draft(verdict.older)) is not None and draft.open
        ]
        repeated = next((draft for v, draft in related if v.relation == "repeated"), None)
        if repeated is not None:
            self._merge(fact, repeated)
            mine = repeated
        else:
            mine = self.drafts[fact.id] = _Draft(observation_of(fact))
            self.actions.append(Action("added", fact.id, fact.content))
        for verdict, other in related:
            if other is not mine and verdict.relation in ("contained", "contradicted"):
                self._settle(fact, mine, other, verdict)

    def _draft(self, name: str) -> _Draft | None:
        return self.drafts.get(self._merged.get(name, name))

    def _merge(self, fact: Fact, into: _Draft) -> None:
        self._merged[fact.id] = into.node.id
        if into.node.kind == "observation":
            # a note must not rest on messages: it would be forgotten with them
            sources = dict.fromkeys((*into.node.provenance, *fact.sources))
            into.node = into.node.with_(
                provenance=tuple(sources), event=into.node.event or fact.event
            )
        self.actions.append(Action("merged", into.node.id, into.node.content, "repeated"))

    def _settle(self, fact: Fact, mine: _Draft, other: _Draft, verdict: Verdict) -> None:
        """Close the one of the two that is not believed any more."""
        older, newer = other, mine
        late = verdict.relation == "contradicted" and other.node.said_at > fact.said_at
        if late:
            if mine.stored is not None:  # said again elsewhere, so it is not for this fact to close
                return
            older, newer = mine, other
        until = max(older.node.said_at, newer.node.said_at if late else fact.said_at)
        if older.node.valid_to is not None and older.node.valid_to <= until:
            return
        older.node = closed(older.node, until, newer.node, verdict.relation)
        self.actions.append(Action("closed", older.node.id, older.node.content, verdict.relation))
