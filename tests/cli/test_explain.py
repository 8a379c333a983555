"""The reasons that evidence is given with."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from memoryscope_rag import Evidence, EvidenceItem, MemoryNode
from memoryscope_rag.cli.explain import meaning, reasons
from memoryscope_rag.cli.retrieving import show, to_dict
from memoryscope_rag.schema import Clue, ScorePart
from memoryscope_rag.scoring import SIGNALS
from tests.cli.conftest import Cli

NODE = MemoryNode(id="n", kind="note", content="x", said_at=datetime(2026, 1, 1, tzinfo=UTC))


def item(**contributions: float) -> EvidenceItem:
    parts = tuple(ScorePart(name, value, 1.0) for name, value in contributions.items())
    return EvidenceItem(NODE, 1.0, parts=parts)


def test_every_signal_has_words() -> None:
    assert [name for name in SIGNALS if meaning(name) == name] == []


def test_reasons_are_what_added_most_said_once() -> None:
    found = item(lexical=1, dense=2, unspaced_dense=1.5, speaker=-5, length=0.5, note=0.1)
    assert reasons(found) == ("close in meaning; shares words with the question; its length")
    assert reasons(item(lexical_level=9, dense=1)) == "close in meaning"
    assert reasons(item(dense=-1)) == ""
    assert reasons(EvidenceItem(NODE, 1.0)) == ""


LED = Evidence(
    "Which instrument?",
    (
        EvidenceItem(NODE, 2.0, found_by=("clue 2", "attention")),
        EvidenceItem(NODE, 1.0, found_by=("query",)),
    ),
    "",
    0,
    profile="clues",
    clues=(Clue("the late train", "span"), Clue("the cello", "draft", provenance=("m1", "m2"))),
    unsupported=3,
)


def test_the_way_from_clue_to_evidence_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show(LED, UTC, explain=True)
    lines = capsys.readouterr().out.splitlines()
    assert "clue 1\tspan\t\t\tthe late train" in lines
    assert "clue 2\tdraft\t#1\tm1, m2\tthe cello" in lines
    assert "clues that nothing in memory echoes: 3" in lines
    assert "profile: clues" in lines
    assert any("found by clue 2, attention" in line for line in lines)


def test_clues_are_data_too() -> None:
    tree = json.loads(json.dumps(to_dict(LED)))
    assert tree["profile"] == "clues"
    assert tree["unsupported"] == 3
    assert tree["clues"][1]["provenance"] == ["m1", "m2"]


def test_a_profile_is_chosen_by_name(cli: Cli) -> None:
    cli("record", "My sister plays the cello", "--user", "ann")
    tree = json.loads(
        cli("retrieve", "cello", "--user", "ann", "--profile", "read", "--json", "--no-floor").out
    )
    assert tree["profile"] == "fast"
    assert tree["left_out"] == ["beacon memory: there is none; see memory.model"]
    wrong = cli("retrieve", "cello", "--user", "ann", "--profile", "thorough", code=2)
    assert "fast, read, clues, deep, auto" in wrong.err
