"""What clues add to the ranker, from file to report, with scripted models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from itertools import repeat
from pathlib import Path

import pytest

from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.evaluation.answers import Answers
from memoryscope_rag.evaluation.clues import ClueModels, run_clues
from memoryscope_rag.evaluation.report import Report
from memoryscope_rag.schema import Clue, Scope
from memoryscope_rag.scoring import LinearRanker
from memoryscope_rag.testing.fakes import (
    FrozenClock,
    HashEmbedder,
    ScriptedGenerator,
    ScriptedMemory,
)
from tests.evaluation.test_readout import ASKED, write

MADE_UP = Clue("Zanzibar exports cloves", "draft")
KNOWN = {"Did it rain in Lima?": "It rained", "Where was it hot?": "Cairo was hot"}
EVIDENCE = {question: turn for asked in ASKED.values() for question, turn in asked}


def clues(query: str) -> Sequence[Clue]:
    return (Clue(KNOWN.get(query, "The violin is new"), "span"), MADE_UP)


def attention(query: str) -> Mapping[str, float]:
    """The evidence draws attention."""
    turns = ("D1:1", "D1:2", "D2:1", "D2:2")
    return {turn: 4.0 if turn == EVIDENCE[query] else -0.1 for turn in turns}


def scripted() -> ScriptedMemory:
    scopes = [Scope(name) for name in ASKED]
    return ScriptedMemory(
        clues=dict.fromkeys(scopes, clues), attention=dict.fromkeys(scopes, attention)
    )


def models(
    memory: ScriptedMemory | None = None, generator: ScriptedGenerator | None = None
) -> ClueModels:
    folder = resources.files("memoryscope_rag") / "configs" / "rankers"
    return ClueModels(
        embedder=HashEmbedder(),
        ranker=LinearRanker.from_json((folder / "generic.json").read_text("utf-8")),
        clock=FrozenClock(datetime(2023, 6, 1, tzinfo=UTC)),
        memory=memory,
        made_by="by hand",
        generator=generator,
    )


def imagine() -> ScriptedGenerator:
    return ScriptedGenerator(repeat("It rained in Cairo.\nWhat leaks there?"))


def run(path: Path, with_: ClueModels, cache: Path | None = None) -> Report:
    return asyncio.run(run_clues(path, with_, cache=cache))


def test_from_file_to_report(tmp_path: Path) -> None:
    memory, generator = scripted(), imagine()
    report = run(write(tmp_path / "locomo.jsonl"), models(memory, generator))
    assert report.n == 5
    base = ["read-out", "clues", "read-out + clues", "deep", "HyDE", "clues + HyDE"]
    names = ["ranker", "auto", *(name for one in base for name in (one, f"{one}, fitted"))]
    assert list(report.systems) == names
    assert list(report.categories) == names
    for name, figures in report.systems.items():
        assert figures["recall@10"] == 1.0  # of four turns
        assert figures["beyond@30"] == 0.0
        assert ("ms" in figures) != name.endswith("fitted")
        assert report.categories[name]["1"]["n"] == 5
    assert report.systems["read-out"]["recall@1"] == 1.0  # attention knows
    assert report.systems["read-out, fitted"]["recall@1"] == 1.0
    # five are made up, and two of the second talk are about the violin of the first
    assert report.systems["clues"]["unsupported"] == pytest.approx(0.7)
    assert report.systems["clues"]["clues"] == 2.0
    assert "unsupported" not in report.systems["read-out"]
    assert report.systems["clues"]["tokens"] > 0
    assert memory.calls["attention"] == memory.calls["clues"] == 5  # each question once
    assert {scope.user_id for scope, _, _ in memory.written} == set(ASKED)
    assert any(note.startswith("  read-out: attention +") for note in report.notes)
    assert "memory: scripted by hand" in report.notes
    assert any(note.startswith("read in this run: 8 messages") for note in report.notes)
    assert "clues, fitted by category" in report.table()


def test_a_run_goes_on_from_its_cache(tmp_path: Path) -> None:
    data, cache = write(tmp_path / "locomo.jsonl"), tmp_path / "cache"
    first = run(data, models(scripted(), imagine()), cache)
    file = cache / "answers.jsonl"
    *whole, _ = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(whole) + '{"key": "torn', "utf-8")
    memory, generator = scripted(), imagine()
    second = run(data, models(memory, generator), cache)
    assert memory.calls["clues"] + memory.calls["attention"] + generator.calls == 1
    for name, figures in first.systems.items():
        again = second.systems[name]
        assert {k: v for k, v in figures.items() if k != "ms"} == {
            k: v for k, v in again.items() if k != "ms"
        }


def test_other_settings_are_other_answers(tmp_path: Path) -> None:
    answers = Answers(tmp_path)

    async def ask() -> list[str]:
        return ["x"]

    async def both() -> None:
        for question in (("clues", "by hand", "q"), ("clues", "otherwise", "q")):
            await answers.get(question, ask, len)

    asyncio.run(both())
    assert (len(answers), answers.tokens, answers.saved_ms) == (2, 2, 0.0)
    again = Answers(tmp_path)
    asyncio.run(again.get(("clues", "by hand", "q"), ask, len))
    assert len(again) == 2
    assert again.saved_ms > 0


def test_without_a_memory_or_without_a_chat_model(tmp_path: Path) -> None:
    data = write(tmp_path / "locomo.jsonl")
    assert list(run(data, models(generator=imagine())).systems) == [
        "ranker",
        "HyDE",
        "HyDE, fitted",
    ]
    without = run(data, models(scripted()))
    assert "deep" in without.systems
    assert "HyDE" not in without.systems
    with pytest.raises(InvalidInput, match="nothing gives clues"):
        run(data, models())


def test_what_fails_is_counted(tmp_path: Path) -> None:
    data = write(tmp_path / "locomo.jsonl")
    generator = ScriptedGenerator(repeat(ModelError("too long")))
    report = run(data, models(generator=generator))
    assert "left out 5 times: HyDE: hyde_clues: too long" in report.notes
    memory = scripted()
    memory.failure = ModelError("no room")
    with pytest.raises(InvalidInput, match="memory: cannot read talk-1: ModelError: no room"):
        run(data, models(memory))


def test_one_history_is_not_enough(tmp_path: Path) -> None:
    data = write(tmp_path / "locomo.jsonl")
    with pytest.raises(InvalidInput, match="fewer than two"):
        asyncio.run(run_clues(data, models(scripted()), histories=1))
