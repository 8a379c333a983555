"""extract_observations: the facts in messages, each as a statement that stands alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from memoryscope_rag.lexical import language_of
from memoryscope_rag.models.structured import ask
from memoryscope_rag.ports import Sampling
from memoryscope_rag.schema import Message
from memoryscope_rag.workers.backend.asking import generator_of
from memoryscope_rag.workers.backend.facts import fact_id, last_said, plain
from memoryscope_rag.workers.backend.numbered import Item, Number, NumberedReply, SomeText, Text
from memoryscope_rag.workers.backend.passages import Passage, calls_of, dialogue, passages_of
from memoryscope_rag.workers.backend.state import ConsolidationState, Fact
from memoryscope_rag.workers.base import NoParams, Worker

MAX_CONTENT = 2000
"""Characters of one fact; what is longer is no single fact."""


def _short(text: str) -> str:
    if len(text) > MAX_CONTENT:
        raise ValueError(f"has {len(text)} characters; state one fact in a sentence")
    return text


class ExtractedFact(Item):
    """One fact; ``sources`` are the numbers of the passages that say it."""

    content: Annotated[SomeText, AfterValidator(_short)]
    sources: Annotated[list[Number], Field(min_length=1)]
    keywords: list[Text] | None = None
    subject: Text | None = None
    attribute: Text | None = None
    value: Text | None = None
    when: Text | None = None
    date: Text | None = None


class Facts(NumberedReply):
    """All facts of the passages; there may be none."""

    facts: list[ExtractedFact]

    @model_validator(mode="after")
    def _known(self) -> Self:
        self.check_range(number for fact in self.facts for number in fact.sources)
        return self


class ExtractObservations(Worker[ConsolidationState]):
    """Asks for the facts of the messages that have a score, several a message where it has them.

    One call for a batch of usual length; longer messages are parted at sentence ends. What a
    model says of time is taken only if the message says it in these words.
    """

    name = "extract_observations"
    reads = frozenset({"messages", "now", "scores"})
    uses = frozenset({"before"})
    gives = frozenset({"facts"})

    class Params(NoParams):
        """``call_tokens``: most tokens of messages in one call."""

        call_tokens: int = Field(2000, ge=200)

    params: Params

    async def run(self, state: ConsolidationState) -> ConsolidationState:
        """Give ``facts``, by the time of saying. Raises ModelError and MalformedReply."""
        wanted = [m for m in state.messages if m.id in state.scores]
        facts: dict[str, Fact] = {}
        for group in calls_of(
            passages_of(wanted, self.params.call_tokens), self.params.call_tokens
        ):
            for fact in await self._facts(state, group):
                facts.setdefault(fact.id, fact)
        ordered = sorted(facts.values(), key=lambda fact: (fact.said_at, fact.seq))
        return replace(state, facts=tuple(ordered))

    async def _facts(self, state: ConsolidationState, group: Sequence[Passage]) -> list[Fact]:
        turns: tuple[Message, ...] = (*state.before, *state.messages)
        language = language_of("\n".join(passage.text for passage in group))
        prompt = self.services.prompts.get(self.name, language)
        answer = await ask(
            generator_of(self),
            prompt.render(turns=dialogue(group, turns, state.now.tzinfo), count=str(len(group))),
            Facts.of(len(group)),
            sampling=Sampling(temperature=0.0),
        )
        origin = {
            "worker": self.name,
            "prompt": prompt.version,
            "model": answer.reply.model,
        }
        return [_fact(one, group, state, origin) for one in answer.value.facts]


def _fact(
    extracted: ExtractedFact,
    group: Sequence[Passage],
    state: ConsolidationState,
    origin: dict[str, str],
) -> Fact:
    messages = {
        message.seq: message
        for message in (group[number - 1].message for number in extracted.sources)
    }
    sources = tuple(messages[seq].id for seq in sorted(messages))
    last = last_said(messages.values())
    when = extracted.when or None
    if when is not None and not any(
        plain(when) in plain(message.content) for message in messages.values()
    ):
        when = None
    return Fact(
        id=fact_id(sources, extracted.content),
        content=extracted.content,
        sources=sources,
        said_at=last.created_at,
        session_id=last.session_id,
        seq=last.seq,
        speaker=last.speaker,
        keywords=tuple(dict.fromkeys(filter(None, extracted.keywords or ()))),
        subject=extracted.subject or None,
        attribute=extracted.attribute or None,
        value=extracted.value or None,
        score=max(state.scores[name] for name in sources),
        origin=origin,
        when=when,
        date=extracted.date or None,
    )
