"""Invented documents: what is asked stands where it is said to stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.evaluation.long_documents import (
    DOCUMENT_KINDS,
    LANGUAGES,
    long_document,
    read_documents,
    write_documents,
)
from memoryscope_rag.lexical import estimate_tokens, language_of


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("tokens", "seed"), [(10_000, 0), (10_000, 7), (200_000, 0)])
def test_the_evidence_answers_and_nothing_else_does(language: str, tokens: int, seed: int) -> None:
    document = long_document(tokens, language, seed=seed, questions=12)
    assert abs(estimate_tokens(document.text) - tokens) < 0.15 * tokens
    assert language_of(document.text[:4000]) == language
    assert [question.kind for question in document.questions] == [*DOCUMENT_KINDS] * 3
    for question in document.questions:
        facts = [document.text[start:end] for start, end in question.evidence]
        assert len(facts) == (3 if question.kind == "aggregated" else 2)
        assert all(document.text.count(fact) == 1 for fact in facts)
        parts = question.answer.replace("、", ", ").split(", ")
        for part in parts:
            assert any(part in fact for fact in facts)
        if question.kind == "aggregated":
            assert len(set(parts)) == 3
        if question.kind == "contradicted":
            assert question.answer in facts[1]
        if question.kind == "ordered":
            years = [int("".join(filter(str.isdigit, fact))) for fact in facts]
            first = facts[years.index(min(years))]
            assert question.answer in first
            assert question.answer in question.text


def test_the_same_seed_gives_the_same_document() -> None:
    one, same, other = (long_document(2_000, seed=seed, questions=4) for seed in (1, 1, 2))
    assert one == same
    assert one.text != other.text


def test_documents_are_written_and_read(tmp_path: Path) -> None:
    documents = [long_document(2_000, language, questions=4) for language in LANGUAGES]
    path = tmp_path / "documents.jsonl"
    write_documents(path, documents)
    assert read_documents(path) == documents


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 1"),
        ('{"id": "a", "language": "en", "text": "x"}', "questions"),
        (
            '{"id": "a", "language": "en", "text": "x", "questions":'
            ' [{"text": "?", "kind": "k", "answer": "x", "evidence": [[0, 2]]}]}',
            "evidence",
        ),
        ("", "no document"),
    ],
)
def test_what_is_no_document_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "documents.jsonl"
    path.write_text(line, "utf-8")
    with pytest.raises(InvalidInput, match=said):
        read_documents(path)


def test_what_cannot_be_invented_is_refused() -> None:
    for wrong, said in (
        ({"language": "fr"}, "en, zh"),
        ({"tokens": 99}, "at least 1000"),
        ({"questions": 0}, "at least 1"),
        ({"tokens": 1_000, "questions": 40}, "too few"),
        ({"tokens": 100_000, "questions": 999}, "more than"),
    ):
        with pytest.raises(InvalidInput, match=said):
            long_document(**{"tokens": 2_000, **wrong})  # type: ignore[arg-type]
