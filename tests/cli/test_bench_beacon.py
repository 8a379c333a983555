"""bench beacon with a tiny model: every section is there, and its figures hang together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def asked(in_tmp: Path) -> tuple[str, ...]:
    """The command on a tiny model with small sizes."""
    from memoryscope_rag.testing.tiny_model import tiny_decoder

    model = tiny_decoder(in_tmp / "tiny", context=2048)
    small = ("--append", "100", "--window", "64", "--times", "1")
    return ("bench", "beacon", "--model", str(model), *small)


def test_beacon_prints_every_section(cli: Cli, asked: tuple[str, ...]) -> None:
    left = cli(*asked, "--covered", "100,10000", "--json")
    tree = json.loads(left.out)
    assert tree["window"] == 64
    sections = {name: section["rows"] for name, section in tree["sections"].items()}
    assert set(sections["reading"]) == {"stock", "full", "select 4x", "beacon 4x"}
    assert sections["reading"]["stock"]["of stock"] == 1

    # 10 000 tokens fit 2048 positions at the ratio 8; the tail of 16 keeps its raw rows
    assert tree["sections"]["appending"]["title"] == "appending 100 tokens, beacon 8x"
    rows = {name: row["rows"] for name, row in sections["appending"].items()}
    assert rows == {"to 100": 64 // 8 + 36 + 36 // 8, "to 10000": 156 * 8 + 16 + 2}
    assert sections["appending"]["to 100"]["growth"] == 1
    assert [row["rows"] for row in sections["answering"].values()] == list(rows.values())

    full, select = sections["files"]["full"], sections["files"]["select 4x"]
    beacon = sections["files"]["beacon 4x"]
    raw = 2 * 2 * 2 * 8 * 4 / 1000  # layers, keys and values, heads, their size, bytes
    assert raw < full["fp32"] < raw * 1.1
    assert full["fp32"] > full["bf16"] > full["int8"] > full["int4"]
    assert full["fp32"] > select["fp32"] > beacon["fp32"]  # which has no sources, and layer 0 once

    assert set(sections["loading"]) == {"fp32", "bf16", "int8", "int4"}
    quality = sections["quality"]
    assert {"full", "nothing", "truncation 4x", "beacon (untrained) 4x"} < set(quality)
    assert all(row["continuation"] > 1 for row in quality.values())
    assert any("never trained" in note for note in tree["notes"])
    assert "comparing" in left.err


def test_beacon_reads_a_text_and_prints_tables(
    cli: Cli, asked: tuple[str, ...], in_tmp: Path
) -> None:
    (in_tmp / "tale.txt").write_text("Otto hates trams. " * 60, "utf-8")
    out = cli(*asked, "--covered", "200", "--text", "tale.txt").rows
    assert ["to 200", "58"] in [row[:2] for row in out]
    assert f"perplexity behind {18 * 60 - 512} tokens, windows of 64" in [row[0] for row in out]


def test_what_cannot_be_measured_is_refused(cli: Cli, asked: tuple[str, ...], in_tmp: Path) -> None:
    assert "no list" in cli(*asked, "--covered", "many", code=2).err
    assert "the model takes" in cli(*asked, "--covered", "1000000", code=2).err
    (in_tmp / "short.txt").write_text("Otto hates trams.", "utf-8")
    assert "name a longer one" in cli(*asked, "--text", "short.txt", code=2).err
