"""chat without a terminal: lines in, plain text out. Rows C1, C3 and C5 by name."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memoryscope_rag import MemoryScope, load_config
from memoryscope_rag.cli import chat_looks
from memoryscope_rag.cli.chat_commands import Call, complete, known
from memoryscope_rag.cli.chat_input import PipedLines
from memoryscope_rag.cli.chat_model import ChatModel
from memoryscope_rag.cli.chat_session import ChatSession
from memoryscope_rag.cli.settings import Settings
from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.memory_service import OPERATIONS
from memoryscope_rag.models import torch_runtime
from memoryscope_rag.testing.scripted_server import ScriptedServer, scripted_server
from memoryscope_rag.testing.wire import openai_error, openai_stream
from tests.cli.conftest import Cli, Outcome

Say = Callable[..., Outcome]


@pytest.fixture
def say(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Runs a chat over the given lines, without a model unless a server is set up."""
    monkeypatch.setenv("MEMORYSCOPE_SCHEDULE__CLOSE_S", "0")  # no facts are drawn at the end

    def call(*lines: str, options: tuple[str, ...] = ("--no-model",), code: int = 0) -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return cli("chat", "--no-background", *options, code=code)

    return call


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    replies = iter(
        [
            openai_stream(["Noted", ", \x1b[31mAnn."]),
            openai_stream(["Lis", "bon."]),
            openai_error(400, "no such thing"),
        ]
    )
    with scripted_server(lambda request: next(replies)) as running:
        monkeypatch.setenv("MEMORYSCOPE_GENERATOR__PROVIDER", "vllm")
        monkeypatch.setenv("MEMORYSCOPE_GENERATOR__MODEL", "test-model")
        monkeypatch.setenv("MEMORYSCOPE_GENERATOR__BASE_URL", running.url)
        monkeypatch.setenv("MEMORYSCOPE_CONSOLIDATION__OPERATION", str(RULES))
        yield running


RULES = Path(chat_looks.__file__).parents[1] / "operations" / "consolidate_by_rules.yaml"


def test_c1_every_option_is_listed_and_a_wrong_one_is_refused(cli: Cli) -> None:
    listed = cli("chat", "--help").out
    for option in (
        "--user",
        "--agent",
        "--session",
        "--speaker",
        "--system-prompt",
        "--memory-prompt",
        "--history",
        "--no-stream",
        "--no-model",
        "--config",
        "--store",
    ):
        assert option in listed
    cli("chat", "--sesion", "x", code=2)
    refused = cli("chat", "--no-model", "--history", "all", code=2)
    assert "--history" in refused.err


def test_c1_it_runs_without_a_model_and_remembers_next_time(say: Say) -> None:
    first = say("I moved to Lisbon in May")
    assert first.out == ""
    again = say("Which city did I move to?")
    ((rank, _, who, _, text),) = again.rows
    assert (rank, who, text) == ("1", "user", "I moved to Lisbon in May")
    assert "kept; the above is what memory holds" in again.err


def test_c1_without_any_model_it_says_how_to_get_one(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_runtime, "find_spec", lambda name: None)  # no extra is installed
    outcome = say("I moved to Lisbon", "/model on", options=())
    assert "none is configured" in outcome.err
    assert "generator.provider" in outcome.err
    assert [row[4] for row in say("/list", options=()).rows] == ["I moved to Lisbon"]


def test_replies_are_plain_and_recorded_and_a_failing_model_costs_no_word(
    say: Say, server: ScriptedServer
) -> None:
    outcome = say(
        "I am Ann", "", "Where?", "And now?", options=("--session", "s", "--speaker", "Ann")
    )
    assert outcome.out == "Noted, \ufffd[31mAnn.\nLisbon.\n"
    assert "the model failed" in outcome.err
    assert "your words are kept" in outcome.err
    sent = server.bodies[1]
    assert sent["model"] == "test-model"
    assert [message["role"] for message in sent["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    history = say("/history", options=("--no-model", "--session", "s"))
    assert [(row[2], row[4]) for row in history.rows] == [
        ("Ann", "I am Ann"),
        ("assistant", "Noted, \ufffd[31mAnn."),
        ("Ann", "Where?"),
        ("assistant", "Lisbon."),
        ("Ann", "And now?"),
    ]


def test_own_prompts_and_history_reach_the_model(say: Say, server: ScriptedServer) -> None:
    say("Hello", "Again", options=("--system-prompt", "Be a pirate.", "--history", "none"))
    for body in server.bodies:
        assert body["messages"][0]["content"].startswith("Be a pirate.")
        assert len(body["messages"]) == 2


def test_c3_every_operation_has_a_command() -> None:
    names = {name for command in known().values() for name in (command.name, *command.also)}
    assert set(OPERATIONS) <= names
    assert names >= {"why", "forget", "insights", "stats", "stream", "model", "session", "history"}


def test_c3_every_operation_runs_and_quotes_are_understood(say: Say) -> None:
    outcome = say(
        "I moved to Lisbon",
        '/add "I Love New York"',
        "/add I don't eat nuts",
        '/delete "I Love New York"',
        "/list note --closed",
        "/retrieve_memory what about nuts",
        "/read_message",
        "/consolidate",
        "/reflect_and_reconsolidate",
        "/stats",
        "/why",
        '/delete "I moved to Lisbon" --yes',
        "/history 5",
        "/exit",
        "this line is not read",
    )
    out = outcome.out
    assert "is closed: not believed any more" in out
    notes = [row for row in outcome.rows if len(row) == 5 and row[3].startswith("note")]
    assert {(row[3], row[4]) for row in notes} >= {
        ("note, closed", "I Love New York"),
        ("note", "I don't eat nuts"),
    }
    assert "1 of 1 pending messages consolidated" in out
    assert "removed 1 message and" in out
    assert "searched for and not found" in out
    assert "nothing was said in this session yet" in outcome.err
    assert "this line" not in say("/list --all").out


def test_an_unknown_command_names_the_nearest_and_a_blank_sends_it(say: Say) -> None:
    outcome = say("/lst", "/list --evry 2", "/delete", '/forget "x', " /etc/hosts is a file")
    assert "there is no /lst; did you mean /list?" in outcome.err
    assert "did you mean '--every'?" in outcome.err
    assert "/delete needs an id" in outcome.err
    assert "a quotation mark is not closed" in outcome.err
    assert say("/history", options=("--no-model", "--session", "x")).out == ""
    assert "/etc/hosts is a file" in say("/list").out


def test_c5_nothing_is_forgotten_without_a_yes(say: Say) -> None:
    say("one", "/add two", options=("--no-model", "--user", "ann"))
    refused = say(
        "/forget --all", "/delete_all", "/delete one", options=("--no-model", "-u", "ann")
    )
    assert refused.err.count("add --yes to the command") == 3
    assert len(say("/list", options=("--no-model", "-u", "ann")).rows) == 2
    say("stays", options=("--no-model", "--user", "bob"))
    gone = say("/delete_all --yes", options=("--no-model", "-u", "ann"))
    assert "searched for and not found" in gone.out
    assert say("/list", options=("--no-model", "-u", "ann")).out == ""
    assert len(say("/list", options=("--no-model", "-u", "bob")).rows) == 1


def test_forget_by_the_beginning_of_an_id_by_session_and_what_is_wrong(say: Say) -> None:
    say("said in s", "more in s", options=("--no-model", "--session", "s"))
    say("said in t", options=("--no-model", "--session", "t"))
    rows = say("/list").rows
    assert [row[4] for row in rows] == ["said in s", "more in s", "said in t"]
    outcome = say(
        f"/forget {rows[0][0][:12]} --yes",
        "/forget nothing-like-it --yes",
        "/forget",
        "/forget --session s --yes",
    )
    assert "removed 1 message and" in outcome.out
    assert "nothing 'nothing-like-it' in this scope" in outcome.err
    assert "/forget takes ids" in outcome.err
    assert [row[4] for row in say("/list").rows] == ["said in t"]


def test_switches_say_what_they_did(say: Say, server: ScriptedServer) -> None:
    outcome = say(
        "/stream", "/model off", "hello", "/model", "/model maybe", "/session x", options=()
    )
    assert "replies come as a whole" in outcome.out
    assert "model: test-model at vllm" in outcome.out
    assert "/model takes on or off" in outcome.err
    assert outcome.out.endswith("session x\n")
    assert server.requests == []
    assert "no model to turn on" in say("/model on").err


def test_completion_offers_commands_kinds_and_ids(tmp_path: Path) -> None:
    config = load_config(overrides={"embedder": {"name": "none"}})
    with MemoryScope.open(tmp_path / "m.db", config=config) as memory:
        talk = ChatSession(memory, Settings(user="ann"), "s", ChatModel(None, ""))
        assert [word for word, _, _ in complete(talk, "/re")] == ["/retrieve", "/read", "/reflect"]
        assert ("/why", -2, known()["why"].help) in list(complete(talk, "/w"))
        assert [word for word, _, _ in complete(talk, "/list no")] == ["note"]
        assert list(complete(talk, "hello")) == []
        assert list(complete(talk, "/nothing x")) == []
        memory.record("hello there", scope="ann", message_id="m-123")
        known()["list"].run(Call(talk, PipedLines(), ""))
        assert [word for word, _, _ in complete(talk, "/forget m-")] == ["m-123"]
        with pytest.raises(InvalidInput, match="terminal"):
            known()["list"].run(Call(talk, PipedLines(), "--every 1"))
