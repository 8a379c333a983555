"""reconsolidate: fresh facts held once more against everything that they touch, of any time."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field

from memoryscope_rag.errors import MalformedReply
from memoryscope_rag.schema import MemoryNode
from memoryscope_rag.workers.backend.find_neighbours import FindNeighbours
from memoryscope_rag.workers.backend.ground import facts_of, to_judge
from memoryscope_rag.workers.backend.judge_by_rules import JudgeByRules
from memoryscope_rag.workers.backend.judge_conflicts import JudgeConflicts
from memoryscope_rag.workers.backend.settle import is_open, settle
from memoryscope_rag.workers.backend.state import ConsolidationState, Fact, ReflectionState
from memoryscope_rag.workers.backend.subjects import subject_of
from memoryscope_rag.workers.base import NoParams, Worker


class Reconsolidate(Worker[ReflectionState]):
    """Finds and judges neighbours as consolidation does, with what has come in since.

    Consolidation judges a fact when it is new; what another process stored at the same time, what
    a reply left out and every note is first compared here. Only the facts that this run concludes
    are looked at, so each is about once. Near must be nearer than for consolidation; that and
    ``pairs`` bound what it costs: one question, none when nothing is near.
    """

    name = "reconsolidate"
    reads = frozenset(
        {"scope", "now", "fresh", "insights", "evidence", "long_range", "considered", "relevant"}
    )
    uses = frozenset({"subjects", "older", "failures"})
    gives = frozenset({"verdicts", "older", "relevant", "failures"})

    class Params(NoParams):
        """``by``: who judges. ``most``: neighbours of a fact; ``cosine`` and ``words``: from where
        on they are near, as for ``find_neighbours``. ``pairs``: most pairs of a run.
        """

        by: Literal["model", "rules"] = "model"
        most: int = Field(2, ge=1, le=50)
        cosine: float = 4.0
        words: float = Field(0.6, ge=0, le=1)
        pairs: int = Field(20, ge=1, le=500)

    params: Params

    async def run(self, state: ReflectionState) -> ReflectionState:
        """Give ``verdicts`` and, in their light, what is ``relevant``. Raises ModelError.

        A malformed reply is put down in ``failures``.
        """
        concluded = set(state.considered).union(*state.relevant.values())
        facts = [fact for fact in state.fresh if fact.id in concluded]
        if not state.long_range or not facts:
            return state
        params = self.params
        find = FindNeighbours(
            self.services,
            FindNeighbours.Params(most=params.most, cosine=params.cosine, words=params.words),
        )
        given = ConsolidationState(
            scope=state.scope,
            now=state.now,
            messages=(),
            facts=tuple(_fact(node) for node in facts),
        )
        found = await find.run(given)
        if not found.neighbours:
            return state
        judge: JudgeConflicts | JudgeByRules
        if params.by == "rules":
            judge = JudgeByRules(self.services)
        else:
            judge = JudgeConflicts(self.services, JudgeConflicts.Params(pairs=params.pairs))
        try:
            judged = await judge.run(found)
        except MalformedReply as error:
            return replace(state, failures=(*state.failures, f"{self.name}: {error}"))
        told = [verdict for verdict in judged.verdicts if verdict.relation != "compatible"]
        near = {node.id: node for nodes in found.neighbours.values() for node in nodes}
        known = facts_of(state)
        older = [node for node in near.values() if node.id not in known]
        judged_state = replace(state, verdicts=tuple(told), older=(*state.older, *older))
        return replace(judged_state, relevant=_relevant(judged_state))


def _relevant(state: ReflectionState) -> dict[str, tuple[str, ...]]:
    """What is relevant to each subject once the verdicts are carried out."""
    facts = facts_of(state)
    drafts, _ = settle(facts, state.verdicts, state.now)
    facts.update(drafts)
    relevant = {
        subject.name: tuple(
            name for name in state.relevant.get(subject.name, ()) if is_open(facts[name], state.now)
        )
        for subject in state.subjects
    }
    fresh = [facts[fact.id] for fact in state.fresh]
    for insight in state.insights:
        subject = subject_of(insight)
        if subject is None:
            continue
        near = set(state.relevant.get(subject.name, ()))
        listed = to_judge(facts, fresh, insight, near, state.now)
        if listed is not None:
            relevant[subject.name] = listed
    return relevant


def _fact(node: MemoryNode) -> Fact:
    """A stored fact as one that is new."""

    def text(name: str) -> str | None:
        value = node.metadata.get(name)
        return value if isinstance(value, str) else None

    return Fact(
        id=node.id,
        content=node.content,
        sources=node.provenance,
        said_at=node.said_at,
        session_id=node.session_id or node.id,  # a note belongs to none
        seq=node.seq,
        speaker=node.speaker,
        event=node.event,
        subject=text("subject"),
        attribute=text("attribute"),
        value=text("value"),
    )
