"""Metrics by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoryscope_rag.evaluation import metrics

RANKING = ["a", "b", "c", "d", "e"]


def test_recall_any_all() -> None:
    assert metrics.recall(RANKING, {"a", "d"}, 3) == 0.5
    assert metrics.recall(RANKING, {"a", "x"}, 5) == 0.5
    assert metrics.any_hit(RANKING, {"d", "x"}, 3) == 0.0
    assert metrics.any_hit(RANKING, {"d", "x"}, 4) == 1.0
    assert metrics.all_hit(RANKING, {"a", "d"}, 3) == 0.0
    assert metrics.all_hit(RANKING, {"a", "d"}, 4) == 1.0


def test_ndcg_normalises_by_all_gold() -> None:
    assert metrics.ndcg(RANKING, {"a"}, 10) == 1.0
    assert metrics.ndcg(RANKING, {"b"}, 10) == pytest.approx(1 / math.log2(3))
    missing = 1 / (1 + 1 / math.log2(3))
    assert metrics.ndcg(RANKING, {"a", "x"}, 10) == pytest.approx(missing)
    assert metrics.ndcg(["a"], {"a", "x", "y"}, 1) == 1.0


def test_budget_stops_at_what_does_not_fit() -> None:
    costs = {"a": 40.0, "b": 70.0, "c": 10.0, "d": 1.0, "e": 1.0}
    assert metrics.recall_within(RANKING, {"a", "c"}, costs, 100) == 0.5
    assert metrics.recall_within(RANKING, {"a", "c"}, costs, 120) == 1.0
    assert metrics.recall_within(RANKING, {"a"}, costs, 10) == 0.0


def test_turn_cost() -> None:
    assert metrics.turn_cost("x" * 40) == 22.0


def test_mean_of_what_is_there() -> None:
    assert metrics.mean_of([{"a": 1.0}, {"a": 0.0, "b": 0.5}]) == {"a": 0.5, "b": 0.5}


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=8),
    st.lists(st.integers(0, 5), min_size=1, max_size=8),
)
def test_auc_equals_counting_pairs(positive: list[int], negative: list[int]) -> None:
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    expected = sum(pairs) / len(pairs)
    assert metrics.area_under_curve(positive, negative) == pytest.approx(expected)
