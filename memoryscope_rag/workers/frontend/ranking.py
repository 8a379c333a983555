"""The linear ranker over all candidates of a retrieval, for the workers that order them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memoryscope_rag.ports import Candidates, FloatArray
from memoryscope_rag.scoring import LinearRanker, query_features, signals
from memoryscope_rag.workers.frontend.state import RetrievalState


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """A candidate with its score, its row of signals and the queries that found it."""

    id: str
    score: float
    row: FloatArray
    found_by: tuple[str, ...]


def rank(state: RetrievalState, ranker: LinearRanker, count: int) -> tuple[list[Ranked], int]:
    """The best ``count`` candidates, best first, and of how many; equal scores in order of id."""
    intervals = [time.interval for time in state.times]
    best: list[Ranked] = []
    total = 0
    for candidates in (state.evidence, state.memory):
        if candidates is None or not len(candidates):
            continue
        total += len(candidates)
        features = query_features(state.text, candidates.speakers, intervals, state.parts)
        matrix = signals(candidates, features, ranker.calibration)
        scores = ranker.score(matrix)
        order = np.lexsort((np.array(candidates.ids), -scores))[:count].tolist()
        best += [
            Ranked(
                candidates.ids[row],
                float(scores[row]),
                matrix[row],
                _found_by(state, candidates, row),
            )
            for row in order
        ]
    best.sort(key=lambda item: (-item.score, item.id))
    return best[:count], total


def _found_by(state: RetrievalState, candidates: Candidates, row: int) -> tuple[str, ...]:
    """The query a hit answers best; ``neighbour`` for a turn that came with one."""
    if not candidates.found[row]:
        return ("neighbour",)
    strength = np.nan_to_num(candidates.dense[:, row]) + candidates.lexical[:, row] / np.maximum(
        candidates.lexical_best, 1e-6
    )
    return (state.queries[int(strength.argmax())].name,)
