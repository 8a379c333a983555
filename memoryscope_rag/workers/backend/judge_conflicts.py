"""judge_conflicts: what new facts make of what was known, by one question to the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Self

from pydantic import Field, model_validator

from memoryscope_rag.lexical import language_of
from memoryscope_rag.models.structured import ask
from memoryscope_rag.ports import Sampling
from memoryscope_rag.schema import MemoryNode
from memoryscope_rag.workers.backend.asking import generator_of
from memoryscope_rag.workers.backend.facts import is_same, observation_of
from memoryscope_rag.workers.backend.numbered import Item, Number, NumberedReply
from memoryscope_rag.workers.backend.state import ConsolidationState, Relation, Verdict
from memoryscope_rag.workers.base import NoParams, Worker

Pair = tuple[MemoryNode, MemoryNode]
"""A new fact and what it is compared with."""


class JudgedPair(Item):
    """The relation of the pair with this number."""

    n: Number
    relation: Relation


class Judgement(NumberedReply):
    """A relation for every pair."""

    relations: list[JudgedPair]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        self.check_each_once(item.n for item in self.relations)
        return self


class JudgeConflicts(Worker[ConsolidationState]):
    """Asks once for all pairs of a fact and a neighbour.

    Facts that say the same letter for letter, about the same time, are repetitions without asking.
    """

    name = "judge_conflicts"
    reads = frozenset({"now", "facts", "neighbours"})
    gives = frozenset({"verdicts"})

    class Params(NoParams):
        """``pairs``: most pairs of a batch; the nearest neighbours of every fact come first."""

        pairs: int = Field(40, ge=1, le=500)

    params: Params

    async def run(self, state: ConsolidationState) -> ConsolidationState:
        """Give ``verdicts``. Raises ModelError and MalformedReply."""
        verdicts: list[Verdict] = []
        rows: list[list[Pair]] = []
        for fact in state.facts:
            node = observation_of(fact)
            near = state.neighbours.get(fact.id, ())
            same = next((older for older in near if is_same(node, older)), None)
            if same is not None:
                verdicts.append(Verdict(fact.id, same.id, "repeated"))
            else:
                rows.append([(node, older) for older in near])
        # first the nearest neighbour of each fact, then the second of each
        pairs = [pair for column in zip_longest(*rows) for pair in column if pair is not None]
        if pairs := pairs[: self.params.pairs]:
            verdicts += await self._judge(state, pairs)
        return replace(state, verdicts=tuple(verdicts))

    async def _judge(self, state: ConsolidationState, pairs: Sequence[Pair]) -> list[Verdict]:
        language = language_of("\n".join(newer.content for newer, _ in pairs))
        prompt = self.services.prompts.get(self.name, language)
        zone = state.now.tzinfo
        lines = [
            json.dumps(
                {
                    "n": number,
                    "known": older.content,
                    "known_said": older.said_at.astimezone(zone).strftime("%Y-%m-%d"),
                    "new": newer.content,
                    "new_said": newer.said_at.astimezone(zone).strftime("%Y-%m-%d"),
                },
                ensure_ascii=False,
            )
            for number, (newer, older) in enumerate(pairs, 1)
        ]
        answer = await ask(
            generator_of(self),
            prompt.render(pairs="\n".join(lines), count=str(len(pairs))),
            Judgement.of(len(pairs)),
            sampling=Sampling(temperature=0.0),
        )
        return [
            Verdict(pairs[item.n - 1][0].id, pairs[item.n - 1][1].id, item.relation)
            for item in answer.value.relations
        ]
