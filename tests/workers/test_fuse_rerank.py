"""The best of many, what counts as a repetition, and how a reranker's scores enter the order."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from memoryscope_rag.schema import Kind, MemoryNode
from memoryscope_rag.workers.frontend.fuse_rerank import distinct, reorder
from memoryscope_rag.workers.frontend.ranking import Ranked, best_rows


def node(name: str, content: str, kind: Kind = "conversation", *messages: str) -> MemoryNode:
    return MemoryNode(
        id=name,
        kind=kind,
        content=content,
        said_at=datetime(2026, 1, 1, tzinfo=UTC),
        provenance=messages,
    )


def kept(*nodes: MemoryNode) -> list[str]:
    return [item.id for item in distinct(nodes)]


def test_d4_the_same_words_stand_once() -> None:
    assert kept(node("a", "I like  Tea"), node("b", "i like tea"), node("c", "I like teal")) == [
        "a",
        "c",
    ]


def test_d4_a_fact_and_the_one_turn_it_rests_on_stand_once_in_either_order() -> None:
    turn = node("t", "I moved to Rome last week!", "conversation", "m1")
    fact = node("f", "Ann lives in Rome", "observation", "m1")
    wide = node("w", "Ann travels a lot", "observation", "m1", "m2")
    assert kept(turn, fact, wide) == ["t", "w"]
    assert kept(fact, turn, wide) == ["f", "w"]


def test_pieces_of_one_message_and_facts_of_one_message_all_stand() -> None:
    first = node("p0", "first half", "conversation", "m1")
    second = node("p1", "second half", "conversation", "m1")
    assert kept(first, second) == ["p0", "p1"]
    facts = [node(f"f{i}", f"fact {i}", "observation", "m2") for i in range(3)]
    assert kept(*facts) == ["f0", "f1", "f2"]


def test_d3_reranked_items_come_first_in_the_rerankers_order() -> None:
    row = np.zeros(1, dtype=np.float32)
    order = [Ranked(name, -float(i), row, ()) for i, name in enumerate("abcd")]
    assert [item.id for item in reorder(order, {"a": 0.1, "c": 0.9})] == ["c", "a", "b", "d"]
    assert reorder(order, {}) == order


@given(st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]), max_size=30), st.integers(1, 40))
def test_the_best_come_first_and_equal_scores_go_by_id(scores: list[float], count: int) -> None:
    ids = [f"n{row * 7 % 31}" for row in range(len(scores))]
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], ids[row]))
    assert best_rows(np.array(scores, dtype=np.float32), ids, count) == order[:count]
