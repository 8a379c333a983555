"""update_insights_by_rules: the values that facts name, and what they say of a topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field

from memoryscope_rag.schema import MemoryNode
from memoryscope_rag.scoring.features import is_unspaced
from memoryscope_rag.workers.backend.facts import plain
from memoryscope_rag.workers.backend.state import InsightUpdate, ReflectionState
from memoryscope_rag.workers.backend.subjects import same_slot
from memoryscope_rag.workers.backend.topics import has_topic
from memoryscope_rag.workers.backend.update_insights import MAX_VALUE, Task, tasks_of
from memoryscope_rag.workers.base import NoParams, Worker

ALL = 1_000_000


class UpdateInsightsByRules(Worker[ReflectionState]):
    """Reads values off the facts; it asks nobody, so all subjects are settled in one run.

    Where an attribute has one value at a time ("employer"), it is that of the newest fact, and the
    insight rests on the facts that say so. Where it has several ("hobby"), they are listed in the
    order in which they were last said, each once. A topic's value is what the facts say.
    """

    name = "update_insights_by_rules"
    reads = frozenset({"now", "fresh", "insights", "evidence", "subjects", "relevant"})
    uses = frozenset({"older", "verdicts"})
    gives = frozenset({"updates", "settled"})

    class Params(NoParams):
        """``values``: the latest values of one attribute that are kept; ``facts``: of a topic.
        ``length``: characters of a topic's value. A longer one, being found by more words, takes
        the places of what answers the question.
        """

        values: int = Field(20, ge=1, le=200)
        facts: int = Field(20, ge=1, le=200)
        length: int = Field(160, ge=20, le=MAX_VALUE)

    params: Params

    async def run(self, state: ReflectionState) -> ReflectionState:
        """Give ``updates`` and ``settled``."""
        tasks, updates = tasks_of(state, ALL)
        updates += [self._update(task) for task in tasks]
        return replace(
            state,
            updates=tuple(updates),
            settled=tuple(update.subject.name for update in updates),
        )

    def _update(self, task: Task) -> InsightUpdate:
        subject = task.subject
        naming = [
            fact
            for fact in task.facts
            if same_slot(fact, subject) and isinstance(fact.metadata.get("value"), str)
        ]
        if naming and _single(subject.attribute):
            value, evidence = _newest(naming)
        elif naming:
            value, evidence = _listed(naming, self.params.values)
        else:
            sharing = [fact for fact in task.facts if has_topic(fact, subject.attribute)]
            value, evidence = _said(sharing[-self.params.facts :], self.params.length)
        if not evidence and task.value is not None and subject.insight is not None:
            # a model found the value, and nothing that it rests on is gone
            return InsightUpdate(subject, task.value, subject.insight.provenance, task.new)
        origin = {"worker": self.name}
        return InsightUpdate(subject, value, tuple(fact.id for fact in evidence), task.new, origin)


def _single(attribute: str) -> bool:
    """Whether ``attribute``, in any language, has one value at a time."""
    from memoryscope_rag.statements import LANGUAGES, Slot, Who  # patterns, when first needed

    names = {attribute}
    for language in LANGUAGES.values():
        names.update(name for name, own in language.attribute_names.items() if own == attribute)
    return any(Slot(Who(), name).single for name in names)


def _value(fact: MemoryNode) -> str:
    return " ".join(str(fact.metadata["value"]).split())[:MAX_VALUE]


def _newest(facts: Sequence[MemoryNode]) -> tuple[str, list[MemoryNode]]:
    value = _value(facts[-1])
    return value, [fact for fact in facts if plain(_value(fact)) == plain(value)]


def _listed(facts: Sequence[MemoryNode], most: int) -> tuple[str, list[MemoryNode]]:
    latest: dict[str, str] = {}
    for fact in facts:
        key = plain(_value(fact))
        latest.pop(key, None)
        latest[key] = _value(fact)
    kept = dict(list(latest.items())[-most:])
    return _joined(list(kept.values())), [fact for fact in facts if plain(_value(fact)) in kept]


def _said(facts: Sequence[MemoryNode], length: int) -> tuple[str, list[MemoryNode]]:
    texts = [" ".join(fact.content.split()).rstrip(".。;；") for fact in facts]
    return _joined(list(dict.fromkeys(texts)), length), list(facts)


def _joined(texts: list[str], length: int = MAX_VALUE) -> str:
    """``texts`` in one line, without the first ones where it would be too long."""
    if not texts:
        return ""
    mark = "；" if is_unspaced("".join(texts)) else "; "
    while len(texts) > 1 and len(mark.join(texts)) > length:
        texts = texts[1:]
    return mark.join(texts)[:length]
