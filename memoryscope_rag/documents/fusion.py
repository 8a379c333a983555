"""Several rankings made one. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

CONSTANT = 60
"""How much a first place counts over later ones; 60 is what the paper found."""


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[int]], weights: Sequence[float] | None = None
) -> list[int]:
    """The items of ``rankings`` (best first), each once, by the sum of ``weight / (60 + rank)``.

    Ranks count from 1; of items with equal sums the smaller comes first. For rankings whose
    scores cannot be compared, as those of a question and of long clues cannot. ``weights``, one a
    ranking, are all 1 by default, as in the paper.

    Source: Cormack, Clarke, Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual
    Rank Learning Methods", SIGIR 2009, section 2.
    """
    scores: dict[int, float] = {}
    given = [1.0] * len(rankings) if weights is None else weights
    for ranking, weight in zip(rankings, given, strict=True):
        for rank, item in enumerate(dict.fromkeys(ranking), 1):
            scores[item] = scores.get(item, 0.0) + weight / (CONSTANT + rank)
    return sorted(scores, key=lambda item: (-scores[item], item))
