"""info_filter: which messages say something about somebody that is worth keeping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Self

from pydantic import Field, model_validator

from memoryscope_rag.lexical import language_of
from memoryscope_rag.models.structured import ask
from memoryscope_rag.ports import Sampling
from memoryscope_rag.schema import Message
from memoryscope_rag.workers.backend.asking import generator_of
from memoryscope_rag.workers.backend.numbered import Item, Number, NumberedReply
from memoryscope_rag.workers.backend.passages import Passage, calls_of, dialogue, passages_of
from memoryscope_rag.workers.backend.state import ConsolidationState
from memoryscope_rag.workers.base import NoParams, Worker

Score = Annotated[int, Field(ge=0, le=3)]


class ScoredPassage(Item):
    """The score of the passage with this number."""

    n: Number
    score: Annotated[int, Field(strict=True, ge=0, le=3)]


class Scores(NumberedReply):
    """A score for every passage."""

    scores: list[ScoredPassage]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        self.check_each_once(item.n for item in self.scores)
        return self


class InfoFilter(Worker[ConsolidationState]):
    """Scores messages from 0 to 3, in one call of the model for a batch of usual length.

    0: nothing about anyone; 1: hypothetical, fiction, role-play; 2: general, or true for a time;
    3: explicit and important, or asked to be remembered. A message that the model leaves out is
    no answer: the reply is refused. The score of a long message is that of its best passage.
    """

    name = "info_filter"
    reads = frozenset({"messages", "now"})
    uses = frozenset({"before"})
    gives = frozenset({"scores"})

    class Params(NoParams):
        """``keep``: the scores whose messages go on. ``assistant``: score the assistant's turns,
        too. ``call_tokens``: most tokens of messages in one call.
        """

        keep: list[Score] = Field([2, 3])
        assistant: bool = False
        call_tokens: int = Field(3000, ge=200)

    params: Params

    async def run(self, state: ConsolidationState) -> ConsolidationState:
        """Give ``scores`` of the messages that are kept. Raises ModelError and MalformedReply."""
        roles = {"user", "assistant"} if self.params.assistant else {"user"}
        wanted = [m for m in state.messages if m.role in roles and m.content.strip()]
        scores: dict[str, int] = {}
        for group in calls_of(
            passages_of(wanted, self.params.call_tokens), self.params.call_tokens
        ):
            for passage, score in zip(group, await self._scores(state, group), strict=True):
                name = passage.message.id
                scores[name] = max(score, scores.get(name, 0))
        kept = {name: score for name, score in scores.items() if score in self.params.keep}
        return replace(state, scores=kept)

    async def _scores(self, state: ConsolidationState, group: Sequence[Passage]) -> Sequence[int]:
        turns: tuple[Message, ...] = (*state.before, *state.messages)
        language = language_of("\n".join(passage.text for passage in group))
        prompt = self.services.prompts.get(self.name, language)
        answer = await ask(
            generator_of(self),
            prompt.render(turns=dialogue(group, turns, state.now.tzinfo), count=str(len(group))),
            Scores.of(len(group)),
            sampling=Sampling(temperature=0.0),
        )
        by_number = {item.n: item.score for item in answer.value.scores}
        return [by_number[number] for number in range(1, len(group) + 1)]
