"""Histories into a store and questions out of it: what every benchmark and fit starts from.

:func:`gather` runs the real path (``operations.record`` into a store of its own,
``store.search``); :func:`gather_plainly` the slow twin without a store. Both end in
:class:`~memoryscope_rag.ports.Candidates`, and the rest of this package sees nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from memoryscope_rag import indexing, lexical
from memoryscope_rag.configs.model import Config
from memoryscope_rag.evaluation.datasets import History, Question, Turn
from memoryscope_rag.evaluation.places import temporary
from memoryscope_rag.evaluation.plain_index import PlainIndex
from memoryscope_rag.operations.record import record
from memoryscope_rag.ports import (
    Candidates,
    Embedder,
    FloatArray,
    IndexedNode,
    Query,
    SearchRequest,
)
from memoryscope_rag.schema import Interval, MemoryNode, NewMessage, Scope
from memoryscope_rag.scoring import QueryFeatures, query_features
from memoryscope_rag.temporal import find_times, is_question

LIMIT = 60
"""Nodes per query and per search, the default of the retrieve operation."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One question with what the store found for it.

    ``turns`` names the turn of each candidate (the pieces of a long turn share it). ``foreign``
    marks a question about another history, to which this memory holds no answer.
    """

    history: History
    question: Question
    candidates: Candidates
    turns: tuple[str, ...]
    features: QueryFeatures
    foreign: bool = False

    @property
    def session_of(self) -> Mapping[str, str]:
        """Session by turn id, of the whole history."""
        return {turn.id: turn.session for turn in self.history.turns}


Asked = tuple[History, Sequence[tuple[Question, bool]]]
"""A history and the questions put to it, each with whether it is foreign."""


async def gather(
    asked: Sequence[Asked], embedder: Embedder | None, config: Config | None = None
) -> list[Judged]:
    """Record each history in a scope of its own, then search for each question.

    On a database like that of ``config``, SQLite without it.
    """
    judged: list[Judged] = []
    async with temporary(config) as place:
        store = await place.open("histories", None if embedder is None else embedder.spec)
        try:
            for history, questions in asked:
                scope = Scope(user_id=history.id)
                messages = [message_of(turn) for turn in history.turns]
                await record(store, embedder, scope, messages)
                for (question, foreign), queries in zip(
                    questions, await queries_of(questions, embedder), strict=True
                ):
                    request = SearchRequest(queries, frozenset({"conversation"}), limit=LIMIT)
                    (found,) = await store.search(scope, [request])
                    turns = tuple(name.rsplit("#", 1)[0] for name in found.ids)
                    judged.append(_judged(history, question, foreign, found, turns))
        finally:
            await store.close()
    return judged


def message_of(turn: Turn) -> NewMessage:
    """A turn as a host records it."""
    return NewMessage(turn.id, turn.session, turn.role, turn.content, turn.at, turn.speaker)


async def gather_plainly(asked: Sequence[Asked], embedder: Embedder | None) -> list[Judged]:
    """As :func:`gather` without a store: every turn is a candidate, long ones uncut."""
    judged: list[Judged] = []
    for history, questions in asked:
        index = await plain_index(history, embedder)
        turns = tuple(turn.id for turn in history.turns)
        for (question, foreign), queries in zip(
            questions, await queries_of(questions, embedder), strict=True
        ):
            judged.append(_judged(history, question, foreign, index.search(queries), turns))
    return judged


async def plain_index(history: History, embedder: Embedder | None) -> PlainIndex:
    """The history as ``operations.record`` would index it, one node a turn."""
    before: dict[str, list[tuple[str | None, str]]] = {}
    contexts = []
    for turn in history.turns:
        previous = before.setdefault(turn.session, [])
        contexts.append(indexing.context_text(previous, turn.speaker, turn.content))
        previous.append((turn.speaker, turn.content))
    vectors: FloatArray | None = None
    if embedder is not None:
        texts = [indexing.document_text(turn.speaker, turn.content) for turn in history.turns]
        vectors = await embedder.embed([*texts, *contexts], "document")
    nodes = [
        IndexedNode(
            MemoryNode(
                id=turn.id,
                kind="conversation",
                content=turn.content,
                said_at=turn.at,
                provenance=(turn.id,),
                session_id=turn.session,
                speaker=turn.speaker,
                role=turn.role,
                seq=place + 1,
            ),
            tuple(lexical.analyze(turn.content)),
            tuple(lexical.analyze(context)),
            None if vectors is None else vectors[place],
            None if vectors is None else vectors[len(contexts) + place],
            is_question(turn.content),
        )
        for place, (turn, context) in enumerate(zip(history.turns, contexts, strict=True))
    ]
    return PlainIndex(nodes, 0 if vectors is None else vectors.shape[1])


async def queries_of(
    questions: Sequence[tuple[Question, bool]], embedder: Embedder | None
) -> list[tuple[Query, ...]]:
    """For each question itself and its parts, as the retrieve operation asks them."""
    texts = [(question.text, *lexical.query_parts(question.text)) for question, _ in questions]
    flat = [text for group in texts for text in group]
    vectors = None if embedder is None or not flat else await embedder.embed(flat, "query")
    queries = iter(
        Query(
            "query" if row == 0 else f"part {row}",
            tuple(lexical.analyze(text)),
            None if vectors is None else vectors[place],
        )
        for place, (row, text) in enumerate(
            (row, text) for group in texts for row, text in enumerate(group)
        )
    )
    return [tuple(next(queries) for _ in group) for group in texts]


def _judged(
    history: History,
    question: Question,
    foreign: bool,
    candidates: Candidates,
    turns: tuple[str, ...],
) -> Judged:
    features = query_features(
        question.text, candidates.speakers, intervals_of(question), candidates.dense.shape[0] - 1
    )
    return Judged(history, question, candidates, turns, features, foreign)


def intervals_of(question: Question) -> list[Interval]:
    """The times that the question names, read on the day it is asked."""
    return [
        time.interval for time in find_times(question.text, reference=question.at, prefer="past")
    ]


def own(histories: Sequence[History]) -> list[Asked]:
    """Every history with its own questions."""
    return [(history, [(q, False) for q in history.questions]) for history in histories]


def foreign(histories: Sequence[History], step: int = 1) -> list[Asked]:
    """Every history with the questions of the one ``step`` places on, to which it has no answer.

    Speakers' names in them are swapped for this history's, else the name alone gives them away.
    Questions whose gold session is also part of this history are left out.
    """
    asked: list[Asked] = []
    for place, history in enumerate(histories):
        other = histories[(place + step) % len(histories)]
        if other is history:
            continue
        here = {turn.session for turn in history.turns}
        names = dict(zip(other.speakers, history.speakers, strict=False))
        asked.append(
            (
                history,
                [
                    (_renamed(question, names), True)
                    for question in other.questions
                    if not (question.sessions & here and _shared(history, other, question))
                ],
            )
        )
    return asked


def _shared(history: History, other: History, question: Question) -> bool:
    """Whether a gold session of ``question`` has the same words in both histories."""
    mine = {turn.content for turn in history.turns}
    return any(turn.content in mine for turn in other.turns if turn.session in question.sessions)


def _renamed(question: Question, names: Mapping[str, str]) -> Question:
    """The question with every name replaced at once (two histories may share a name)."""
    text = question.text
    for index, name in enumerate(names):
        text = text.replace(name, f"\0{index}\0")
    for index, name in enumerate(names.values()):
        text = text.replace(f"\0{index}\0", name)
    empty: frozenset[str] = frozenset()
    return Question(question.id, text, question.category, empty, empty, question.at, False)


def shortened(history: History, sessions: int | None, questions: int | None) -> History:
    """The first ``sessions`` of ``history``, and of the questions that need no others some."""
    kept = list(dict.fromkeys(turn.session for turn in history.turns))[:sessions]
    turns = tuple(turn for turn in history.turns if turn.session in kept)
    answered = [question for question in history.questions if question.sessions <= set(kept)]
    if questions is not None and len(answered) > questions:
        answered = [answered[place * len(answered) // questions] for place in range(questions)]
    return replace(history, turns=turns, questions=tuple(answered))


def score_rows(judged: Judged, scores: FloatArray) -> list[str]:
    """Turn ids in order of score, each once; equal scores keep the candidates' order."""
    order = np.argsort(-scores, kind="stable")
    return list(dict.fromkeys(judged.turns[row] for row in order))
