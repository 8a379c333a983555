"""bench memorag on a tiny model: figures that can be known beforehand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path

import pytest

from memoryscope_rag.documents.memory import DocumentOptions
from memoryscope_rag.documents.vectors import IndexOptions
from memoryscope_rag.evaluation.long_documents import long_document
from memoryscope_rag.evaluation.memorag import PLACES, run_memorag
from memoryscope_rag.ports import ChatMessage
from memoryscope_rag.testing.fakes import HashEmbedder, ScriptedGenerator
from memoryscope_rag.testing.tiny_model import tiny_decoder
from tests.cli.conftest import Cli, cli

__all__ = ["cli"]

DOCUMENT = long_document(2_000, questions=4, seed=3)


def knows(asked: Sequence[ChatMessage]) -> str:
    """A reader that has the document by heart, and recalls what answers the question."""
    text = asked[-1].content
    if "Retell" in text:
        return text
    for question in DOCUMENT.questions:
        if question.text in text:
            if "Copy the sentences" in text:
                return "\n".join(DOCUMENT.text[start:end] for start, end in question.evidence)
            return question.answer
    raise AssertionError(f"nobody asks that: {text[-80:]}")


def test_perfect_clues_find_all_evidence() -> None:
    made = DocumentOptions(memory=None, index=IndexOptions(tokens=48))
    parts = {"generator": ScriptedGenerator(repeat(knows))}
    report = asyncio.run(
        run_memorag([DOCUMENT], HashEmbedder(256), made, data="d", models=parts)  # type: ignore[arg-type]
    )
    figures = report.recall.systems
    assert report.recall.n == 4
    led = figures["question and clues"]
    assert led["told"] == 1.0
    assert led["recall@10"] == 1.0
    assert figures["clues"]["recall@10"] > 0.9
    for row in figures.values():
        values = [row[f"recall@{k}"] for k in PLACES]
        assert values == sorted(values)
    assert set(report.recall.categories["question"]) == {one.kind for one in DOCUMENT.questions}
    cost = report.costs[DOCUMENT.id]
    assert cost["MB"] > 0
    assert cost["chunks"] > 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("taught") / "taught"
    return str(tiny_decoder(folder, context=4096, says="Jack wins"))


def test_the_command(cli: Cli, in_tmp: Path, model: str) -> None:
    made = ("--tokens", "1000", "--languages", "en", "--questions", "2")
    assert cli("bench", "memorag", *made, "--write", "d.jsonl").out == ""
    run = ("--model", model, "--window", "64", "--threads", "1", "--embedder", "all-minilm-l6-v2")
    told = json.loads(cli("bench", "memorag", "--data", "d.jsonl", *run, "--json").out)
    assert (told["benchmark"], told["data"], told["n"]) == ("memorag", "d.jsonl", 2)
    assert told["systems"]["question and clues"]["told"] == 0.0
    assert told["costs"]["en-1000-0"]["tokens"] > 3000  # a byte is a token here
    for wrong, said in (
        (("--tokens", "many"), "list"),
        (("--languages", "fr"), "en, zh"),
        (("--evidence", "all"), "union"),
    ):
        assert said in cli("bench", "memorag", *wrong, code=2).err
