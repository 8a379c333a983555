"""import: formats, bad lines, twice the same file."""

from __future__ import annotations

import io
import json
import lzma
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.operations.test_memoryscope_index import SAMPLE as DOCUMENTS
from tests.operations.test_memoryscope_index import document
from tests.test_formats import SAMPLE

ANN = ("--user", "ann")
CHAT = [
    {"role": "user", "content": "I moved to Lisbon"},
    {"role": "assistant", "content": [{"type": "text", "text": "How nice"}]},
]


def ours(index: int) -> str:
    return json.dumps(
        {
            "type": "message",
            "id": f"m{index}",
            "session_id": "s",
            "role": "user",
            "content": f"text {index}",
            "created_at": f"2026-05-01T18:00:{index:02}+00:00",
        }
    )


def test_bad_lines_are_named_and_the_rest_goes_in(cli: Cli, in_tmp: Path) -> None:
    lines = [ours(0), "{broken", ours(1), '{"type": "message"}', "", ours(2), '{"type": "x"}']
    (in_tmp / "log.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    outcome = cli("import", "log.jsonl", *ANN, code=1)
    assert outcome.out == "3 messages stored, 0 known already, 0 facts, 3 problems\n"
    assert [line.partition(":")[0] for line in outcome.err.splitlines()] == [
        "log.jsonl, line 2",
        "log.jsonl, line 4",
        "log.jsonl, line 7",
    ]
    assert [row[4] for row in cli("list", *ANN).rows] == ["text 0", "text 1", "text 2"]
    again = cli("import", "log.jsonl", *ANN, code=1)
    assert again.out.startswith("0 messages stored, 3 known already")


def test_a_line_that_is_no_utf8_costs_only_itself(cli: Cli, in_tmp: Path) -> None:
    bad = ours(1).replace("text 1", "caf\u00e9").encode("latin-1")
    data = b"\xef\xbb\xbf" + ours(0).encode() + b"\n" + bad + b"\n" + ours(2).encode() + b"\r\n"
    (in_tmp / "log.jsonl").write_bytes(data)
    outcome = cli("import", "log.jsonl", *ANN, code=1)
    assert outcome.err.startswith("log.jsonl, line 2: ")
    assert outcome.out.startswith("2 messages stored")


def test_openai_messages_go_in_once(cli: Cli, in_tmp: Path) -> None:
    (in_tmp / "chat.json").write_text(json.dumps(CHAT, indent=1), "utf-8")
    cli("import", "chat.json", *ANN)
    first = cli("list", *ANN).out
    told = cli("import", "chat.json", *ANN)  # later, so "now" is another time
    assert told.out.startswith("0 messages stored, 2 known already")
    assert cli("list", *ANN).out == first
    grown = [*CHAT, {"role": "user", "content": "It is sunny"}]
    (in_tmp / "chat.json").write_text(json.dumps(grown), "utf-8")
    assert cli("import", "chat.json", *ANN).out.startswith("1 message stored, 2 known already")


def test_openai_options(cli: Cli, in_tmp: Path) -> None:
    (in_tmp / "chat.jsonl").write_text("\n".join(map(json.dumps, CHAT)) + "\nx", "utf-8")
    outcome = cli(
        "import", "chat.jsonl", *ANN, "--start", "2026-03-02T09:00", "--session", "talk", code=1
    )
    assert "chat.jsonl, line 3" in outcome.err
    nodes = [json.loads(line) for line in cli("list", *ANN, "--json").out.splitlines()]
    assert [node["said_at"] for node in nodes] == [
        "2026-03-02T09:00:00+00:00",
        "2026-03-02T09:00:01+00:00",
    ]
    assert {node["session_id"] for node in nodes} == {"talk"}


def test_locomo_conversations_have_scopes_of_their_own(cli: Cli, in_tmp: Path) -> None:
    rows = [json.dumps({**SAMPLE, "sample_id": name}) for name in ("conv-1", "conv-2")]
    (in_tmp / "locomo.jsonl.xz").write_bytes(lzma.compress("\n".join(rows).encode()))
    outcome = cli("import", "locomo.jsonl.xz", code=1)
    assert outcome.out.startswith("6 messages stored")
    assert "conv-2, session_3" in outcome.err
    assert [row[0] for row in cli("list", "--user", "conv-2").rows] == [
        "conv-2:D2:1",
        "conv-2:D2:2",
        "conv-2:D10:1",
    ]
    cli("import", "locomo.jsonl.xz", *ANN, code=1)
    assert len(cli("list", *ANN).rows) == 6


def test_standard_input(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(CHAT).encode())))
    assert cli("import", "-", *ANN).out.startswith("2 messages stored")


@pytest.mark.parametrize(
    ("name", "data", "options", "said"),
    [
        ("none.json", None, ANN, "none.json"),
        ("empty.json", b"", ANN, "format"),
        ("bad.xz", b"no xz", ANN, "no xz file"),
        ("chat.json", b"[]", ("--format", "openai"), "--user"),
        ("chat.json", b"[]", (*ANN, "--format", "csv"), "openai"),
        ("chat.json", b'[{"role": "user"}]', (*ANN, "--start", "soon"), "--start"),
        (".", None, ANN, "irectory"),
    ],
)
def test_what_cannot_be_imported_at_all(
    cli: Cli, in_tmp: Path, name: str, data: bytes | None, options: tuple[str, ...], said: str
) -> None:
    if data is not None:
        (in_tmp / name).write_bytes(data)
    outcome = cli("import", name, *options, code=2)
    assert said in outcome.err
    assert outcome.out == ""


def test_an_index_of_memoryscope(cli: Cli, in_tmp: Path) -> None:
    answer = {"took": 3, "hits": {"total": {"value": 5}, "hits": DOCUMENTS}}
    (in_tmp / "index.json").write_text(json.dumps(answer, indent=1), "utf-8")
    told = "1 message stored, 0 known already, 5 facts, 0 problems\n"
    assert cli("import", "index.json").out == told
    ann = ("--user", "Ann")
    assert len(cli("list", *ANN).rows) == 0
    texts = [row[4] for row in cli("list", *ann, "--kind", "observation").rows]
    assert sorted(texts) == ["Ann likes flying", "Ann will fly to Rome (on May 6, 2024)"]
    assert len(cli("list", *ann, "--kind", "observation", "--closed").rows) == 3
    assert cli("retrieve", "nuts", *ann, "--limit", "1", "--no-floor").rows[0][2] == "Ann"
    assert json.loads(cli("stats", *ann, "--json").out)["pending"] == 0
    again = cli("import", "index.json", "--format", "memoryscope-index")
    assert again.out == "0 messages stored, 6 known already, 0 facts, 0 problems\n"
    # what is forgotten takes the facts along that were drawn from it
    (message,) = {row[0] for row in cli("list", *ann, "--kind", "conversation").rows}
    cli("forget", *ann, "--message", message, "--yes")
    assert cli("list", *ann, "--kind", "observation").rows == []


def test_an_index_line_by_line(cli: Cli, in_tmp: Path) -> None:
    other = document("o2", "obs_customized", "Ben likes tea", target_name="Ben", user_name="Bot")
    lines = [*map(json.dumps, DOCUMENTS), "{broken", json.dumps({"_source": {}}), json.dumps(other)]
    (in_tmp / "index.jsonl").write_text("\n".join(lines), "utf-8")
    assert "AI, Bot" in cli("import", "index.jsonl", code=2).err
    outcome = cli("import", "index.jsonl", "--assistant", "Bot", code=1)
    assert outcome.out == "0 messages stored, 0 known already, 1 fact, 2 problems\n"
    assert [line.partition(":")[0] for line in outcome.err.splitlines()] == [
        "index.jsonl, line 6",
        "index.jsonl, line 7",
    ]
    assert [row[4] for row in cli("list", "--user", "Ben").rows] == ["Ben likes tea"]
    cli("import", "index.jsonl", "--assistant", "AI", *ANN, code=1)
    assert len(cli("list", *ANN).rows) == 5
    wrong = cli("import", "http://127.0.0.1:9/", code=2)
    assert "name of an index" in wrong.err
