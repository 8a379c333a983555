"""memory show: the picture from a store and a memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest

from memoryscope_rag import Config, MemoryScope, NewMessage, Scope
from memoryscope_rag.cli.memory_show import memory_map
from memoryscope_rag.plots.render import render
from memoryscope_rag.schema import Clue
from memoryscope_rag.testing.fakes import HashEmbedder, ScriptedMemory
from tests.cli.conftest import Cli

pytest.importorskip("matplotlib")

ANN, BOB = Scope("ann"), Scope("bob")
START = datetime(2026, 5, 3, 14, tzinfo=UTC)
CANARY = "hazelnuts"
SAID = ("I work at the harbour", f"I must not eat {CANARY}", "Otto hates trams", "He walks")
CLUES = (Clue(f"Ann must not eat {CANARY}", "span", provenance=("m1",)),)
ATTENTION = {"m0": 0.5, "m1": 2.0, "m2": -0.5}


@pytest.fixture
def memory(in_tmp: Path) -> Iterator[MemoryScope]:
    """Four messages of Ann's, three of them covered, and one of Bob's."""
    scripted = ScriptedMemory(clues={ANN: CLUES}, attention={ANN: ATTENTION})
    with MemoryScope.open(
        "memory.db",
        config=Config.model_validate({"schedule": {"close_s": 0}}),
        embedder=HashEmbedder(),
        memory=scripted,
    ) as opened:
        opened.record_many(
            [
                NewMessage(f"m{n}", f"s{n // 2}", "user", text, START + timedelta(days=n), "Ann")
                for n, text in enumerate(SAID)
            ],
            scope=ANN,
        )
        opened.record("Bob here", scope=BOB)
        scripted.cover(ANN, opened.messages(scope=ANN)[:3])
        yield opened


def test_the_map_of_a_scope(memory: MemoryScope) -> None:
    shown = memory_map(memory, ANN)
    assert [message.content for message in shown.messages] == list(SAID)
    assert [message.id for message in shown.behind] == ["m3"]
    assert (shown.evidence, shown.attention) == (None, {})
    other = memory_map(memory, BOB)
    assert len(other.messages) == len(other.behind) == 1


def test_the_map_of_a_question(memory: MemoryScope) -> None:
    shown = memory_map(memory, ANN, query="What must Ann not eat?")
    assert dict(shown.attention) == ATTENTION
    assert shown.evidence is not None
    assert shown.evidence.profile == "clues"
    assert shown.lanes[1].text == CLUES[0].text
    assert shown.lanes[1].leans_on == (1,)
    fast = memory_map(memory, ANN, query="What must Ann not eat?", profile="fast")
    assert fast.evidence is not None
    assert fast.evidence.clues == ()
    assert fast.attention == {}


def test_what_is_forgotten_is_in_no_picture(memory: MemoryScope) -> None:
    zone, question = UTC, "What must Ann not eat?"

    def page() -> str:
        return unquote(render(memory_map(memory, ANN, query=question), "html", zone=zone).decode())

    assert CANARY in page()
    with MemoryScope.open("memory.db", embedder=HashEmbedder()) as another:
        another.forget(message_ids=["m1"], scope=ANN)  # so the memory covers it still
    shown = page()
    assert CANARY not in shown
    assert "1 more that it has read are forgotten" in shown
    assert "the memory of this scope is being refreshed" in shown  # left out


def test_at_a_terminal(cli: Cli, in_tmp: Path) -> None:
    cli("record", "I moved to Lisbon", "--user", "ann")
    for form, start in (("svg", b"<svg"), ("html", b"<!DOCTYPE"), ("png", b"\x89PNG")):
        told = cli("memory", "show", "--user", "ann", "--out", f"ann.{form}", "--query", "Lisbon?")
        assert (in_tmp / f"ann.{form}").read_bytes().startswith(start)
        assert "there is no beacon memory: memory.model names no model" in told.err
        assert f"ann.{form}: 0 of 1 messages" in told.err
    assert "I moved to Lisbon" in (in_tmp / "ann.html").read_text("utf-8")
    cli("memory", "show", "--user", "ann", "--out", "dark.SVG", "--dark")
    assert "#15191e" in (in_tmp / "dark.SVG").read_text("utf-8")
    refused = cli("memory", "show", "--user", "ann", "--out", "ann.pdf", code=2)
    assert "'ann.pdf' must end in .svg, .html, .png" in refused.err
    asked = ("memory", "show", "--user", "ann", "--out", "a.svg", "--query", "Lisbon?")
    refused = cli(*asked, "--profile", "red", code=2)
    assert "'red' is unknown; known: fast, read, clues, deep, auto" in refused.err
