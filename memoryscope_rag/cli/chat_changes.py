"""Commands of a chat that change memory. What cannot be undone asks first, or wants --yes."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from memoryscope_rag.cli import chat_view as view
from memoryscope_rag.cli.chat_commands import Call, Command
from memoryscope_rag.cli.output import counted, name_of, one_line, say
from memoryscope_rag.errors import InvalidInput, UnknownId

if TYPE_CHECKING:
    from memoryscope_rag.cli.chat_session import ChatSession
    from memoryscope_rag.memory_service import Deleted
    from memoryscope_rag.ports import Forgotten

SHORTEST = 6
"""Characters of an id from which on its beginning will do."""


def _add(call: Call) -> None:
    if not call.text:
        raise InvalidInput("command", "/add needs the words to keep")
    say(f"kept as {call.talk.memory.add_note(call.text, scope=call.talk.scope).id}")


def _delete(call: Call) -> None:
    from memoryscope_rag.memory_service import MemoryService

    service, scope = MemoryService(call.talk.memory), call.talk.scope
    text, yes = _without_yes(call)
    if not text:
        raise InvalidInput("command", "/delete needs an id, or the exact words in quotes")
    name = _whole(call.talk, text)
    try:
        done = service.delete_memory(scope=scope, memory_id=name)
    except UnknownId:
        said = _said(call.talk, text)
        if said and not _sure(call, "Forget what was said in these words for good?", yes):
            return
        done = service.delete_memory(scope=scope, content=text, hard=said)
    except InvalidInput:  # a message: nothing but forgetting removes it
        if not _sure(call, "That is something said. Forget it for good?", yes):
            return
        done = service.delete_memory(scope=scope, memory_id=name, hard=True)
    _receipt(done)


def _said(talk: ChatSession, text: str) -> bool:
    after = 0
    while batch := talk.memory.messages(scope=talk.scope, after=after):
        if any(message.content == text for message in batch):
            return True
        after = batch[-1].seq
    return False


def _forget(call: Call) -> None:
    names, flags, values = call.words(flags=("--all", "--yes"), valued=("--session",))
    talk = call.talk
    session = values.get("--session")
    if [bool(names), session is not None, "--all" in flags].count(True) != 1:
        raise InvalidInput("command", "/forget takes ids, or --session NAME, or --all")
    whole = [_whole(talk, name) for name in names]
    if names:
        what = f"{len(names)} {'memory' if len(names) == 1 else 'memories'}"
    else:
        what = f"the session {session!r}" if session is not None else "everything"
    question = f"Remove {what} of {one_line(talk.scope.user_id)} for good?"
    if not _sure(call, question, "--yes" in flags):
        return
    if not names:
        gone = talk.memory.forget(scope=talk.scope, session_id=session, everything="--all" in flags)
        say(_proof(gone))
        return
    from memoryscope_rag.memory_service import MemoryService

    service = MemoryService(talk.memory)
    for name in whole:
        _receipt(service.delete_memory(scope=talk.scope, memory_id=name, hard=True))


def _delete_all(call: Call) -> None:
    _, flags, _ = call.words(flags=("--yes",))
    _forget(Call(call.talk, call.lines, "--all --yes" if flags else "--all"))


def _consolidate(call: Call) -> None:
    report = call.talk.memory.consolidate(scope=call.talk.scope)
    for action in report.actions:
        say(f"{action.did} {action.node}: {one_line(action.content)}")
    for name, reason in {**report.failed, **report.parked}.items():
        view.remark(f"{name}: {reason}", style="yellow")
    if report.busy:
        view.remark("another process is at it")
    say(f"{report.consolidated} of {report.messages} pending messages consolidated")


def _reflect(call: Call) -> None:
    report = call.talk.memory.reflect(scope=call.talk.scope)
    for action in report.actions:
        say(f"{action.did} {action.node}: {one_line(action.content)}")
    view.warnings(report.failures)
    if report.busy:
        view.remark("another process is at it")
    say(f"{report.looked_at} facts looked at, {len(report.actions)} insights changed")


def _receipt(done: Deleted) -> None:
    for name in done.closed:
        say(f"{name} is closed: not believed any more, kept in history; /forget removes it")
    for name in done.removed:
        say(f"{name} is removed with its history")
    if done.forgotten is not None:
        say(_proof(done.forgotten))


def _proof(gone: Forgotten) -> str:
    proof = "searched for and not found" if gone.proven else "STILL FOUND"
    removed = f"{counted(gone.messages, 'message')} and {counted(gone.nodes, 'node')}"
    return f"removed {removed}; {proof}"


def _without_yes(call: Call) -> tuple[str, bool]:
    text = call.rest.strip()
    if text.endswith(" --yes"):
        return Call(call.talk, call.lines, text.removesuffix("--yes")).text, True
    return call.text, False


def _sure(call: Call, question: str, yes: bool) -> bool:
    if yes or call.lines.confirm(question):
        return True
    view.remark("nothing was changed")
    return False


def _whole(talk: ChatSession, text: str) -> str:
    """The id that begins with ``text``, if there is one only; else ``text`` itself.

    Raises InvalidInput when several do.
    """
    if len(text) < SHORTEST or " " in text:
        return text
    found: set[str] = set()
    cursor: str | None = None
    while True:
        page = talk.memory.list(scope=talk.scope, closed=True, cursor=cursor, limit=500)
        found.update(name_of(node) for node in page.items if name_of(node).startswith(text))
        cursor = page.cursor
        if cursor is None:
            break
    if text in found or not found:
        return text
    if len(found) > 1:
        raise InvalidInput("id", f"{len(found)} ids begin with {text!r}")
    return found.pop()


def _ids(talk: ChatSession) -> Collection[str]:
    items = talk.evidence.items if talk.evidence is not None else ()
    ids = dict.fromkeys([*talk.shown, *(name_of(item.node) for item in items)])
    return [*ids, "--session", "--all", "--yes"]


COMMANDS = (
    Command("add", "TEXT", "keep a fact, word for word", _add, also=("add_memory",)),
    Command(
        "delete",
        'ID | "TEXT" [--yes]',
        "close a fact by id or exact words; what was said is forgotten for good",
        _delete,
        also=("delete_memory",),
        after=_ids,
    ),
    Command(
        "forget",
        "ID ... | --session NAME | --all [--yes]",
        "remove for good, and prove it",
        _forget,
        after=_ids,
    ),
    Command("delete_all", "[--yes]", "as /forget --all", _delete_all),
    Command(
        "consolidate",
        "",
        "draw facts from what was said, now",
        _consolidate,
        also=("consolidate_memory",),
    ),
    Command(
        "reflect",
        "",
        "draw conclusions from the facts, now",
        _reflect,
        also=("reflect_and_reconsolidate",),
    ),
)
