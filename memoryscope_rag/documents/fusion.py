"""Several rankings made one. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

CONSTANT = 60
"""How much a first place counts over later ones; 60 is what the paper found."""


def reciprocal_rank_fusion(rankings: Sequence[Sequence[int]]) -> list[int]:
    """The items of ``rankings`` (best first), each once, by the sum of ``1 / (60 + rank)``.

    Ranks count from 1; of items with equal sums the smaller comes first. For rankings whose
    scores cannot be compared, as those of a question and of long clues cannot.

    Source: Cormack, Clarke, Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual
    Rank Learning Methods", SIGIR 2009, section 2.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(dict.fromkeys(ranking), 1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (CONSTANT + rank)
    return sorted(scores, key=lambda item: (-scores[item], item))
