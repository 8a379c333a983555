"""Tokens: the same for a text and for a query that means it, in many scripts."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoryscope_rag.lexical import (
    MAX_PARTS,
    MAX_TOKEN,
    analyze,
    detect_language,
    estimate_tokens,
    query_parts,
)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The dogs were running", ["dog", "run"]),
        ("Caroline's painting", ["carolin", "paint"]),
        ("Caroline’s painting", ["carolin", "paint"]),
        ("I don't, you can't, we won't", []),
        ("1,000 cats and 3.5 kg", ["1000", "cat", "3.5", "kg"]),
        ("iPhone15 B2B 5th", ["iphone15", "b2b", "5th"]),
        ("foo_bar", ["foo", "bar"]),
        ("ＡＢＣ １２", ["abc", "12"]),
        ("我住在杭州", ["我住", "住在", "在杭", "杭州"]),
        ("你", ["你"]),
        ("你 好", ["你", "好"]),
        ("10月09日", ["10", "月", "09", "日"]),
        ("我爱Python", ["我爱", "python"]),
        ("한국어 공부", ["한국", "국어", "공부"]),
        ("", []),
        ("?!…", []),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    assert analyze(text) == tokens


def test_query_and_turn_meet() -> None:
    assert set(analyze("What did Ann paint?")) <= set(analyze("Ann's paintings are done"))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Ich wohne in Berlin und habe einen Hund", "german"),
        ("Je suis dans la maison avec mon chien", "french"),
        ("Mi hermano vive en una casa muy grande pero no tiene perro", "spanish"),
        ("The war was long and the son did die", "english"),
        ("ok", "english"),
    ],
)
def test_language_needs_evidence(text: str, language: str) -> None:
    assert detect_language(text) == language


def test_words_of_another_language_are_stemmed_in_it() -> None:
    assert analyze("Ich wohne in Berlin und habe einen Hund") == ["wohn", "berlin", "hund"]
    assert analyze("книги о войне") == analyze("книга о войне")


@given(st.text(max_size=200))
def test_any_text_has_clean_tokens(text: str) -> None:
    for token in analyze(text):
        assert token
        assert len(token) <= MAX_TOKEN
        assert not any(char.isspace() for char in token)


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=200))
def test_case_and_width_do_not_matter(text: str) -> None:
    assert analyze(text.upper()) == analyze(text.lower())


@given(st.text(alphabet="abcdefg ,.'0123456789é漢字", max_size=80))
def test_normal_forms_are_one(text: str) -> None:
    assert analyze(unicodedata.normalize("NFD", text)) == analyze(text)


def test_parts_of_a_query() -> None:
    assert query_parts("Where does Ann live?") == ()
    assert query_parts("Where does Ann live? And which sport does she play?") == (
        "Where does Ann live?",
        "And which sport does she play?",
    )
    assert query_parts("我同事的电话是多少？另外，我的手机呢？") == (
        "我同事的电话是多少",
        "另外，我的手机呢",
    )
    assert query_parts("Meet at 10:30 on Sunday") == ()
    assert len(query_parts("cat? " * 50)) == MAX_PARTS


def test_token_estimate() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("a" * 400) == 100
    assert estimate_tokens("一" * 16) == 10


@given(st.text(max_size=100), st.text(max_size=100))
def test_token_estimate_is_nearly_additive(first: str, second: str) -> None:
    both = estimate_tokens(first + second)
    assert 0 <= estimate_tokens(first) + estimate_tokens(second) - both <= 1
