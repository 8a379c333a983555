"""Retrieval metrics over one ranking: names in order, best first, none twice.

*any*: one gold name in the first k; *all*: every one; *recall*: the share of them. All are 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

CUTS = (1, 3, 5, 10)
BEYOND = 30
"""Places from which on evidence counts as not found."""
BUDGETS = (500, 1500, 3000)
TURN_OVERHEAD = 12
"""Tokens a packed turn costs besides its text: id, date, speaker."""


def recall(ranking: Sequence[str], gold: Collection[str], k: int) -> float:
    """The share of ``gold`` in the first ``k``; ``gold`` must not be empty."""
    return len(set(ranking[:k]) & set(gold)) / len(set(gold))


def any_hit(ranking: Sequence[str], gold: Collection[str], k: int) -> float:
    """1 if at least one of ``gold`` is in the first ``k``."""
    return float(bool(set(ranking[:k]) & set(gold)))


def all_hit(ranking: Sequence[str], gold: Collection[str], k: int) -> float:
    """1 if every one of ``gold`` is in the first ``k``."""
    return float(set(gold) <= set(ranking[:k]))


def ndcg(ranking: Sequence[str], gold: Collection[str], k: int) -> float:
    """Normalised discounted cumulative gain with binary relevance.

    The ideal puts all of ``gold`` first, found or not, so missing items cost. (Published figures
    that normalise by what was retrieved are higher; LongMemEval's own script leaves rank 2
    undiscounted.)
    """
    wanted = set(gold)
    gain = sum(1 / math.log2(place + 2) for place, name in enumerate(ranking[:k]) if name in wanted)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(wanted))))
    return gain / ideal


def recall_within(
    ranking: Sequence[str], gold: Collection[str], costs: Mapping[str, float], budget: float
) -> float:
    """The share of ``gold`` among what fits: names are taken in order until one does not fit."""
    taken: list[str] = []
    for name in ranking:
        budget -= costs[name]
        if budget < 0:
            break
        taken.append(name)
    return recall(taken, gold, len(taken))


def turn_cost(text: str) -> float:
    """Tokens of a packed turn as benchmarks count them: characters / 4, and twelve."""
    return len(text) / 4 + TURN_OVERHEAD


def first_seen(names: Sequence[str]) -> list[str]:
    """``names`` without repetition, in order of first appearance."""
    return list(dict.fromkeys(names))


def mean_of(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of every metric over the rows that have it."""
    names = first_seen([name for row in rows for name in row])
    return {
        name: sum(row[name] for row in rows if name in row) / sum(1 for row in rows if name in row)
        for name in names
    }


def area_under_curve(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The chance that a positive scores above a negative, ties by half (ROC AUC)."""
    values = sorted([(value, 1) for value in positive] + [(value, 0) for value in negative])
    rank_sum = 0.0
    index = 0
    while index < len(values):
        end = index
        while end < len(values) and values[end][0] == values[index][0]:
            end += 1
        rank = (index + end + 1) / 2
        rank_sum += rank * sum(label for _, label in values[index:end])
        index = end
    count = len(positive)
    return (rank_sum - count * (count + 1) / 2) / (count * len(negative))
