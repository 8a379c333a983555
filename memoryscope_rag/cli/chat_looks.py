"""Commands of a chat that look and change nothing in memory."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from memoryscope_rag.cli import chat_view as view
from memoryscope_rag.cli.chat_commands import Call, Command
from memoryscope_rag.cli.output import is_terminal, name_of, say, table
from memoryscope_rag.cli.reading import kinds_of, stat_rows
from memoryscope_rag.errors import InvalidInput

if TYPE_CHECKING:
    from memoryscope_rag.cli.chat_session import ChatSession
    from memoryscope_rag.schema import MemoryNode, Message

LISTED = 20
LOOK_S = 0.25
"""Between two looks at the store's counter of writes."""


def _retrieve(call: Call) -> None:
    if not call.text:
        raise InvalidInput("command", "/retrieve needs words to look for")
    talk = call.talk
    evidence = talk.memory.retrieve(call.text, scope=talk.scope, explain=True)
    view.evidence_table(evidence, talk.zone, why=True)
    talk.shown = [name_of(item.node) for item in evidence.items]
    view.warnings(evidence.left_out)
    if not evidence.items:
        view.remark("nothing in memory fits")


def _list(call: Call) -> None:
    kinds, flags, values = call.words(flags=("--closed", "--all"), valued=("--every", "--last"))
    limit = 0 if "--all" in flags else _number("--last", values.get("--last", str(LISTED)))
    wanted = kinds_of(kinds)

    def show() -> None:
        nodes = _newest(call.talk, wanted, closed="--closed" in flags)
        shown = nodes[-limit:] if limit else nodes
        view.nodes_table(shown, call.talk.zone)
        call.talk.shown = [name_of(node) for node in shown]
        if not nodes:
            view.remark("nothing yet")
        elif len(shown) < len(nodes):
            view.remark(f"the last {len(shown)} of {len(nodes)}; /list --all shows all")

    if "--every" not in values:
        show()
        return
    seconds = _seconds(values["--every"])
    if not call.lines.person:
        raise InvalidInput("command", "--every is for a terminal")
    while True:  # until Ctrl-C
        clear()
        show()
        view.remark(f"every {seconds:g} s; Ctrl-C ends it")
        _wait_for_change(call.talk, seconds)


def _wait_for_change(talk: ChatSession, seconds: float) -> None:
    # the list is drawn again when the time is over and there is something new to draw
    before = talk.memory.generation(scope=talk.scope)
    time.sleep(seconds)
    while talk.memory.generation(scope=talk.scope) == before:
        time.sleep(LOOK_S)


def _newest(talk: ChatSession, kinds: Collection[str] | None, *, closed: bool) -> list[MemoryNode]:
    nodes: list[MemoryNode] = []
    cursor: str | None = None
    while True:
        page = talk.memory.list(
            scope=talk.scope,
            kinds=kinds_of(list(kinds)) if kinds else None,
            closed=closed,
            cursor=cursor,
            limit=500,
        )
        nodes += page.items
        cursor = page.cursor
        if cursor is None:
            return nodes


def _why(call: Call) -> None:
    evidence = call.talk.evidence
    if evidence is None:
        view.remark("nothing was asked yet")
    elif not evidence.items:
        view.remark("nothing in memory fitted; the reply rests on this chat alone")
    else:
        view.evidence_table(evidence, call.talk.zone, why=True)


def _insights(call: Call) -> None:
    nodes = _newest(call.talk, ("insight",), closed=False)
    view.nodes_table(nodes, call.talk.zone)
    if not nodes:
        view.remark("no insights yet; they are drawn from observations, /reflect does it now")


def _stats(call: Call) -> None:
    counts = call.talk.memory.stats(scope=call.talk.scope)
    table(("what", "how much"), list(stat_rows(counts).items()))


def _read(call: Call) -> None:
    from memoryscope_rag.memory_service import MemoryService

    pending = MemoryService(call.talk.memory).read_message(scope=call.talk.scope)
    view.messages_table(pending, call.talk.zone)
    view.remark(f"{len(pending)} messages are not consolidated yet")


def _history(call: Call) -> None:
    talk = call.talk
    last = _number("/history", call.rest.strip() or str(LISTED))
    messages: list[Message] = []
    after = 0
    while batch := talk.memory.messages(scope=talk.scope, session_id=talk.session_id, after=after):
        messages += batch
        after = batch[-1].seq
    view.messages_table(messages[-last:], talk.zone)
    talk.shown = [message.id for message in messages[-last:]]
    if not messages:
        view.remark("nothing was said in this session yet")


def _session(call: Call) -> None:
    talk = call.talk
    if call.text:
        from memoryscope_rag.schema import check_name

        talk.session_id = check_name("session", call.text)
    say(f"session {talk.session_id}")


def _stream(call: Call) -> None:
    call.talk.streaming = not call.talk.streaming
    say(f"replies come {'word by word' if call.talk.streaming else 'as a whole'}")


def _model(call: Call) -> None:
    talk = call.talk
    if call.text not in {"", "on", "off"}:
        raise InvalidInput("command", f"/model takes on or off, not {call.text!r}")
    if call.text:
        if call.text == "on" and talk.model.name is None:
            raise InvalidInput("command", "there is no model to turn on; see docs/chat.md")
        talk.replying = call.text == "on"
    view.paragraph(f"model: {talk.model.remark}")
    if talk.model.name is not None and not talk.replying:
        say("it is not asked now; /model on changes that")


def _clear(call: Call) -> None:
    clear()


def clear() -> None:
    """An empty screen, where there is one."""
    if is_terminal():
        from rich.console import Console

        Console().clear()


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise InvalidInput(name, f"{text!r} is no number above 0")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise InvalidInput("--every", f"{text!r} is not between 0.1 and 3600 seconds")
    return seconds


def _kinds(talk: ChatSession) -> tuple[str, ...]:
    from memoryscope_rag.schema import KINDS

    return (*KINDS, "--closed", "--all", "--last", "--every")


COMMANDS = (
    Command(
        "retrieve",
        "WORDS",
        "what memory holds that matters to the words, and why",
        _retrieve,
        also=("retrieve_memory",),
    ),
    Command(
        "list",
        "[KIND] [--last N] [--all] [--closed] [--every S]",
        "what is remembered, the newest last; --every S draws it again after changes",
        _list,
        also=("list_memory",),
        after=_kinds,
    ),
    Command("why", "", "the memories behind the last reply, and what spoke for each", _why),
    Command("insights", "", "what was concluded about you", _insights),
    Command("stats", "", "counts", _stats),
    Command("read", "", "what was said and is not consolidated yet", _read, also=("read_message",)),
    Command("history", "[N]", "the last N turns of this session, 20 unless given", _history),
    Command("session", "[NAME]", "show the session, or go on in another", _session),
    Command("stream", "", "switch between replies word by word and as a whole", _stream),
    Command(
        "model",
        "[on|off]",
        "what replies; off shows what memory holds instead",
        _model,
        after=lambda talk: ("on", "off"),
    ),
    Command("clear", "", "clear the screen; memory stays as it is", _clear),
)
