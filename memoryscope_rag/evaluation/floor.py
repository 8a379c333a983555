"""The floor: below which best score a query has no answer in this memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from memoryscope_rag.evaluation.gather import Judged
from memoryscope_rag.evaluation.metrics import area_under_curve
from memoryscope_rag.scoring import LinearRanker, signals

KEPT = 0.95
"""Share of the answerable questions that must keep their evidence."""
LEVEL = "lexical_level"
UNSPACED = "unspaced"
LEVELS = (0.0, 1.0, 2.0, 3.0)


@dataclass(frozen=True, slots=True)
class FloorFigures:
    """``kept``: answerable questions that return something; ``refused``: foreign ones that do not.

    ``auc`` is the chance that an answerable question's best score is above a foreign one's;
    ``refused_at_95`` what a floor chosen on these very questions to keep 95 % would refuse.
    """

    floor: float
    kept: float
    refused: float
    auc: float
    refused_at_95: float
    answerable: int
    foreign: int


def best_score(item: Judged, ranker: LinearRanker) -> float:
    """The score of the best candidate, minus infinity without any."""
    matrix = signals(item.candidates, item.features, ranker.calibration)
    return float(ranker.score(matrix).max(initial=-np.inf))


def with_floor(
    ranker: LinearRanker,
    own: Mapping[str, Sequence[Judged]],
    foreign: Mapping[str, Sequence[Judged]],
) -> LinearRanker:
    """The ranker with the weights of the signals that only the floor needs, and the floor.

    ``lexical_level`` gets the weight of :data:`LEVELS` with the best mean AUC over the data sets.
    The floor is the lowest that any set in spaced script needs, so that each keeps its 95 %;
    ``unspaced`` moves the scores of the others so that the same floor fits them.
    """

    def quality(weight: float) -> float:
        trial = replace(ranker, weights={**ranker.weights, LEVEL: weight})
        return sum(floor_figures(own[name], foreign[name], trial).auc for name in own)

    level = max(LEVELS, key=quality) if foreign else 0.0
    best = replace(ranker, weights={**ranker.weights, LEVEL: level, UNSPACED: 0.0})
    needed: dict[bool, list[float]] = {False: [], True: []}
    for judged in own.values():
        scores = [best_score(item, best) for item in judged if item.question.answerable]
        unspaced = sum(item.features.unspaced for item in judged) * 2 > len(judged)
        needed[unspaced].append(floor_for(scores))
    floor = min(needed[False] or needed[True])
    shift = floor - min(needed[True]) if needed[False] and needed[True] else 0.0
    weights = {**best.weights, UNSPACED: round(shift + 0.005, 2)}
    return replace(best, weights=weights, floor=round(floor - 0.01, 2))


def floor_for(scores: Sequence[float], kept: float = KEPT) -> float:
    """The highest floor that keeps at least the share ``kept`` of ``scores``."""
    ordered = sorted(scores, reverse=True)
    return ordered[min(len(ordered), int(np.ceil(kept * len(ordered)))) - 1]


def floor_figures(
    own: Sequence[Judged], foreign: Sequence[Judged], ranker: LinearRanker
) -> FloorFigures:
    """What the ranker's floor does to answerable and to foreign questions."""
    mine = [best_score(item, ranker) for item in own if item.question.answerable]
    theirs = [best_score(item, ranker) for item in foreign]
    at_95 = floor_for(mine)
    return FloorFigures(
        floor=ranker.floor,
        kept=float(np.mean([score >= ranker.floor for score in mine])),
        refused=float(np.mean([score < ranker.floor for score in theirs])),
        auc=area_under_curve(mine, theirs),
        refused_at_95=float(np.mean([score < at_95 for score in theirs])),
        answerable=len(mine),
        foreign=len(theirs),
    )
