"""memorize, recall, answer and summarize, on tiny models. Row P21 by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memoryscope_rag.testing.tiny_model import tiny_decoder
from tests.cli.conftest import Cli

SAYS = "Jack wins"
LOAD = ("--load", "memory", "--threads", "1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_decoder(tmp_path_factory.mktemp("taught") / "taught", context=4096, says=SAYS))


@pytest.fixture
def memorized(cli: Cli, in_tmp: Path, model: str) -> Cli:
    (in_tmp / "race.md").write_text("# The race\n\nJack wins every race.\n", "utf-8")
    (in_tmp / "trams.txt").write_text("Otto hates trams.\n" * 9, "utf-8")
    made = ("--model", model, "--window", "64", "--threads", "1")
    cli("memorize", "race.md", "trams.txt", "--save", "memory", *made)
    return cli


def test_p21_memorize_says_what_it_made(cli: Cli, in_tmp: Path, model: str) -> None:
    (in_tmp / "trams.txt").write_text("Otto hates trams.\n" * 9, "utf-8")
    made = ("--model", model, "--window", "64", "--threads", "1", "--ratio", "8")
    told = cli("memorize", "trams.txt", "--save", "memory", *made, "--compressor", "beacon")
    found = dict(told.rows)
    assert found["compressor"] == "beacon, untrained"
    assert (found["model"], found["texts"]) == ("taught", "1")
    assert int(found["tokens"]) > 9 * len("Otto hates trams.\n")
    assert int(found["blocks"]) == (int(found["tokens"]) - 64) // 64
    on_disk = sum(file.stat().st_size for file in (in_tmp / "memory").glob("*.safetensors"))
    assert int(found["bytes"]) == on_disk
    assert float(found["ratio"]) == pytest.approx(int(found["tokens"]) / int(found["rows"]), 0.01)
    assert float(found["seconds"]) >= 0
    small = ("--dtype", "int4", "--json", "--compressor", "full")
    tree = json.loads(cli("memorize", "trams.txt", "--save", "other", *made[:6], *small).out)
    assert (tree["compressor"], tree["ratio"]) == ("full", 1.0)


def test_p16_a_memory_of_gists_at_a_terminal(cli: Cli, in_tmp: Path, model: str) -> None:
    (in_tmp / "race.md").write_text("# The race\n\nJack wins every race.\n" * 9, "utf-8")
    (in_tmp / "rain.txt").write_text("It rains.", "utf-8")
    made = ("--model", model, "--window", "64", "--threads", "1", "--compressor", "gist")
    found = dict(cli("memorize", "race.md", "--save", "memory", *made).rows)
    assert (found["compressor"], found["texts"]) == ("gist", "1")
    assert int(found["blocks"]) > 1
    more = cli("memorize", "rain.txt", "--save", "memory", "--append", "--threads", "1")
    assert dict(more.rows)["texts"] == "2"
    ((kind, source, blocks, text),) = cli("recall", "Who is fast?", *LOAD).rows
    assert (kind, source, text) == ("span", "race.md", SAYS)
    assert blocks
    assert cli("answer", "Who is fast?", *LOAD).out == f"{SAYS}\n"


def test_recall_answer_and_summarize(memorized: Cli) -> None:
    ((kind, source, blocks, text),) = memorized("recall", "Who is fast?", *LOAD).rows
    assert (kind, source, text) == ("span", "race.md", SAYS)
    assert blocks
    both = json.loads(memorized("recall", "Who is fast?", *LOAD, "--rewrite", "--json").out)
    assert [clue["kind"] for clue in both["clues"]] == ["span", "surrogate"]
    assert both["clues"][0]["provenance"] == ["race.md"]
    assert memorized("answer", "Who is fast?", *LOAD).out == f"{SAYS}\n"
    assert memorized("summarize", *LOAD).out == f"{SAYS}\n"


def test_a_memory_grows_and_is_not_overwritten(memorized: Cli, in_tmp: Path) -> None:
    (in_tmp / "rain.txt").write_text("It rains.", "utf-8")
    more = ("rain.txt", "--save", "memory", "--threads", "1")
    assert "--append" in memorized("memorize", *more, code=2).err
    assert "--append" in memorized("memorize", *more, "--append", "--ratio", "8", code=2).err
    assert dict(memorized("memorize", *more, "--append").rows)["texts"] == "3"
    assert "rain.txt" in memorized("memorize", *more, "--append", code=2).err


def test_nothing_is_recalled_of_what_is_not_there(cli: Cli, in_tmp: Path, model: str) -> None:
    (in_tmp / "trams.txt").write_text("Otto hates trams.", "utf-8")
    cli("memorize", "trams.txt", "--save", "memory", "--model", model, "--threads", "1")
    assert cli("recall", "Who is fast?", *LOAD, code=1).out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("memorize", "x.txt"), 2, "--save"),
        (("memorize", "none.txt", "--save", "memory"), 2, "none.txt"),
        (("memorize", "x.odt", "--save", "memory"), 2, ".docx"),
        (("memorize", "x.txt", "x.txt", "--save", "memory"), 2, "twice"),
        (("memorize", "x.txt", "--save", "memory", "--compressor", "zip"), 2, "select"),
        (("memorize", "x.txt", "--save", "memory", "--dtype", "fp8"), 2, "int8"),
        (("memorize", "x.txt", "--save", "memory", "--ratio", "0"), 2, "--ratio"),
        (("memorize", "x.txt", "--save", "memory", "--model", "smollm3"), 2, "smollm2"),
        (("memorize", "x.txt", "--save", "memory", "--model", "no/where"), 4, "no/where"),
        (("memorize", "x.txt", "--save", "memory", "--append"), 3, "memory"),
        (("recall", "Who?", "--load", "nowhere"), 3, "nowhere"),
        (("answer", "Who?", "--load", "nowhere"), 3, "memorize"),
        (("summarize", "--load", "nowhere"), 3, "nowhere"),
        (("answer", "Who?"), 2, "--load"),
    ],
)
def test_every_failure_is_a_sentence_and_an_exit_code(
    cli: Cli, in_tmp: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    (in_tmp / "x.txt").write_text("Otto hates trams.", "utf-8")
    (in_tmp / "x.odt").write_text("Otto hates trams.", "utf-8")
    outcome = cli(*arguments, code=code)
    assert said in outcome.err
    assert outcome.out == ""
    assert not (in_tmp / "memory").exists()
