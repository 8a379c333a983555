"""bench readout on a made-up file, with a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.test_bench import locomo_data

pytest.importorskip("transformers")


def test_readout_writes_the_heads_that_it_chose(cli: Cli, in_tmp: Path) -> None:
    from memoryscope_rag.beacon.heads import HeadSet
    from memoryscope_rag.testing.tiny_model import tiny_decoder

    data = locomo_data(in_tmp / "locomo.jsonl")
    model = tiny_decoder(in_tmp / "tiny", context=4096)
    asked = ("bench", "readout", "--data", str(data), "--model", str(model), "--ratios", "8")
    tree = json.loads(cli(*asked, "-o", "heads.json", "--json").out)
    assert tree["systems"].keys() >= {"ranker", "read-out full", "ranker + select 8x"}
    heads = HeadSet.from_json((in_tmp / "heads.json").read_text("utf-8"))
    assert heads.model == str(model)
    assert heads.fitted["questions"] == tree["n"]
    assert not any("select 4x" in name for name in tree["systems"])
    assert "no list such as" in cli(*asked, "--ratios", "0", code=2).err
    assert "two histories" in cli(*asked, "--limit", "1", code=2).err
