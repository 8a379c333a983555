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


def rank(state: RetrievalState, ranker: LinearRanker) -> list[Ranked]:
    """All candidates, best first; equal scores in order of id."""
    intervals = [time.interval for time in state.times]
    ranked: list[Ranked] = []
    for candidates in (state.evidence, state.memory):
        if candidates is None or not len(candidates):
            continue
        features = query_features(state.text, candidates.speakers, intervals, state.parts)
        matrix = signals(candidates, features, ranker.calibration)
        found = _found_by(state, candidates)
        ranked += [
            Ranked(name, float(score), row, by)
            for name, score, row, by in zip(
                candidates.ids, ranker.score(matrix), matrix, found, strict=True
            )
        ]
    return sorted(ranked, key=lambda item: (-item.score, item.id))


def _found_by(state: RetrievalState, candidates: Candidates) -> list[tuple[str, ...]]:
    """The query a hit answers best; ``neighbour`` for a turn that came with one."""
    if len(state.queries) > 1:
        strength = np.nan_to_num(candidates.dense) + candidates.lexical / np.maximum(
            candidates.lexical_best, 1e-6
        ).reshape(-1, 1)
        best = strength.argmax(axis=0)
    else:
        best = np.zeros(len(candidates), dtype=np.int64)
    return [
        (state.queries[query].name,) if hit else ("neighbour",)
        for query, hit in zip(best, candidates.found, strict=True)
    ]
