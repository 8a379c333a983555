"""judge_by_rules: what new facts make of what was known, without a language model."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from memoryscope_rag.schema import MemoryNode
from memoryscope_rag.workers.backend.facts import is_same, observation_of, plain
from memoryscope_rag.workers.backend.state import ConsolidationState, Relation, Verdict
from memoryscope_rag.workers.base import Worker


class JudgeByRules(Worker[ConsolidationState]):
    """Compares every fact with its neighbours by words, slots and marks of change.

    In doubt two facts are compatible. Facts of two speakers never repeat or contradict each
    other: "I live in Rome" is about whoever says it.
    """

    name = "judge_by_rules"
    reads = frozenset({"facts", "neighbours"})
    gives = frozenset({"verdicts"})

    async def run(self, state: ConsolidationState) -> ConsolidationState:
        """Give ``verdicts``, none for what is compatible."""
        return await asyncio.to_thread(self._judge, state)  # not in the event loop

    def _judge(self, state: ConsolidationState) -> ConsolidationState:
        verdicts: list[Verdict] = []
        for fact in state.facts:
            node = observation_of(fact)
            for other in state.neighbours.get(fact.id, ()):
                if other.id == fact.id or not same_speaker(node, other):
                    continue
                judged = judge(other, node)
                if judged != "compatible":
                    verdicts.append(Verdict(fact.id, other.id, judged))
        return replace(state, verdicts=tuple(verdicts))


def same_speaker(one: MemoryNode, two: MemoryNode) -> bool:
    """Whether one and the same may have said both; a note names no speaker."""
    return None in (one.speaker, two.speaker) or plain(one.speaker or "") == plain(
        two.speaker or ""
    )


def judge(older: MemoryNode, newer: MemoryNode) -> Relation:
    """The relation of two nodes; ``older`` may have been said later, when messages come late."""
    from memoryscope_rag.statements import Said, relation  # patterns, when first needed

    if is_same(older, newer):
        return "repeated"
    first, last = (older, newer) if older.said_at <= newer.said_at else (newer, older)
    found = relation(Said(first.content, first.said_at), Said(last.content, last.said_at))
    if first is older or found in ("contradicted", "compatible"):
        return found
    # what was said first takes in what was said last, or the other way round
    return "contained" if found == "repeated" else "repeated"
