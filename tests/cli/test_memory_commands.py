"""record, add, list, retrieve, update, history, forget, export, stats, reembed."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

ANN = ("--user", "ann")


@pytest.fixture
def filled(cli: Cli) -> Cli:
    for index, (text, role) in enumerate(
        [
            ("I moved to Lisbon last week", "user"),
            ("How do you like it?", "assistant"),
            ("My cat Otto hates the trams", "user"),
        ]
    ):
        at = f"2026-05-0{index + 1}T18:00+00:00"
        cli("record", text, *ANN, "--id", f"m{index}", "--at", at, "--role", role, "--session", "s")
    return cli


def test_what_is_recorded_is_found(filled: Cli) -> None:
    found = filled("retrieve", "Lisbon", *ANN, "--limit", "1", "--no-floor")
    ((rank, when, who, score, name, text),) = found.rows
    assert (rank, when, who, name) == ("1", "2026-05-01 Fri 18:00", "user", "m0")
    assert text == "I moved to Lisbon last week"
    assert float(score) > 0
    assert found.err == ""


def test_record_prints_the_id_and_reads_standard_input(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("from a pipe\n"))
    name = cli("record", "-", *ANN, "--speaker", "Ann").out.strip()
    ((listed, _, who, kind, text),) = cli("list", *ANN).rows
    assert (listed, who, kind, text) == (name, "Ann", "conversation", "from a pipe")


def test_recording_an_id_again_is_harmless_and_other_text_is_refused(filled: Cli) -> None:
    again = ("I moved to Lisbon last week", *ANN, "--id", "m0", "--session", "s")
    filled("record", *again, "--at", "2026-05-01T18:00+00:00")
    refused = filled("record", "other", *ANN, "--id", "m0", code=2)
    assert "'m0'" in refused.err
    assert len(filled("list", *ANN).rows) == 3


def test_users_agents_and_tenants_are_apart(filled: Cli) -> None:
    for scope in (("--user", "bob"), (*ANN, "--agent", "x"), (*ANN, "--tenant", "x")):
        assert filled("list", *scope).out == ""
        assert filled("retrieve", "Lisbon", *scope, code=1).out == ""


def test_retrieve_narrows(filled: Cli) -> None:
    def names(*options: str) -> list[str]:
        found = filled("retrieve", "Lisbon trams", *ANN, "--no-floor", *options, code=None)
        return sorted(row[4] for row in found.rows)

    assert names("--from", "2026-05-03") == ["m2"]
    assert names("--to", "2026-05-02") == ["m0"]
    assert names("--session", "other") == []
    assert names("--kind", "note") == []
    assert names("--as-of", "2026-05-01T19:00") == ["m0"]


def test_n1_n2_explain_shows_signals_times_and_timings(filled: Cli) -> None:
    query = "Did I move to Lisbon last month?"
    out = filled("retrieve", query, *ANN, "--explain", "--now", "2026-06-10", "--no-floor").out
    assert "found by query" in out
    assert "because: " in out
    assert "time asked for: 2026-05-01 Fri 00:00 to 2026-06-01 Mon 00:00 (exclusive)" in out
    assert "milliseconds: " in out
    signals = [line.split("\t") for line in out.splitlines() if line.startswith("time_said\t")]
    assert signals
    assert all(len(row) == 5 for row in signals)


def test_retrieve_as_json_and_as_text(filled: Cli) -> None:
    tree = json.loads(filled("retrieve", "Lisbon", *ANN, "--explain", "--json", "--no-floor").out)
    top = tree["items"][0]
    assert top["node"]["content"] == "I moved to Lisbon last week"
    assert top["score"] == pytest.approx(sum(p["contribution"] for p in top["parts"]), abs=1e-3)
    assert tree["timings_ms"]
    text = filled("retrieve", "Lisbon", *ANN, "--text", "--no-floor").out
    assert text == tree["text"] + "\n"


def test_budgets_are_passed_on(filled: Cli) -> None:
    options = ("--budget-tokens", "0", "--budget-ms", "1e6", "--no-floor", "--json")
    tree = json.loads(filled("retrieve", "Lisbon", *ANN, *options).out)
    assert tree["items"]
    assert tree["text"] == ""


def test_time_zone_of_what_is_shown_and_meant(filled: Cli) -> None:
    rows = filled("list", *ANN, "--time-zone", "Asia/Shanghai").rows
    assert rows[0][1] == "2026-05-02 Sat 02:00"
    filled("record", "noon", *ANN, "--at", "2026-05-04T12:00", "--time-zone", "Asia/Shanghai")
    assert filled("list", *ANN).rows[-1][1] == "2026-05-04 Mon 04:00"


def test_global_options_stand_before_or_after_the_command(filled: Cli) -> None:
    filled("--store", "other.db", "record", "elsewhere", *ANN)
    assert [row[4] for row in filled("list", *ANN, "--store", "other.db").rows] == ["elsewhere"]
    assert len(filled("--store", "other.db", "list", *ANN, "--store", "memory.db").rows) == 3


def test_a_settings_file(filled: Cli, in_tmp: Path) -> None:
    (in_tmp / "settings.yaml").write_text("time_zone: Asia/Tokyo\n", "utf-8")
    assert filled("list", *ANN, "--config", "settings.yaml").rows[0][1] == "2026-05-02 Sat 03:00"


def test_notes_are_kept_changed_and_removed(filled: Cli) -> None:
    name = filled("add", "Ann is allergic to nuts", *ANN, "--said-at", "2026-05-05").out.strip()
    assert filled("list", *ANN, "--kind", "note").rows[0][0] == name
    assert "version 2" in filled("update", name, "Ann is allergic to peanuts", *ANN).out
    first, second = filled("history", name, *ANN).rows
    assert (first[0], first[3]) == ("1", "Ann is allergic to nuts")
    assert (second[0], second[3]) == ("2", "Ann is allergic to peanuts")
    assert "removed 1 fact" in filled("forget", "--node", name, *ANN, "--yes").out
    assert filled("list", *ANN, "--kind", "note", "--closed").out == ""
    assert name in filled("history", name, *ANN, code=2).err


def test_list_pages_and_says_when_there_is_more(filled: Cli) -> None:
    short = filled("list", *ANN, "--limit", "2")
    assert len(short.rows) == 2
    assert "--limit 0" in short.err
    assert len(filled("list", *ANN, "--limit", "0").rows) == 3
    nodes = [json.loads(line) for line in filled("list", *ANN, "--json").out.splitlines()]
    assert nodes[0]["content"] == "I moved to Lisbon last week"


def test_o3_forget_a_message_a_session_and_all(filled: Cli, in_tmp: Path) -> None:
    told = filled("forget", "--message", "m0", *ANN, "--yes").out
    assert told.startswith("removed 1 message and 1 node;")
    assert "holds none of it" in told
    for file in in_tmp.iterdir():
        assert b"Lisbon" not in file.read_bytes()
    assert "removed 2 messages" in filled("forget", "--session", "s", *ANN, "--yes").out
    filled("record", "more", *ANN)
    assert "removed 1 message and" in filled("forget", "--all", *ANN, "--yes", "--compact").out
    assert filled("list", *ANN).out == ""


@pytest.mark.parametrize(
    "options", [(), ("--all", "--session", "s"), ("--message", "m0", "--node", "n")]
)
def test_forget_wants_exactly_one_selection(filled: Cli, options: tuple[str, ...]) -> None:
    assert "exactly one" in filled("forget", *options, *ANN, "--yes", code=2).err
    assert len(filled("list", *ANN).rows) == 3


def test_o3_forget_asks_and_does_nothing_where_nobody_can_answer(filled: Cli) -> None:
    assert "--yes" in filled("forget", "--all", *ANN, code=2).err
    assert len(filled("list", *ANN).rows) == 3


def test_forget_an_unknown_id_removes_nothing(filled: Cli) -> None:
    assert "'x'" in filled("forget", "--message", "m0", "--message", "x", *ANN, "--yes", code=2).err
    assert "'x'" in filled("forget", "--node", "x", *ANN, "--yes", code=2).err
    assert len(filled("list", *ANN).rows) == 3


def test_export_and_import_give_the_same_memory(filled: Cli, in_tmp: Path) -> None:
    filled("add", "a note", *ANN)
    lines = filled("export", *ANN).out
    told = filled("export", *ANN, "-o", "ann.jsonl")
    assert told.out == ""
    assert (in_tmp / "ann.jsonl").read_text("utf-8") == lines
    filled("import", "ann.jsonl", "--user", "bob")
    assert filled("export", "--user", "bob").out == lines


def test_stats_of_the_store_and_of_a_user(filled: Cli) -> None:
    filled("record", "hello", "--user", "bob")
    whole = dict(filled("stats").rows)
    assert (whole["scopes"], whole["messages"]) == ("2", "4")
    assert json.loads(filled("stats", "--user", "bob", "--json").out)["messages"] == 1


def test_columns_survive_tabs_newlines_and_terminal_commands(cli: Cli) -> None:
    cli("record", "a\tb\nc \x1b[31mred\x1b[0m \u0085 d", *ANN)
    ((*_, text),) = cli("list", *ANN).rows
    assert text == "a b c \ufffd[31mred\ufffd[0m d"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("retrieve", "x"), 2, "--user"),
        (("retrieve",), 2, "query"),
        (("retriev", "x"), 2, "retrieve"),
        (("list", *ANN, "--kind", "dream"), 2, "insight"),
        (("list", *ANN, "--limit", "-1"), 2, "--limit"),
        (("record", "x", *ANN, "--role", "robot"), 2, "assistant"),
        (("record", "x", *ANN, "--at", "yesterday"), 2, "--at"),
        (("record", "x", "--user", ""), 2, "user"),
        (("record", "x", *ANN, "--time-zone", "Mars/Olympus"), 2, "time_zone"),
        (("record", "x", *ANN, "--embedder", "mini"), 2, "all-minilm-l6-v2"),
        (("record", "x", *ANN, "--config", "none.yaml"), 2, "none.yaml"),
        (("record", "x", *ANN, "--embedder", "e5-small-v2"), 4, "models pull e5-small-v2"),
        (("record", "x", *ANN, "--embedder", "no/where"), 4, "no/where"),
        (("list", *ANN, "--store", "none.db"), 3, "none.db"),
        (("retrieve", "x", *ANN, "--store", "none.db"), 3, "none.db"),
        (("list", *ANN, "--store", "text.db"), 3, "text.db"),
        (("retrieve", "x", *ANN, "--limit", "0"), 2, "limit"),
        (("retrieve", "x", *ANN, "--from", "2026-02-01", "--to", "2026-01-01"), 2, "interval"),
        (("retrieve", "zebra", *ANN), 1, ""),
        (("history", "x", *ANN), 2, "'x'"),
        (("models", "pull", "e6"), 2, "e5-small-v2"),
        (("models", "pull", "e5-small-v2", "--from", "nowhere"), 4, "nowhere"),
    ],
)
def test_every_failure_is_a_sentence_and_an_exit_code(
    filled: Cli, in_tmp: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    (in_tmp / "text.db").write_text("this is no database " * 100, "utf-8")
    outcome = filled(*arguments, code=code)
    assert said in outcome.err
    assert outcome.out == ""
    if code > 2:
        assert len(outcome.err.splitlines()) == 1
        assert outcome.err.startswith("memoryscope-rag: ")
    assert not (in_tmp / "none.db").exists()


def test_reembed_switches_the_model(filled: Cli) -> None:
    default = ("--embedder", "all-minilm-l6-v2")
    assert "embedded 3 nodes with all-minilm-l6-v2" in filled("reembed", *default).out
    found = filled("retrieve", "Which town did I move to?", *ANN, "--no-floor", *default)
    assert found.rows[0][4] == "m0"
    assert dict(filled("stats").rows)["embedder"] == "all-minilm-l6-v2"
    assert "embedder" in filled("reembed", code=2).err


def test_consolidate_and_reflect_say_what_they_did(cli: Cli) -> None:
    facts = ["I work at Siemens.", "I have a dog called Rex.", "My birthday is on 12 June."]
    for fact in facts:
        cli("record", fact, *ANN, "--speaker", "Ann")
    *added, last = cli("consolidate", *ANN).out.splitlines()
    assert last == "3 of 3 messages consolidated"
    assert [line.split()[0] for line in added] == ["added"] * 3
    assert "0 parked messages" in cli("consolidate", *ANN, "--parked").out
    assert len(cli("list", *ANN, "--kind", "observation").rows) == 3
    assert "3 new facts looked at" in cli("reflect", *ANN).out


def test_a_command_that_records_consolidates_as_it_closes(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEMORYSCOPE_SCHEDULE__CLOSE_S")
    cli("record", "I work at Siemens.", *ANN, "--speaker", "Ann")
    assert cli("consolidate", *ANN).out == "0 of 0 messages consolidated\n"
    assert len(cli("list", *ANN, "--kind", "observation").rows) == 1
