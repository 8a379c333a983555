"""Reciprocal rank fusion against its formula, item by item."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from memoryscope_rag.documents.fusion import reciprocal_rank_fusion


@given(st.lists(st.lists(st.integers(0, 12), unique=True, max_size=8), max_size=5))
def test_p19_fusion_is_the_formula(rankings: list[list[int]]) -> None:
    items = sorted({item for ranking in rankings for item in ranking})

    def score(item: int) -> Fraction:
        ranks = [ranking.index(item) + 1 for ranking in rankings if item in ranking]
        return sum((Fraction(1, 60 + rank) for rank in ranks), Fraction())

    fused = reciprocal_rank_fusion(rankings)
    assert sorted(fused) == items
    for better, worse in pairwise(fused):
        # sums of floats may order exact ties either way
        assert score(better) - score(worse) > -Fraction(1, 10**12)


def test_what_several_queries_find_comes_first() -> None:
    assert reciprocal_rank_fusion([[7, 3], [5, 3], [9, 3]]) == [3, 5, 7, 9]
    assert reciprocal_rank_fusion([]) == []
