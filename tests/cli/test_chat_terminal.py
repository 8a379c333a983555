"""chat at a terminal, driven through a pseudo-terminal. Rows C2, C4 and C6 by name."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from memoryscope_rag.testing.scripted_server import (
    ScriptedServer,
    WireReply,
    WireRequest,
    scripted_server,
)
from memoryscope_rag.testing.wire import openai_stream
from tests.cli.screen import Screen, terminal
from tests.cli.test_chat import RULES
from tests.cli.test_terminal import PROGRAM, environment

NO_MODEL = ("chat", "--no-model", "--no-background")
PROMPT = "you> "


@pytest.fixture
def screen(in_tmp: Path) -> Iterator[Screen]:
    with terminal(*NO_MODEL, folder=in_tmp) as opened:
        opened.wait(PROMPT)
        yield opened


def test_c2_help_clear_stream_exit(screen: Screen) -> None:
    assert "memory of me in" in screen.text
    assert "0 messages and 0 facts" in screen.text
    screen.line("/help")
    listed = screen.wait(f"leave the chat.*{PROMPT}")
    for name in ("/retrieve", "/forget", "/history", "/clear"):
        assert name in listed
    assert "clear the screen; memory stays as it is" in " ".join(listed.split())
    screen.line("/stream")
    screen.wait("as a whole")
    screen.line("I moved to Lisbon")
    screen.wait("kept; memory holds nothing else")
    screen.line("/clear")
    screen.line("Lisbon")
    screen.wait("I moved to Lisbon.*kept; the above")
    screen.line("/exit")
    assert screen.end() == 0
    assert "Traceback" not in screen.text


def test_c4_list_is_drawn_again_until_ctrl_c(screen: Screen, in_tmp: Path) -> None:
    screen.line("/list --every 0.2")
    screen.wait("Ctrl-C ends it")
    _record(in_tmp, "written by another process")
    screen.wait("written by another process")
    screen.type("\x03")
    screen.wait(PROMPT)
    screen.line("/stats")
    screen.wait("messages +1.*you> ")
    screen.type("\x04")
    assert screen.end() == 0
    assert "Traceback" not in screen.text


def test_c5_forgetting_asks_and_so_does_ctrl_c(screen: Screen) -> None:
    screen.line("remember this")
    screen.wait("kept")
    screen.line("/forget --all")
    screen.wait(r"Remove everything of me for good\? \[y/N\]")
    screen.line("no")
    screen.wait("nothing was changed")
    screen.line('/delete "remember this"')
    screen.wait(r"for good\? \[y/N\]")
    screen.line("y")
    screen.wait("removed 1 message.*not found.*you> ")
    screen.type("half a line\x03")
    screen.wait(r"Leave the chat\? \[y/N\]")
    screen.line("n")
    screen.wait(PROMPT)
    screen.type("\x03")
    screen.wait(r"Leave the chat\? \[y/N\]")
    screen.type("\x03")
    assert screen.end() == 0


def test_c6_a_second_terminal_sees_what_is_new(screen: Screen, in_tmp: Path) -> None:
    screen.line("before")
    screen.wait("kept")
    with terminal("list", "--follow", "--user", "me", folder=in_tmp) as other:
        other.wait("before")
        screen.line("I moved to Lisbon")
        screen.wait("kept")
        started = time.monotonic()
        other.wait("I moved to Lisbon")
        assert time.monotonic() - started < 5  # on an idle machine a quarter of a second
        screen.line("/add Lisbon is warm")
        other.wait("note\tLisbon is warm")
        screen.line('/delete "Lisbon is warm"')
        other.wait("note, closed\tLisbon is warm")
        other.type("\x03")
        assert other.end() == 0


def test_nothing_said_is_lost_when_it_is_killed(in_tmp: Path) -> None:
    def answer(request: WireRequest) -> WireReply:
        return openai_stream(["On", "ce ", 60.0, "upon"])

    with scripted_server(answer) as server, _chat(in_tmp, server) as screen:
        screen.wait("model: test-model at vllm.*you> ")
        screen.line("My sister Clara plays the cello")
        screen.wait("Once")
        screen.process.kill()
        screen.process.wait()
    with terminal(*NO_MODEL, folder=in_tmp) as again:
        again.wait("1 messages.*you> ")
        again.line("Who plays the cello?")
        again.wait("My sister Clara plays the cello")


def test_ctrl_c_stops_a_reply_and_keeps_what_was_said(in_tmp: Path) -> None:
    replies: Iterator[list[Any]] = iter([["On", "ce ", 60.0, "upon"], ["Lisbon, ", "of course"]])

    def answer(request: WireRequest) -> WireReply:
        return openai_stream(next(replies))

    with scripted_server(answer) as server, _chat(in_tmp, server) as screen:
        screen.wait(PROMPT)
        screen.line("I moved to Lisbon. Tell me a story")
        screen.wait("Once ")
        screen.type("\x03")
        screen.wait("stopped; what was said.*you> ")
        screen.line("/history")
        screen.wait("assistant.*Once.*you> ")
        screen.line("Where do I live?")
        screen.wait("Lisbon, of course.*you> ")
        screen.line("/session another")
        screen.line("/why")
        screen.wait("(nothing in memory fitted|score).*you> ")
        screen.type("\x04")
        assert screen.end() == 0
    last = server.bodies[-1]["messages"]
    assert [message["role"] for message in last] == ["system", "user", "assistant", "user"]
    # how much had come before the key was pressed is up to the machine
    assert last[2]["content"].startswith("Once")


def _chat(folder: Path, server: ScriptedServer) -> AbstractContextManager[Screen]:
    return terminal(
        "chat",
        folder=folder,
        MEMORYSCOPE_GENERATOR__PROVIDER="vllm",
        MEMORYSCOPE_GENERATOR__MODEL="test-model",
        MEMORYSCOPE_GENERATOR__BASE_URL=server.url,
        MEMORYSCOPE_CONSOLIDATION__OPERATION=str(RULES),
    )


def _record(folder: Path, text: str) -> None:
    done = subprocess.run(
        [*PROGRAM, "record", text, "--user", "me"],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        cwd=folder,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
