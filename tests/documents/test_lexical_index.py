"""Chunks found by their words, against a plain BM25."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memoryscope_rag.documents.chunking import Chunk
from memoryscope_rag.documents.lexical_index import LexicalIndex
from memoryscope_rag.evaluation.plain_index import BM25
from memoryscope_rag.lexical import analyze

WORD = st.sampled_from(["mill", "rye", "ledger", "tram", "Porto", "成都", "下雨"])
TEXT = st.lists(WORD, min_size=1, max_size=9).map(" ".join)


def chunks(texts: list[str]) -> list[Chunk]:
    return [Chunk(text, index, 0, len(text), 1) for index, text in enumerate(texts)]


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=12), TEXT, st.integers(1, 15))
def test_the_order_is_that_of_bm25(texts: list[str], query: str, hits: int) -> None:
    (found,) = LexicalIndex(chunks(texts)).search([query], hits)
    scores = BM25([analyze(text) for text in texts]).scores(analyze(query))
    matching = [index for index in range(len(texts)) if scores[index] > 0]
    assert len(found) == min(hits, len(matching))
    assert set(found) <= set(matching)
    told = [float(scores[index]) for index in found]
    assert told == pytest.approx(sorted(map(float, scores[matching]), reverse=True)[:hits])


def test_the_share_counts_rare_words_more_and_unknown_ones_most() -> None:
    index = LexicalIndex(chunks(["the mill ground rye", "the mill burned", "the mill stood"]))
    assert index.share("mill rye", 0) == 1.0
    assert index.share("mill rye", 1) < 0.3
    assert index.share("rye", 1) == 0.0
    assert index.share("rye zeppelin", 0) < 0.5
    assert index.share("the", 0) == 0.0


def test_nothing_is_found_in_nothing() -> None:
    assert LexicalIndex([]).search(["mill"], 3) == [[]]
    assert LexicalIndex(chunks(["mill"])).search(["rye", "the"], 3) == [[], []]
    assert LexicalIndex(chunks(["mill"])).search([], 3) == []
