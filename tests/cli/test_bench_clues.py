"""bench clues on a made-up file, with a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memoryscope_rag.testing.tiny_model import tiny_decoder
from tests.cli.conftest import Cli
from tests.cli.test_bench import locomo_data

pytest.importorskip("transformers")


def test_clues_of_a_memory_and_of_the_model_without_it(cli: Cli, in_tmp: Path) -> None:
    data = locomo_data(in_tmp / "locomo.jsonl")
    model = tiny_decoder(in_tmp / "tiny", context=4096, says="Jack wins")
    asked = ("bench", "clues", "--data", str(data), "--memory", str(model), "--questions", "2")
    told = cli(*asked, "--cache", "cache", "--json")
    tree = json.loads(told.out)
    assert tree["systems"].keys() >= {"ranker", "read-out", "clues, fitted", "HyDE", "deep"}
    assert (tree["benchmark"], tree["n"]) == ("clues", 4)
    assert "conv-0: 2 of 2" in told.err
    assert (in_tmp / "cache" / "answers.jsonl").is_file()
    again = json.loads(cli(*asked, "--cache", "cache", "--json").out)
    assert again["systems"]["clues"]["recall@5"] == tree["systems"]["clues"]["recall@5"]
    assert not any(note.startswith("read in this run") for note in again["notes"])
    assert "nothing gives clues" in cli(*asked[:4], "--memory", "none", code=2).err
    assert "--model" in cli(*asked, "--url", "http://localhost:9", code=2).err
