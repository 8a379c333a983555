"""match_subjects: which facts bear on which subject, without a model's opinion."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from memoryscope_rag import lexical
from memoryscope_rag.errors import ModelError
from memoryscope_rag.ports import FloatArray, Query, SearchRequest
from memoryscope_rag.schema import Kind, MemoryNode, Scope
from memoryscope_rag.workers.backend.ground import by_time, facts_of, to_judge
from memoryscope_rag.workers.backend.state import ReflectionState, Subject
from memoryscope_rag.workers.backend.subjects import (
    Likeness,
    may_concern,
    same_slot,
    shares_words,
    subject_of,
    value_of,
    without_name,
    words_of,
)
from memoryscope_rag.workers.base import NoParams, Worker

FACTS: frozenset[Kind] = frozenset({"observation", "note"})


class MatchSubjects(Worker[ReflectionState]):
    """Holds every fresh fact against every subject, and older facts against the new ones.

    A fact bears on a subject if its metadata name the attribute, if it takes the place of what the
    insight rests on, if it has words of the attribute or of the value, or if these stand out for
    it (see :class:`Likeness`); and if it may be about that person at all. An insight that nothing
    fresh bears on is looked at all the same when something that it rests on is closed or gone.
    """

    name = "match_subjects"
    reads = frozenset({"scope", "now", "fresh", "insights", "evidence", "subjects", "relevant"})
    uses = frozenset({"older"})
    gives = frozenset({"relevant", "older"})

    class Params(NoParams):
        """``stands_out``: from where on a subject stands out for a fact. ``dense``: compare by
        vectors, too. ``older``: facts of earlier runs looked at for each new subject.
        """

        stands_out: float = 1.5
        dense: bool = True
        older: int = Field(20, ge=0, le=1000)

    params: Params

    async def run(self, state: ReflectionState) -> ReflectionState:
        """Give ``relevant`` and ``older``."""
        known = [subject for node in state.insights if (subject := subject_of(node))]
        subjects = [*state.subjects, *known]
        found = await self._older(state)
        older = {fact.id: fact for facts in found.values() for fact in facts}
        facts = [*state.fresh, *older.values()]
        bears = await self._bearing(facts, subjects)
        held = {**older, **facts_of(state)}
        relevant: dict[str, tuple[str, ...]] = {}
        for column, subject in enumerate(subjects):
            ids = set(state.relevant.get(subject.name, ()))
            near = {fact.id for fact in (*state.fresh, *found.get(subject.name, ()))}
            ids.update(
                fact.id for row, fact in enumerate(facts) if fact.id in near and bears[row, column]
            )
            if subject.insight is not None:
                listed = to_judge(held, state.fresh, subject.insight, ids, state.now)
            else:
                listed = by_time(held[name] for name in ids)
            if listed is not None:
                relevant[subject.name] = listed
        known_ids = {fact.id for fact in state.older}
        new = [fact for fact in older.values() if fact.id not in known_ids]
        return replace(state, relevant=relevant, older=(*state.older, *new))

    async def _bearing(
        self, facts: Sequence[MemoryNode], subjects: Sequence[Subject]
    ) -> NDArray[np.bool_]:
        """Whether each fact bears on each subject ``(facts, subjects)``."""
        bears = await self._standing(facts, subjects) >= self.params.stands_out
        for who in dict.fromkeys(subject.who for subject in subjects):
            own = [
                (column, subject, words_of(subject))
                for column, subject in enumerate(subjects)
                if subject.who == who
            ]
            for row, fact in enumerate(facts):
                if not may_concern(fact, who):
                    continue
                terms = frozenset(lexical.analyze(without_name(fact.content, who)))
                for column, subject, words in own:
                    bears[row, column] |= same_slot(fact, subject) or shares_words(terms, words)
        return bears

    async def _standing(
        self, facts: Sequence[MemoryNode], subjects: Sequence[Subject]
    ) -> FloatArray:
        """How far attribute or value of each subject stands out ``(facts, subjects)``."""
        result = np.full((len(facts), len(subjects)), -np.inf, dtype=np.float32)
        if not self.params.dense:
            return result
        likeness = Likeness(self.services.embedder)
        for who in dict.fromkeys(subject.who for subject in subjects):
            columns = [i for i, subject in enumerate(subjects) if subject.who == who]
            rows = [i for i, fact in enumerate(facts) if may_concern(fact, who)]
            texts = [without_name(facts[row].content, who) for row in rows]
            attributes = [subjects[column].attribute for column in columns]
            values = [_value(subjects[column]) for column in columns]
            both = await likeness.bearing(texts, [*attributes, *values])
            if rows:
                best = np.maximum(both[:, : len(columns)], both[:, len(columns) :])
                result[np.ix_(rows, columns)] = best
        return result

    async def _older(self, state: ReflectionState) -> Mapping[str, list[MemoryNode]]:
        """Open facts from earlier runs near to each new subject, by its name."""
        if not state.subjects or not self.params.older:
            return {}
        queries = await self._queries(state.subjects)
        requests = [
            SearchRequest((query,), FACTS, limit=self.params.older, neighbours=0)
            for query in queries
        ]
        candidates = await self.services.store.search(state.scope, requests)
        fresh = {fact.id for fact in state.fresh}
        return {
            subject.name: [
                node for node in await self._nodes(state.scope, found.ids) if node.id not in fresh
            ]
            for subject, found in zip(state.subjects, candidates, strict=True)
        }

    async def _nodes(self, scope: Scope, ids: Sequence[str]) -> tuple[MemoryNode, ...]:
        return await self.services.store.nodes(scope, ids) if ids else ()

    async def _queries(self, subjects: Sequence[Subject]) -> list[Query]:
        texts = [f"{subject.who} {subject.attribute}" for subject in subjects]
        terms = [tuple(lexical.analyze(subject.attribute)) for subject in subjects]
        vectors: Sequence[FloatArray | None] = [None] * len(texts)
        if self.services.embedder is not None and self.params.dense:
            with contextlib.suppress(ModelError):  # then by words alone
                vectors = list(await self.services.embedder.embed(texts, "query"))
        return [
            Query(subject.name, words, vector)
            for subject, words, vector in zip(subjects, terms, vectors, strict=True)
        ]


def _value(subject: Subject) -> str:
    if subject.insight is None:
        return subject.attribute
    return without_name(value_of(subject.insight), subject.who)
