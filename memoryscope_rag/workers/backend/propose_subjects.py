"""propose_subjects: about which attributes of whom the fresh facts call for an insight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from memoryscope_rag.errors import MalformedReply
from memoryscope_rag.lexical import language_of
from memoryscope_rag.models.structured import ask
from memoryscope_rag.ports import Sampling
from memoryscope_rag.schema import MemoryNode
from memoryscope_rag.workers.backend.asking import generator_of
from memoryscope_rag.workers.backend.facts import plain
from memoryscope_rag.workers.backend.ground import untouched
from memoryscope_rag.workers.backend.numbered import Item, Number, NumberedReply, SomeText
from memoryscope_rag.workers.backend.shown import numbered_facts
from memoryscope_rag.workers.backend.state import ReflectionState, Subject
from memoryscope_rag.workers.backend.subjects import Likeness, same_words, slot_of_fact, subject_of
from memoryscope_rag.workers.base import NoParams, Worker

MAX_NAME = 80
"""Characters of a name or an attribute; what is longer is a statement."""
KNOWN = 100
"""Known subjects that the model is told of, the latest; the others are compared without it."""


def _short(text: str) -> str:
    if len(text) > MAX_NAME:
        raise ValueError(f"has {len(text)} characters; a few words are meant")
    return " ".join(text.split())


Name = Annotated[SomeText, AfterValidator(_short)]


class ProposedSubject(Item):
    """An attribute of somebody, and the numbers of the facts that say something of it."""

    who: Name
    attribute: Name
    facts: Annotated[list[Number], Field(min_length=1)]


class ProposedSubjects(NumberedReply):
    """New subjects, the most useful first; there may be none."""

    subjects: list[ProposedSubject]

    @model_validator(mode="after")
    def _known(self) -> Self:
        self.check_range(number for subject in self.subjects for number in subject.facts)
        return self


@dataclass(frozen=True, slots=True)
class _Proposal:
    """One of them, with the facts themselves."""

    subject: Subject
    facts: tuple[MemoryNode, ...]


class ProposeSubjects(Worker[ReflectionState]):
    """Asks once, when enough facts are fresh, for attributes that no insight covers yet.

    What comes back in other words is recognised without a model: by shared words, by the attribute
    that its facts name, and by its likeness to the attributes there are. Facts that an insight
    already took in, and that wait for others only, do not count.
    """

    name = "propose_subjects"
    reads = frozenset({"now", "fresh", "insights", "threshold", "proposals"})
    uses = frozenset({"failures"})
    gives = frozenset({"subjects", "considered", "relevant", "failures"})

    class Params(NoParams):
        """``alike``: likeness from which two attributes are one; see :class:`Likeness`."""

        alike: float = 3.0

    params: Params

    async def run(self, state: ReflectionState) -> ReflectionState:
        """Give the new ``subjects`` and what is ``relevant`` to them. Raises ModelError.

        A malformed reply is put down in ``failures``: what there is can still be brought up to
        date.
        """
        facts = untouched(state)
        if len(facts) < state.threshold:
            return state
        known = [subject for node in state.insights if (subject := subject_of(node))]
        try:
            asked = await self._ask(state, facts, known)
        except MalformedReply as error:
            return replace(state, failures=(*state.failures, f"{self.name}: {error}"))
        new = await self._new(asked, known)
        chosen = new[: state.proposals or None]
        more = state.proposals and len(asked) >= state.proposals and chosen
        return replace(
            state,
            subjects=tuple(proposal.subject for proposal in chosen),
            considered=() if more else tuple(fact.id for fact in facts),
            relevant={
                proposal.subject.name: tuple(fact.id for fact in proposal.facts)
                for proposal in chosen
            },
        )

    async def _ask(
        self, state: ReflectionState, facts: Sequence[MemoryNode], known: Sequence[Subject]
    ) -> list[_Proposal]:
        language = language_of("\n".join(fact.content for fact in facts))
        prompt = self.services.prompts.get(self.name, language)
        none, any_number = _WORDS.get(language, _WORDS["en"])
        answer = await ask(
            generator_of(self),
            prompt.render(
                facts=numbered_facts(facts, state.now.tzinfo),
                known="\n".join(f"- {subject.name}" for subject in known[-KNOWN:]) or none,
                most=str(state.proposals) if state.proposals else any_number,
            ),
            ProposedSubjects.of(len(facts)),
            sampling=Sampling(temperature=0.0),
        )
        return [
            _Proposal(
                Subject(one.who, one.attribute),
                tuple(facts[number - 1] for number in sorted(set(one.facts))),
            )
            for one in answer.value.subjects
        ]

    async def _new(self, asked: Sequence[_Proposal], known: Sequence[Subject]) -> list[_Proposal]:
        """Those of ``asked`` that neither ``known`` nor an earlier one covers."""
        likeness = Likeness(self.services.embedder)
        attributes = [proposal.subject.attribute for proposal in asked]
        alike = await likeness.between(
            attributes, [*(subject.attribute for subject in known), *attributes]
        )
        kept: list[tuple[int, _Proposal]] = []
        for row, proposal in enumerate(asked):
            others = [*enumerate(known), *((len(known) + i, one.subject) for i, one in kept)]
            if not any(
                plain(other.who) == plain(proposal.subject.who)
                and (
                    alike[row, column] >= self.params.alike
                    or same_words(other.attribute, proposal.subject.attribute)
                    or _names(proposal, other)
                )
                for column, other in others
            ):
                kept.append((row, proposal))
        return [proposal for _, proposal in kept]


_WORDS: Mapping[str, tuple[str, str]] = {
    "en": ("(none yet)", "any number"),
    "zh": ("（还没有）", "数量不限"),
}
"""What stands for no known subjects and for no limit, by language."""


def _names(proposal: _Proposal, other: Subject) -> bool:
    """Whether most facts of ``proposal`` name the attribute of ``other`` in their metadata."""
    slot = (plain(other.who), plain(other.attribute))
    naming = sum(slot_of_fact(fact) == slot for fact in proposal.facts)
    return 2 * naming > len(proposal.facts)
