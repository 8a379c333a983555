"""Figures of ``bench clues``: rankings against evidence, and weights fitted beside the ranker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.evaluation import metrics
from memoryscope_rag.evaluation.datasets import Question
from memoryscope_rag.evaluation.fit import L2_FEW
from memoryscope_rag.evaluation.metrics import BEYOND
from memoryscope_rag.evaluation.report import Figures
from memoryscope_rag.scoring import SIGNALS, Group, LinearRanker, fit_listwise

LEARNT: Final = ("attention", "clue_dense", "clue_lexical", "clue_time")
"""Signals whose weights are fitted here; all others are the ranker's score."""
CUTS = (1, 5, 10)
ALONE, AUTO = "ranker", "auto"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One question in one system: the ranking that a user gets, and all candidates' signals.

    ``turns`` names the turn of each row of ``rows`` (n, S).
    """

    history: str
    question: Question
    ranking: list[str]
    turns: tuple[str, ...]
    rows: NDArray[np.float32]
    ms: float
    tokens: int
    clues: int
    unsupported: int


def judge(
    outcomes: Mapping[str, Sequence[Outcome]], ranker: LinearRanker
) -> tuple[dict[str, Figures], dict[str, dict[str, Figures]], dict[str, str]]:
    """Figures by system, the same by category, and what was learnt of the weights."""
    systems: dict[str, Figures] = {}
    categories: dict[str, dict[str, Figures]] = {}
    learnt: dict[str, str] = {}
    alone = [one.ranking for one in outcomes[ALONE]]
    for name, found in outcomes.items():
        rankings = {name: [one.ranking for one in found]}
        if name not in (ALONE, AUTO):
            rankings[f"{name}, fitted"], learnt[name] = _fitted(found, ranker)
        for system, ranked in rankings.items():
            rows = [
                _figures(one.question, ranking, other)
                for one, ranking, other in zip(found, ranked, alone, strict=True)
            ]
            systems[system] = metrics.mean_of(rows)
            by_category: dict[str, list[Figures]] = {}
            for one, row in zip(found, rows, strict=True):
                by_category.setdefault(one.question.category, []).append(row)
            categories[system] = {
                category: {"n": float(len(part)), **metrics.mean_of(part)}
                for category, part in by_category.items()
            }
        systems[name] = {**systems[name], **_costs(found)}
    return systems, categories, learnt


def _figures(question: Question, ranking: Sequence[str], alone: Sequence[str]) -> Figures:
    gold = question.turns
    missed = gold - set(alone[:BEYOND])
    return {
        **{f"recall@{k}": metrics.recall(ranking, gold, k) for k in CUTS},
        f"beyond@{BEYOND}": len(missed & set(ranking[:BEYOND])) / len(gold),
    }


def _costs(found: Sequence[Outcome]) -> Figures:
    clues = sum(one.clues for one in found)
    costs = {"ms": median(one.ms for one in found)}
    if clues:
        costs["clues"] = clues / len(found)
        costs["unsupported"] = sum(one.unsupported for one in found) / clues
        costs["tokens"] = sum(one.tokens for one in found) / len(found)
    return costs


def _fitted(found: Sequence[Outcome], ranker: LinearRanker) -> tuple[list[list[str]], str]:
    """Rankings with weights of the other conversations, and in words those fitted on all of them.

    The ranker's own weights stay in the proportion that they have to each other, so the words say
    what a weight would be beside them.
    """
    others = {name: w for name, w in ranker.weights.items() if name not in LEARNT}
    own = replace(ranker, weights=others)
    places = [SIGNALS.index(name) for name in LEARNT]
    columns = [
        np.column_stack([own.score(one.rows), one.rows[:, places]]).astype(np.float64)
        for one in found
    ]
    spread = np.mean([part.std(axis=0) for part in columns if len(part)], axis=0)
    spread[spread == 0] = 1.0
    groups = [
        Group(part / spread, _gold_rows(one)) for one, part in zip(found, columns, strict=True)
    ]
    held_out = {
        name: fit_listwise(
            [g for g, one in zip(groups, found, strict=True) if one.history != name], L2_FEW
        )
        for name in {one.history for one in found}
    }
    rankings = []
    for one, group in zip(found, groups, strict=True):
        order = np.argsort(-(group.signals @ held_out[one.history]), kind="stable")
        rankings.append(metrics.first_seen([one.turns[row] for row in order]))
    weights = fit_listwise(groups, L2_FEW) / spread
    words = [
        f"{name} {weight / weights[0]:+.2f}"
        for name, weight, part in zip(
            LEARNT, weights[1:], np.ptp(np.concatenate(columns), axis=0)[1:], strict=True
        )
        if part > 0
    ]
    return rankings, ", ".join(words) or "none"


def _gold_rows(one: Outcome) -> tuple[NDArray[np.int64], ...]:
    turns = np.array(one.turns)
    rows = (np.flatnonzero(turns == name) for name in sorted(one.question.turns))
    return tuple(part.astype(np.int64) for part in rows if len(part))
