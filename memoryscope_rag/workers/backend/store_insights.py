"""store_insights: values as insights, each valid for its time, and what the run concludes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from memoryscope_rag.ports import Changes
from memoryscope_rag.schema import MemoryNode, Metadata
from memoryscope_rag.workers.backend.facts import plain
from memoryscope_rag.workers.backend.ground import SEEN, facts_of, mark, seen
from memoryscope_rag.workers.backend.settle import settle
from memoryscope_rag.workers.backend.state import Action, InsightUpdate, ReflectionState
from memoryscope_rag.workers.backend.subjects import insight_id, insight_text, value_of
from memoryscope_rag.workers.base import Worker
from memoryscope_rag.workers.indexed import index_facts


class StoreInsights(Worker[ReflectionState]):
    """Makes one set of changes of a run.

    Every value of a subject is an insight of its own. A new value opens one, valid from when its
    newest evidence was said, and closes the one before at that moment, linked by
    ``superseded_by``: so a search "as of" some day finds what held then, in any store, and
    forgetting a message takes away only the values that rest on it. The same value on more
    evidence is a further version of the same node.

    A fact of ``fresh`` is done when all subjects that it bears on are settled, or when it bears on
    none and no further subject is to be found in it.
    """

    name = "store_insights"
    reads = frozenset(
        {"scope", "now", "fresh", "insights", "evidence", "considered", "relevant", "updates",
         "settled"}
    )  # fmt: skip
    uses = frozenset({"older", "verdicts"})
    gives = frozenset({"changes", "actions", "done"})

    async def run(self, state: ReflectionState) -> ReflectionState:
        """Give ``changes``, ``actions`` and ``done``."""
        facts = facts_of(state)
        settled, actions = settle(facts, state.verdicts, state.now)
        done = _done(state)
        waiting = {mark(fact) for fact in state.fresh if fact.id not in done}
        board = _Board({**facts, **settled}, state.now, waiting)
        for update in state.updates:
            board.take(update)
        # the very value on the very ground was held before, and closed: it is opened again
        again = {
            node.id: node
            for node in await self.services.store.nodes(state.scope, list(board.added))
        }
        added = [node for name, node in board.added.items() if name not in again]
        changed = [
            *((node, facts[node.id].version) for node in settled.values()),
            *board.changed.values(),
            *((node, again[name].version) for name, node in board.added.items() if name in again),
        ]
        # what keeps its content keeps its vectors
        before = {node.id: node.content for node in (*state.insights, *facts.values())}
        same = [pair for pair in changed if before.get(pair[0].id) == pair[0].content]
        other = [pair for pair in changed if before.get(pair[0].id) != pair[0].content]
        written = [*added, *(node for node, _ in other)]
        indexed = await index_facts(self.services.embedder, written)
        indexed += await index_facts(None, [node for node, _ in same])
        versions = [version for _, version in (*other, *same)]
        changes = Changes(
            add=indexed[: len(added)],
            update=tuple(zip(indexed[len(added) :], versions, strict=True)),
            reflected=tuple(done),
        )
        return replace(state, changes=changes, actions=(*actions, *board.actions), done=tuple(done))


def _done(state: ReflectionState) -> list[str]:
    open_names: set[str] = set()
    bearing: set[str] = set(state.considered)
    for name, ids in state.relevant.items():
        bearing.update(ids)
        if name not in state.settled:
            open_names.update(ids)
    return [fact.id for fact in state.fresh if fact.id in bearing - open_names]


class _Board:
    """The insights that a run touches."""

    def __init__(self, facts: Mapping[str, MemoryNode], now: datetime, waiting: set[str]) -> None:
        self._facts = facts
        self._now = now
        self._waiting = waiting
        self.added: dict[str, MemoryNode] = {}
        self.changed: dict[str, tuple[MemoryNode, int]] = {}
        self.actions: list[Action] = []

    def take(self, update: InsightUpdate) -> None:
        """Carry out one update."""
        insight = update.subject.insight
        if not update.evidence:
            if insight is not None:
                self._close_empty(insight)
            return
        evidence = [self._facts[name] for name in update.evidence if name in self._facts]
        newest = max(evidence, key=lambda fact: (fact.said_at, fact.seq))
        start = newest.valid_from or newest.said_at
        if insight is None:
            self._open(update, newest, start)
        elif plain(update.value) == plain(value_of(insight)):
            self._confirm(update, insight, newest)
        else:
            self._replace(update, insight, newest, start)

    def _open(self, update: InsightUpdate, newest: MemoryNode, start: datetime) -> MemoryNode:
        subject = update.subject
        node = MemoryNode(
            id=insight_id(subject, update.value, newest.id),
            kind="insight",
            content=insight_text(subject.who, subject.attribute, update.value),
            said_at=newest.said_at,
            provenance=update.evidence,
            # retrieval prefers what is by the person whom a question names
            speaker=newest.speaker if newest.speaker == subject.who else None,
            seq=newest.seq,
            event=newest.event,
            valid_from=start,
            metadata=self._metadata(update, {}),
        )
        self.added[node.id] = node
        self.actions.append(Action("added", node.id, node.content))
        return node

    def _confirm(self, update: InsightUpdate, insight: MemoryNode, newest: MemoryNode) -> None:
        node = insight.with_(
            provenance=update.evidence,
            said_at=newest.said_at,
            seq=newest.seq,
            event=newest.event,
            metadata=self._metadata(replace(update, value=value_of(insight)), insight.metadata),
        )
        if node != insight:
            self.changed[node.id] = (node, insight.version)
            if node.provenance != insight.provenance:
                self.actions.append(Action("merged", node.id, node.content))

    def _replace(
        self, update: InsightUpdate, insight: MemoryNode, newest: MemoryNode, start: datetime
    ) -> None:
        begun = insight.valid_from or insight.said_at
        start = min(start, self._now)  # an end in the future would leave both open
        if start <= begun:
            # nothing newer was said, we know better: what was believed until now was believed
            start = self._now
        if start <= begun:  # a history from the future: there is no time left for the old value
            node = insight.with_(
                content=insight_text(update.subject.who, update.subject.attribute, update.value),
                provenance=update.evidence,
                said_at=newest.said_at,
                seq=newest.seq,
                event=newest.event,
                metadata=self._metadata(update, insight.metadata),
            )
            self.changed[node.id] = (node, insight.version)
            self.actions.append(Action("updated", node.id, node.content))
            return
        node = self._open(update, newest, start)
        self.actions[-1] = Action("updated", node.id, node.content, f"supersedes {insight.id}")
        self._close(insight, start, "superseded", node.id)

    def _close_empty(self, insight: MemoryNode) -> None:
        ends = [
            fact.valid_to
            for name in insight.provenance
            if (fact := self._facts.get(name)) is not None and fact.valid_to is not None
        ]
        complete = len(ends) == len(set(insight.provenance))
        moment = max(ends) if ends and complete else self._now
        begun = insight.valid_from or insight.said_at
        because = "evidence closed" if complete else "evidence gone"
        self._close(insight, min(max(moment, begun), max(self._now, begun)), because, None)
        self.actions.append(Action("closed", insight.id, insight.content, because))

    def _close(
        self, insight: MemoryNode, moment: datetime, because: str, successor: str | None
    ) -> None:
        metadata = {key: value for key, value in insight.metadata.items() if key != SEEN}
        node = insight.with_(
            valid_to=moment,
            superseded_by=successor,
            metadata={**metadata, "closed_because": because},
        )
        self.changed[node.id] = (node, insight.version)

    def _metadata(self, update: InsightUpdate, before: Metadata) -> Metadata:
        """What an insight says of itself, with the facts taken in that wait for other subjects."""
        kept = {key: value for key, value in before.items() if key != SEEN}
        marks = {mark(self._facts[name]) for name in update.taken if name in self._facts}
        if update.subject.insight is not None:
            marks |= seen(update.subject.insight)
        marks &= self._waiting
        return {
            **kept,
            "subject": update.subject.who,
            "attribute": update.subject.attribute,
            "value": update.value,
            **update.origin,
            **({SEEN: "\n".join(sorted(marks))} if marks else {}),
        }
