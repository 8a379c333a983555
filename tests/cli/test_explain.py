"""The reasons that evidence is given with."""

from __future__ import annotations

from datetime import UTC, datetime

from memoryscope_rag import EvidenceItem, MemoryNode
from memoryscope_rag.cli.explain import meaning, reasons
from memoryscope_rag.schema import ScorePart
from memoryscope_rag.scoring import SIGNALS

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
