"""memory refresh, stats and drop, over a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memoryscope_rag.testing.tiny_model import tiny_decoder
from tests.cli.conftest import Cli


@pytest.fixture
def settings(tmp_path: Path, cli: Cli) -> str:
    """A file of settings that name a beacon memory, and a store with two messages."""
    model = tiny_decoder(tmp_path / "tiny")
    path = tmp_path / "settings.yaml"
    memory = {"model": str(model), "window": 64, "threads": 1}
    path.write_text(json.dumps({"memory": memory, "embedder": {"name": "none"}}), "utf-8")
    cli("record", "I moved to Lisbon", "--user", "ann", "--config", str(path))
    cli("record", "The weather is fine", "--user", "ann", "--config", str(path))
    return str(path)


def test_refresh_reads_once_and_stats_and_drop_say_what_is_there(settings: str, cli: Cli) -> None:
    def call(*arguments: str) -> str:
        return str(cli("memory", *arguments, "--config", settings).out)

    assert call("stats").split("\t")[:3] == ["ann", "0", "2"]
    assert call("refresh").startswith("ann: 2 messages read in ")
    assert call("refresh", "--user", "ann").startswith("ann: 0 messages read in ")
    shown = json.loads(call("stats", "--json"))
    assert (shown["user"], shown["covered"], shown["lag"]) == ("ann", 2, 0)
    assert shown["tokens"] > 0
    assert "2 messages, 0 not read yet" in cli("doctor", "--config", settings, code=None).out
    assert "memory.covered\t2" in cli("stats", "--config", settings).out
    assert "removed a memory of 2 messages" in call("drop", "--user", "ann", "--yes")
    assert call("stats").split("\t")[:3] == ["ann", "0", "2"]


def test_without_a_model_refresh_says_which_setting_is_missing(cli: Cli) -> None:
    cli("record", "I moved to Lisbon", "--user", "ann", "--embedder", "none")
    assert "memory.model" in cli("memory", "refresh", code=2).err
    assert "memory.model" in cli("memory", "stats").err
