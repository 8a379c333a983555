"""The linear ranker over all candidates of a retrieval, for the workers that order them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.indexing import stem_of, stems
from memoryscope_rag.ports import Candidates, FloatArray
from memoryscope_rag.scoring import (
    LIFT,
    LinearRanker,
    attention_by_node,
    confidence,
    lift,
    query_features,
    signals,
)
from memoryscope_rag.workers.frontend.state import RetrievalState


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """A candidate with its score, its row of signals and by how much its facts raised it.

    ``raised`` goes by signal of :data:`~memoryscope_rag.scoring.LIFT`; ``None`` for no fact.
    ``found_by`` names the queries that found it, when the call asks for an explanation.
    """

    id: str
    score: float
    row: FloatArray
    found_by: tuple[str, ...]
    raised: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The ``best`` candidates, best first, equal scores by id, of so many nodes in the ``total``.

    ``confidence`` is that an answer is among the first few,
    :func:`~memoryscope_rag.scoring.confidence`.
    """

    best: list[Ranked]
    total: int
    confidence: float


def rank(state: RetrievalState, ranker: LinearRanker, count: int) -> Ranking:
    """The candidates of ``state`` in order, the first ``count`` of them.

    An observation whose turn is a candidate, too, raises that turn and has no place of its own.
    """
    attention = attention_by_node(state.attention, state.evidence, state.memory)
    turns = _scored(state, state.evidence, ranker, attention)
    facts = _scored(state, state.memory, ranker, attention)
    total = sum(side.candidates.population for side in (turns, facts) if side is not None)
    if turns is not None and facts is not None:
        source = _sources(turns, facts)
        if (source >= 0).any():
            raised = lift(turns.matrix, facts.matrix, source)
            turns = replace(turns, scores=turns.scores + raised.sum(axis=1), raised=raised)
            facts = replace(facts, scores=np.where(source >= 0, -np.inf, facts.scores))
    best: list[Ranked] = []
    for side in (turns, facts):
        if side is not None:
            best += side.best(state, count)
    best.sort(key=lambda item: (-item.score, item.id))
    scores = [side.scores for side in (turns, facts) if side is not None]
    sure = confidence(np.concatenate(scores)) if scores else 0.0
    return Ranking(best[:count], total, sure)


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    candidates: Candidates
    matrix: FloatArray
    scores: FloatArray
    raised: FloatArray | None = None

    def best(self, state: RetrievalState, count: int) -> list[Ranked]:
        """The best ``count``; those of minus infinity have no place."""
        rows = best_rows(self.scores, self.candidates.ids, count)
        return [
            Ranked(
                self.candidates.ids[row],
                float(self.scores[row]),
                self.matrix[row],
                _found_by(state, self.candidates, row) if state.explain else (),
                None if self.raised is None else self.raised[row],
            )
            for row in rows
            if self.scores[row] != -np.inf
        ]


def best_rows(scores: FloatArray, ids: Sequence[str], count: int) -> list[int]:
    """The rows of the best ``count`` (at least 1) of ``scores``, best first, equal ones by id."""
    rows = np.arange(len(scores))
    if count < len(scores):  # more than ``count`` where several share the last place
        rows = np.flatnonzero(scores >= np.partition(scores, -count)[-count])
    return sorted(rows.tolist(), key=lambda row: (-scores[row], ids[row]))[:count]


def _scored(
    state: RetrievalState,
    candidates: Candidates | None,
    ranker: LinearRanker,
    attention: Mapping[str, float],
) -> _Scored | None:
    if candidates is None or not len(candidates):
        return None
    if state.evidence is not None and state.memory is not None and len(state.evidence):
        # one scale for both: the best hit among the facts may be a poor one
        best = np.maximum(state.evidence.lexical_best, state.memory.lexical_best)
        candidates = replace(candidates, lexical_best=best)
    intervals = [time.interval for time in state.times]
    features = query_features(
        state.text,
        candidates.speakers,
        intervals,
        state.parts,
        clue_intervals=[time for lead in state.leads for time in lead.times],
        attention=attention,
    )
    matrix = signals(candidates, features, ranker.calibration)
    return _Scored(candidates, matrix, ranker.score(matrix))


def _sources(turns: _Scored, facts: _Scored) -> NDArray[np.int64]:
    """For each fact the row of the turn (its best piece) that it was drawn from, or -1."""
    rows: dict[int, int] = {}
    for row in np.argsort(turns.scores).tolist():
        rows[int(turns.candidates.seq[row])] = row
    drawn = facts.candidates
    return np.array(
        [
            rows.get(seq, -1) if kind == "observation" else -1
            for kind, seq in zip(drawn.kinds, drawn.seq.tolist(), strict=True)
        ],
        dtype=np.int64,
    )


def _found_by(state: RetrievalState, candidates: Candidates, row: int) -> tuple[str, ...]:
    """The query a hit answers best; ``neighbour`` for a turn that came with one.

    ``attention`` beside it where the turn is one of those that draw most of that.
    """
    stem = stem_of(candidates.ids[row])
    attended = ("attention",) if any(stem in stems(name) for name in state.attended) else ()
    if not candidates.found[row]:
        return ("neighbour", *attended)
    strength = np.nan_to_num(candidates.dense[:, row]) + candidates.lexical[:, row] / np.maximum(
        candidates.lexical_best, 1e-6
    )
    return (state.rows[int(strength.argmax())].name, *attended)


RAISED_BY = tuple(f"fact_{name}" for name in LIFT)
"""The names under which an explanation lists what facts added."""
