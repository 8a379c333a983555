"""Pieces cover the text, fit the model, and end where a reader would pause."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.models.onnx import OnnxEmbedder
from memoryscope_rag.models.presets import PRESETS
from memoryscope_rag.models.segment import pieces, split
from memoryscope_rag.models.tokenizer import bert_uncased, read_tokenizer

WORDS = bert_uncased()
PARTS = st.sampled_from(
    [
        *["hello ", "world", "unaffableness ", "Yes. ", "No! ", "Why?", "3.14 ", "…", "\n", "\r\n"],
        *[
            "   ",
            "你好",
            "。",
            "！",
            "？",
            "e\u0301",
            "👩‍👩‍👧",
            "🇵🇹🇪🇸",
            "👍🏽",
            "x" * 101,
            "[SEP]",
            "\u200b",
        ],
    ]
)
TEXTS = st.lists(PARTS, max_size=120).map("".join) | st.text(max_size=200)


def token_starts(text: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    offsets = WORDS.encode(text, add_special_tokens=False).offsets
    return np.array([start for start, _ in offsets], dtype=np.int64)


def covers(text: str, spans: tuple[tuple[int, int], ...]) -> bool:
    joined = "".join(text[start:end] for start, end in spans)
    ends = [0, *(end for _, end in spans)]
    return joined == text and [start for start, _ in spans] == ends[:-1] and ends[-1] == len(text)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=TEXTS, budget=st.integers(min_value=1, max_value=40))
@example(text="x" * 101 + "y" * 400, budget=3)
@example(text="e" + "\u0301" * 300, budget=2)
def test_pieces_cover_and_fit(text: str, budget: int) -> None:
    spans = pieces(text, token_starts, budget)
    assert covers(text, spans)
    assert spans == pieces(text, token_starts, budget)
    if len(spans) > 1:
        assert all(start < end for start, end in spans)
    for start, end in spans:
        assert end - start < 2 or len(token_starts(text[start:end])) <= budget


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_one_piece_when_the_text_fits(text: str) -> None:
    assert split(text, token_starts(text), 10_000) == ((0, len(text)),)


@pytest.mark.parametrize(
    ("text", "budget", "wanted"),
    [
        ("One two. Three four. Five six.", 7, ["One two. ", "Three four. Five six."]),
        ("Pi is 3.14 and e is 2.71 or so", 6, ["Pi is 3.14 ", "and e is ", "2.71 or so"]),
        ("今天下雨。明天晴天。", 6, ["今天下雨。", "明天晴天。"]),
        ('He said "go." Then he left us', 7, ['He said "go." ', "Then he left us"]),
        ("first line\nsecond line", 3, ["first line\n", "second line"]),
        ("alpha beta gamma delta", 2, ["alpha beta ", "gamma delta"]),
    ],
)
def test_where_the_cuts_fall(text: str, budget: int, wanted: list[str]) -> None:
    assert [text[a:b] for a, b in pieces(text, token_starts, budget)] == wanted


@pytest.mark.parametrize("cluster", ["e\u0301\u0308", "👩‍👩‍👧‍👦", "👍🏽", "🇵🇹", "❤️", "\r\n", "नि"])
def test_no_cut_inside_a_grapheme(cluster: str) -> None:
    text = cluster * 50

    def each_character(part: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.arange(len(part), dtype=np.int64)

    for start, end in pieces(text, each_character, 3 * len(cluster) + 1):
        assert text[start:end] == cluster * ((end - start) // len(cluster))


def test_pieces_are_of_like_size() -> None:
    text = "word " * 1000
    spans = pieces(text, token_starts, 300)
    sizes = [len(token_starts(text[start:end])) for start, end in spans]
    assert sizes == [250] * 4


def test_pieces_of_minilm(minilm: OnnxEmbedder) -> None:
    text = "We talked about the garden, the dog and the flights. " * 200
    spans = minilm.pieces(text)
    assert covers(text, spans)
    assert len(spans) > 1
    for start, end in spans:
        assert len(WORDS.encode(text[start:end]).ids) <= minilm.spec.max_tokens
        assert text[start:end].endswith(". ")
    assert minilm.pieces("") == ((0, 0),)
    assert minilm.pieces("Hi!") == ((0, 3),)
    with pytest.raises(InvalidInput, match="lone surrogate"):
        minilm.pieces("a\udfffb")


@pytest.mark.parametrize("name", ["e5-small-v2", "bge-small-zh-v1.5"])
def test_pieces_leave_room_for_the_prefixes(
    name: str, open_model: Callable[[str], OnnxEmbedder], models_dir: Path
) -> None:
    tokenizer = read_tokenizer(models_dir / name / "tokenizer.json")
    options = PRESETS[name].options
    text = "我家的狗叫小白，今年四岁了。It is 4 years old, and unaffable. " * 200
    spans = open_model(name).pieces(text)
    assert covers(text, spans)
    for prefix in (options.query_prefix, options.document_prefix):
        sizes = [len(tokenizer.encode(prefix + text[a:b]).ids) for a, b in spans]
        assert max(sizes) <= options.max_tokens
        assert min(sizes) > options.max_tokens // 2


@pytest.mark.parametrize(
    "unit", ["Hello world, it is me. ", "你好世界。", "a", " ", ". ", "\n", "👩‍👩‍👧"]
)
def test_a_megabyte(minilm: OnnxEmbedder, unit: str) -> None:
    text = unit * (1_000_000 // len(unit.encode()))
    start = time.perf_counter()
    spans = minilm.pieces(text)
    assert covers(text, spans)
    assert time.perf_counter() - start < 60  # quadratic time would be hours
