"""propose_subjects_by_rules: attributes that facts name, and topics that several facts share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pydantic import Field

from memoryscope_rag.ports import NodeFilter
from memoryscope_rag.schema import Kind, MemoryNode, Scope
from memoryscope_rag.workers.backend.facts import plain
from memoryscope_rag.workers.backend.ground import by_time, untouched
from memoryscope_rag.workers.backend.state import ReflectionState, Subject
from memoryscope_rag.workers.backend.subjects import slot_of_fact, subject_of, who_of
from memoryscope_rag.workers.backend.topics import Topic, topics_of
from memoryscope_rag.workers.base import NoParams, Worker

FACTS: frozenset[Kind] = frozenset({"observation", "note"})
PAGE = 500


@dataclass(frozen=True, slots=True)
class _Group:
    """A subject that some facts call for."""

    subject: Subject
    facts: tuple[MemoryNode, ...]


class ProposeSubjectsByRules(Worker[ReflectionState]):
    """Groups all open facts, when enough are fresh, and proposes what no insight covers yet.

    A group has the attribute that its facts name in their metadata ("employer"), or is a topic: a
    keyword that several facts about one person share ("pottery"), so that its insight leads to all
    of them. Only groups with a fresh fact count. The largest come first.
    """

    name = "propose_subjects_by_rules"
    reads = frozenset({"scope", "fresh", "insights", "threshold"})
    gives = frozenset({"subjects", "considered", "relevant", "older"})

    class Params(NoParams):
        """``topic``: facts that make a topic. ``share``: of somebody's facts, the largest part
        that a topic may be; what most of them share tells nothing apart. ``scan``: facts that are
        looked at, the latest ones.
        """

        topic: int = Field(4, ge=2)
        share: float = Field(0.1, gt=0, le=1)
        scan: int = Field(5000, ge=1)

    params: Params

    async def run(self, state: ReflectionState) -> ReflectionState:
        """Give the new ``subjects``, what is ``relevant`` to them, and their ``older`` facts."""
        fresh = untouched(state)
        if len(fresh) < state.threshold:
            return state
        facts = (await self._facts(state.scope))[-self.params.scan :]
        known = [subject for node in state.insights if (subject := subject_of(node))]
        taken = {_key(subject) for subject in known}
        ids = {fact.id for fact in fresh}
        chosen = [
            group
            for group in (*_slots(facts), *self._topics(facts))
            if _key(group.subject) not in taken and any(fact.id in ids for fact in group.facts)
        ]
        here = {fact.id for fact in state.fresh}
        older = {fact.id: fact for group in chosen for fact in group.facts if fact.id not in here}
        return replace(
            state,
            subjects=tuple(group.subject for group in chosen),
            considered=tuple(fact.id for fact in fresh),
            relevant={group.subject.name: by_time(group.facts) for group in chosen},
            older=tuple(older.values()),
        )

    async def _facts(self, scope: Scope) -> list[MemoryNode]:
        found: list[MemoryNode] = []
        cursor: str | None = None
        while True:
            page = await self.services.store.list_nodes(
                scope, NodeFilter(kinds=FACTS), cursor=cursor, limit=PAGE
            )
            found += page.items
            cursor = page.cursor
            if cursor is None:
                return found

    def _topics(self, facts: Sequence[MemoryNode]) -> Iterable[_Group]:
        people: dict[str, list[MemoryNode]] = {}
        for fact in facts:
            people.setdefault(plain(who_of(fact)), []).append(fact)
        for own in people.values():
            who = Counter(who_of(fact) for fact in own).most_common(1)[0][0]
            found: list[Topic] = topics_of(own, who, self.params.topic, self.params.share)
            for topic in found:
                yield _Group(Subject(who, topic.name), topic.facts)


def _slots(facts: Iterable[MemoryNode]) -> list[_Group]:
    groups: dict[tuple[str, str], list[MemoryNode]] = {}
    for fact in facts:
        slot = slot_of_fact(fact)
        if slot is not None and fact.metadata.get("value"):
            groups.setdefault(slot, []).append(fact)
    found = []
    for own in groups.values():
        # in the spelling of the latest
        subject = Subject(who_of(own[-1]), str(own[-1].metadata["attribute"]))
        found.append(_Group(subject, tuple(own)))
    return found


def _key(subject: Subject) -> tuple[str, str]:
    return plain(subject.who), plain(subject.attribute)
