"""record, add, update, forget, reembed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from memoryscope_rag.cli.output import counted, is_terminal, one_line, progress, say
from memoryscope_rag.cli.settings import Settings, moment, with_settings
from memoryscope_rag.errors import InvalidInput, suggest

TextArgument = Annotated[str, typer.Argument(help="The text; '-' reads it from standard input.")]


@with_settings()
def record(
    settings: Settings,
    text: TextArgument,
    role: Annotated[str, typer.Option(help="system, user, assistant or tool.")] = "user",
    session: Annotated[str, typer.Option(help="The conversation it belongs to.")] = "default",
    speaker: Annotated[str | None, typer.Option(help="Who said it.")] = None,
    at: Annotated[str | None, typer.Option(help="When, ISO 8601; default now.")] = None,
    message_id: Annotated[
        str | None, typer.Option("--id", help="Makes recording it twice harmless.")
    ] = None,
) -> None:
    """Record one message and print its id."""
    from memoryscope_rag.schema import ROLES

    known = {name: name for name in ROLES}
    if role not in known:
        raise InvalidInput("role", f"{role!r} is unknown; {suggest(role, known)}")
    created_at = moment("--at", at, settings.zone())
    with settings.open(existing=False) as memory:
        outcome = memory.record(
            _text(text),
            scope=settings.scope,
            role=known[role],
            session_id=session,
            speaker=speaker,
            created_at=created_at,
            message_id=message_id,
        )
    say(outcome.message.id)


@with_settings()
def add(
    settings: Settings,
    text: TextArgument,
    said_at: Annotated[str | None, typer.Option(help="When, ISO 8601; default now.")] = None,
) -> None:
    """Keep a fact, word for word, as a note, and print its id."""
    when = moment("--said-at", said_at, settings.zone())
    with settings.open(existing=False) as memory:
        say(memory.add_note(_text(text), scope=settings.scope, said_at=when).id)


@with_settings()
def update(
    settings: Settings,
    node_id: Annotated[str, typer.Argument(help="A note, observation or insight.")],
    text: TextArgument,
) -> None:
    """Give a fact another text; the old one stays in its history."""
    with settings.open() as memory:
        node = memory.update(node_id, _text(text), scope=settings.scope)
    say(f"{node.id} is now version {node.version}")


@with_settings()
def forget(
    settings: Settings,
    message: Annotated[list[str] | None, typer.Option(help="A message id; repeatable.")] = None,
    node: Annotated[list[str] | None, typer.Option(help="A fact's id; repeatable.")] = None,
    session: Annotated[str | None, typer.Option(help="A whole session.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of this user's memory.")] = False,
    compact: Annotated[bool, typer.Option("--compact", help="Also shrink the file.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove messages or facts and all that rests on them, and prove that they are gone."""
    chosen = [bool(message), bool(node), session is not None, everything]
    if chosen.count(True) != 1:
        raise InvalidInput("forget", "choose exactly one of --message, --node, --session and --all")
    if message:
        what = counted(len(message), "message")
    elif node:
        what = counted(len(node), "fact")
    elif session is not None:
        what = f"the session {session!r}"
    else:
        what = "everything"
    confirm(f"Remove {what} of {one_line(settings.user or '')} for good?", yes)
    with settings.open(embedding=False) as memory:
        if node:
            for name in node:
                memory.get(name, scope=settings.scope)  # all are there before any is removed
            for name in node:
                memory.delete(name, scope=settings.scope)
            whose = "its" if len(node) == 1 else "their"
            say(f"removed {counted(len(node), 'fact')} with {whose} history")
            return
        gone = memory.forget(
            scope=settings.scope,
            message_ids=message or (),
            session_id=session,
            everything=everything,
            compact=compact,
        )
    proof = (
        "the store was searched afterwards and holds none of it"
        if gone.proven
        else "the search afterwards still found traces of it"
    )
    removed = f"{counted(gone.messages, 'message')} and {counted(gone.nodes, 'node')}"
    say(f"removed {removed}; {proof}")
    if not gone.proven:
        raise typer.Exit(1)


@with_settings(scope=False)
def reembed(settings: Settings) -> None:
    """Give every node a vector of the model in force; resumes where it was interrupted."""
    with settings.open(reembedding=True) as memory, progress("embedding") as report:
        count = memory.reembed(progress=report)
        name = memory.config.embedder.name
    say(f"embedded {count} nodes with {name}")


def _text(text: str) -> str:
    return sys.stdin.read() if text == "-" else text


def confirm(question: str, yes: bool) -> None:
    """Ask, unless ``yes``; who says no ends the command. InvalidInput where nobody can be asked."""
    if yes:
        return
    if not (sys.stdin.isatty() and is_terminal()):
        raise InvalidInput("--yes", "nobody can be asked here; pass it to confirm")
    typer.confirm(question, abort=True)
