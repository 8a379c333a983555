"""Reading attention against the ranker, from file to report, with a tiny random model."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.evaluation.datasets import load_locomo
from memoryscope_rag.evaluation.gather import shortened
from memoryscope_rag.evaluation.readout import run_readout
from memoryscope_rag.scoring import LinearRanker
from memoryscope_rag.testing.tiny_model import tiny_tokenizer
from tests.beacon.conftest import tiny

TALKS = {
    "talk-1": [["I moved to Oslo.", "The violin is new."], ["We went to Lima.", "It rained."]],
    "talk-2": [["My canoe leaks.", "Cairo was hot."], ["The telescope came.", "Good night."]],
}
ASKED = {
    "talk-1": [("Who moved to Oslo?", "D1:1"), ("Did it rain in Lima?", "D2:2")],
    "talk-2": [("What leaks?", "D1:1"), ("Where was it hot?", "D1:2"), ("What came?", "D2:1")],
}


def write(path: Path) -> Path:
    rows = []
    for name, sessions in TALKS.items():
        talk: dict[str, Any] = {"speaker_a": "Ann", "speaker_b": "Bob"}
        for number, lines in enumerate(sessions, start=1):
            talk[f"session_{number}_date_time"] = f"1:56 pm on {number} May, 2023"
            talk[f"session_{number}"] = [
                {"speaker": speaker, "dia_id": f"D{number}:{place}", "text": text}
                for place, (speaker, text) in enumerate(zip(("Ann", "Bob"), lines, strict=True), 1)
            ]
        asked = [{"question": q, "evidence": [turn], "category": 1} for q, turn in ASKED[name]]
        rows.append({"sample_id": name, "conversation": talk, "qa": asked})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def ranker() -> LinearRanker:
    folder = resources.files("memoryscope_rag") / "configs" / "rankers"
    return LinearRanker.from_json((folder / "generic.json").read_text("utf-8"))


def test_from_file_to_report(tmp_path: Path) -> None:
    data = write(tmp_path / "locomo.jsonl")
    told: list[str] = []
    report, heads = run_readout(
        data, None, ranker(), tiny(), tiny_tokenizer(), name="tiny", ratios=(2,), say=told.append
    )
    assert report.n == 5
    names = ["ranker", "read-out full", "ranker + full", "read-out select 2x", "ranker + select 2x"]
    assert list(report.systems) == names
    for figures in report.systems.values():
        assert figures["recall@5"] == 1.0  # of four turns
        assert figures["beyond@30"] == 0.0
    assert report.systems["read-out full"]["ms"] > 0
    full, selected = (report.systems[f"read-out {kind}"]["rows"] for kind in ("full", "select 2x"))
    assert full == selected  # no session fills a window
    assert (heads.model, len(heads.heads)) == ("tiny", 12)
    assert heads.fitted["conversations"] == ["talk-1", "talk-2"]
    assert len(told) == 6
    assert [line for line in told if "with it recall@1 1.000" in line] == [told[2], told[5]]


def test_histories_are_shortened(tmp_path: Path) -> None:
    _, second = load_locomo(write(tmp_path / "locomo.jsonl"))
    first = shortened(second, 1, None)
    assert {turn.session for turn in first.turns} == {"session_1"}
    assert [question.text for question in first.questions] == ["What leaks?", "Where was it hot?"]
    assert [q.text for q in shortened(second, None, 2).questions] == [
        "What leaks?",
        "Where was it hot?",
    ]
    assert shortened(second, None, None) == second


def test_one_history_is_not_enough(tmp_path: Path) -> None:
    data = write(tmp_path / "locomo.jsonl")
    with pytest.raises(InvalidInput, match="two histories"):
        run_readout(data, None, ranker(), tiny(), tiny_tokenizer(), name="tiny", limit=1)
