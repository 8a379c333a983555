"""memorize with an index, and ask: on tiny models and over loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memoryscope_rag.testing.scripted_server import WireReply, WireRequest, scripted_server
from memoryscope_rag.testing.tiny_model import tiny_decoder
from memoryscope_rag.testing.wire import openai_chat
from tests.cli.conftest import Cli

SAYS = "Jack wins"
LOAD = ("--load", "memory", "--threads", "1")
EMBEDDER = ("--embedder", "all-minilm-l6-v2")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_decoder(tmp_path_factory.mktemp("taught") / "taught", context=4096, says=SAYS))


@pytest.fixture
def memorized(cli: Cli, in_tmp: Path, model: str) -> Cli:
    (in_tmp / "race.md").write_text("# The race\n\nJack wins every race.\n", "utf-8")
    (in_tmp / "trams.txt").write_text("Otto hates trams.\n" * 9, "utf-8")
    made = ("--model", model, "--window", "64", "--threads", "1", *EMBEDDER)
    cli("memorize", "race.md", "trams.txt", "--save", "memory", *made)
    return cli


def test_ask_shows_the_answer_and_where_it_stands(memorized: Cli) -> None:
    told = memorized("ask", "Who is fast?", *LOAD, *EMBEDDER)
    answer, _, *places = told.rows
    assert answer == [SAYS]
    assert [row[0] for row in places] == ["race.md:0-33", "trams.txt:0-161"]
    assert places[0][2].startswith("# The race Jack wins")
    tree = json.loads(memorized("ask", "Who is fast?", *LOAD, *EMBEDDER, "--draft", "--json").out)
    assert (tree["text"], tree["draft"], tree["model"]) == (SAYS, SAYS, "taught")
    assert tree["evidence"][0]["citation"] == "race.md:0-33"
    assert tree["clues"][0]["provenance"] == ["race.md"]
    two = memorized("ask", "Who?", "Where is he?", "--task", "qa", *LOAD, *EMBEDDER)
    assert two.rows == [["Who?"], [SAYS], [""], ["Where is he?"], [SAYS]]
    summary = memorized("ask", "--task", "summarize", *LOAD, *EMBEDDER)
    assert summary.rows[0] == [SAYS]


def test_an_indexed_memory_is_still_a_memory(memorized: Cli, in_tmp: Path) -> None:
    assert memorized("answer", "Who is fast?", *LOAD).out == f"{SAYS}\n"
    (in_tmp / "rain.txt").write_text("It rains.", "utf-8")
    more = ("rain.txt", "--save", "memory", "--threads", "1")
    assert "--append" in memorized("memorize", *more, code=2).err
    refused = memorized("memorize", *more, "--append", code=2).err
    assert "embedder.name" in refused  # which the settings of these tests leave out
    assert dict(memorized("memorize", *more, "--append", *EMBEDDER).rows)["texts"] == "3"
    told = memorized("ask", "Does it rain?", *LOAD, *EMBEDDER)
    assert "rain.txt:0-9" in {row[0] for row in told.rows}


def test_a_memory_without_index_is_not_asked(cli: Cli, in_tmp: Path, model: str) -> None:
    (in_tmp / "trams.txt").write_text("Otto hates trams.", "utf-8")
    cli("memorize", "trams.txt", "--save", "memory", "--model", model, "--threads", "1")
    assert "no index" in cli("ask", "Who?", *LOAD, *EMBEDDER, code=3).err
    more = ("rain.txt", "--save", "memory", "--append", "--threads", "1", *EMBEDDER)
    (in_tmp / "rain.txt").write_text("It rains.", "utf-8")
    assert dict(cli("memorize", *more).rows)["texts"] == "2"  # it goes on as it was


def says(request: WireRequest) -> WireReply:
    asked = request.body["messages"][-1]["content"]
    return openai_chat("A race was won." if "Retell" in asked else "It was Jack.")


def test_a_server_answers_and_retells(
    memorized: Cli, in_tmp: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_tmp / "own.txt").write_text("<$context> $input", "utf-8")
    (in_tmp / "long.txt").write_text("Jack wins every race in town. " * 900, "utf-8")
    with scripted_server(says) as server:
        for name, value in (("provider", "openai"), ("model", "m"), ("base_url", server.url)):
            monkeypatch.setenv(f"MEMORYSCOPE_GENERATOR__{name.upper()}", value)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        told = memorized("ask", "Who?", *LOAD, *EMBEDDER, "--template", "own.txt")
        assert told.rows[0] == ["It was Jack."]
        assert server.bodies[-1]["messages"][0]["content"].startswith("<# The race")
        own = memorized("ask", "Who?", *LOAD, *EMBEDDER, "--own-model")
        assert own.rows[0] == [SAYS]
        refused = memorized("ask", "Who?", *LOAD, *EMBEDDER, "--context", "250", code=2)
        assert "room for" in refused.err or "too long" in refused.err
        made = ("long.txt", "--save", "lite", *EMBEDDER, "--threads", "1")
        found = dict(memorized("memorize", *made, "--model", "none").rows)
        assert (found["model"], found["compressor"]) == ("m", "gist texts")
        more = dict(memorized("memorize", "race.md", "--append", *made[1:]).rows)
        assert more["texts"] == "2"
        lite = memorized("ask", "Who?", "--load", "lite", *EMBEDDER, "--task", "qa")
        assert lite.rows == [["It was Jack."]]
        gist = ("--model", model, "--compressor", "gist", "--by-generator", "--window", "64")
        found = dict(memorized("memorize", "race.md", "--save", "gists", *made[3:], *gist).rows)
        assert found["compressor"] == "gist"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("ask", "Who?", *LOAD, *EMBEDDER, "--task", "qa2"), 2, "summarize"),
        (("ask", *LOAD, *EMBEDDER), 2, "summarize"),
        (("ask", "Who?", *LOAD, *EMBEDDER, "--task", "summarize"), 2, "QUERY"),
        (("ask", "Who?", *LOAD, *EMBEDDER), 3, "memorize"),
        (("ask", "Who?", *LOAD), 2, "embedder"),
        (("ask", "Who?", *LOAD, *EMBEDDER, "--template", "none.txt"), 2, "none.txt"),
        (("memorize", "x.txt", "--save", "m", "--model", "none", *EMBEDDER), 2, "provider"),
        (("memorize", "x.txt", "--save", "m", "--model", "none", "--ratio", "4"), 2, "ratio"),
        (("memorize", "x.txt", "--save", "m", "--by-generator", "--model", "none"), 2, "gist"),
        (
            ("memorize", "x.txt", "--save", "m", "--by-generator", "--compressor", "full"),
            2,
            "gist",
        ),
    ],
)
def test_every_failure_is_a_sentence_and_an_exit_code(
    cli: Cli, in_tmp: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    (in_tmp / "x.txt").write_text("Otto hates trams.", "utf-8")
    outcome = cli(*arguments, code=code)
    assert said in outcome.err
    assert outcome.out == ""
