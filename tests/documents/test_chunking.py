"""Chunks fit, lose nothing, and stand where they say."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memoryscope_rag.documents.chunking import Chunk, chunk_text
from memoryscope_rag.errors import InvalidInput, MissingExtra
from memoryscope_rag.models.cached import CachedEmbedder
from memoryscope_rag.models.onnx import OnnxEmbedder
from memoryscope_rag.models.presets import ModelOptions
from memoryscope_rag.models.segment import pieces
from memoryscope_rag.models.tokenizer import bert_uncased
from memoryscope_rag.testing.fakes import HashEmbedder
from tests.documents.samples import CHINESE, ENGLISH
from tests.models.test_onnx import minilm_folder

TOKENIZER = bert_uncased()
TEXTS = st.text(
    st.one_of(
        st.sampled_from(" \n\r\t.!?。，\u3000\u200d\u0301"),
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("abc的一是不"),
    ),
    max_size=300,
)


def count(text: str) -> int:
    return len(TOKENIZER.encode(text, add_special_tokens=False).ids)


def check(text: str, chunks: tuple[Chunk, ...]) -> None:
    """Order, offsets, and that only white space lies between chunks."""
    reached = 0
    for number, chunk in enumerate(chunks):
        assert chunk.index == number
        assert chunk.text
        assert text[chunk.start : chunk.end] == chunk.text
        assert chunk.end > reached
        assert not text[reached : chunk.start].strip()
        reached = chunk.end
    assert not text[reached:].strip()


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.integers(1, 40), st.data())
def test_p19_chunks_fit_and_lose_nothing(text: str, tokens: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, tokens - 1))
    chunks = chunk_text(text, tokens, tokenizer=TOKENIZER, overlap=overlap)
    check(text, chunks)
    for chunk in chunks:
        assert chunk.tokens >= count(chunk.text)
        assert chunk.tokens <= tokens or len(chunk.text) == 1
    if not overlap:
        assert all(one.end <= two.start for one, two in pairwise(chunks))


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.integers(3, 60), st.integers(1, 80))
def test_chunks_fit_an_embedder(text: str, width: int, tokens: int) -> None:
    def cut(part: str) -> tuple[tuple[int, int], ...]:
        return pieces(part, lambda one: np.arange(len(one), dtype=np.int64), width)

    chunks = chunk_text(text, tokens, tokenizer=TOKENIZER, pieces=cut)
    check(text, chunks)
    assert all(len(chunk.text) <= width for chunk in chunks)


def test_cuts_fall_between_paragraphs_and_sentences() -> None:
    chunks = chunk_text(ENGLISH, 70)
    check(ENGLISH, chunks)
    assert len(chunks) > 8
    assert all(chunk.text.endswith((".", "guests")) for chunk in chunks)
    chunks = chunk_text(CHINESE, 40)
    check(CHINESE, chunks)
    assert all(chunk.text.endswith(("。", "手册")) for chunk in chunks)


def test_the_default_counts_512_tokens_of_wordpiece() -> None:
    chunks = chunk_text(ENGLISH * 4)
    assert [chunk.tokens for chunk in chunks] == [count(chunk.text) for chunk in chunks]
    assert 400 < chunks[0].tokens <= 512


def test_overlap_repeats_the_end_of_a_chunk() -> None:
    chunks = chunk_text(ENGLISH, 80, overlap=40)
    check(ENGLISH, chunks)
    shared = [one.end - two.start for one, two in pairwise(chunks)]
    assert max(shared) > 0
    for one, two in pairwise(chunks):
        assert count(ENGLISH[two.start : one.end]) <= 40


def test_b15_no_chinese_chunk_is_longer_than_the_model_reads(tmp_path: Path) -> None:
    # MemoRAG embeds Chinese chunks of 2048 tokens with a model that reads 512
    minilm = OnnxEmbedder.load(threads=1)
    short = OnnxEmbedder.load(
        minilm_folder(tmp_path / "short"), options=ModelOptions("mean", max_tokens=64), threads=1
    )
    text = CHINESE * 4
    for embedder in (minilm, short, CachedEmbedder(short), HashEmbedder()):
        chunks = chunk_text(text, 2048, pieces=embedder.pieces)
        check(text, chunks)
        assert all(len(embedder.pieces(chunk.text)) == 1 for chunk in chunks)
    assert max(chunk.tokens for chunk in chunk_text(text, 2048, pieces=minilm.pieces)) > 200
    minilm.close()
    short.close()


@pytest.mark.parametrize("text", ["", " \n\n\t ", "\u3000"])
def test_white_space_has_no_chunks(text: str) -> None:
    assert chunk_text(text) == ()


def test_a_blob_without_words_is_cut_too() -> None:
    # WordPiece reads it as one unknown token, however long it is
    blob = "QUJD" * 10_000
    assert count(blob) == 1
    chunks = chunk_text(blob, 100)
    check(blob, chunks)
    assert max(len(chunk.text) for chunk in chunks) <= 2000


def test_what_cannot_be_cut_is_refused() -> None:
    for tokens, overlap, reason in (
        (0, 0, "tokens: is 0, must be at least 1"),
        (5, 5, r"overlap: 5 is not in 0\.\.4"),
        (5, -1, r"overlap: -1 is not in 0\.\.4"),
    ):
        with pytest.raises(InvalidInput, match=reason):
            chunk_text("text", tokens, overlap=overlap)
    with pytest.raises(InvalidInput, match="lone surrogate"):
        chunk_text("a \ud800 b")
    cutting = bert_uncased()
    cutting.enable_truncation(10)
    with pytest.raises(InvalidInput, match="no_truncation"):
        chunk_text("text", tokenizer=cutting)


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "semantic_text_splitter", None)
    with pytest.raises(MissingExtra, match=r"memoryscope-rag\[documents\]"):
        chunk_text("text")
