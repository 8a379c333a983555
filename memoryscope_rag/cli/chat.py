"""chat: a conversation at the terminal that is remembered."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from memoryscope_rag.cli.output import is_terminal
from memoryscope_rag.cli.settings import Settings, with_settings
from memoryscope_rag.errors import InvalidInput

if TYPE_CHECKING:
    from memoryscope_rag.operations.chat_history import History

DEFAULT_USER = "me"


def history_of(text: str) -> History:
    """``--history``: "auto", a number of pairs, or "none". Raises InvalidInput."""
    if text == "auto":
        return "auto"
    if text == "none":
        return None
    if text.isascii() and text.isdecimal():
        return int(text)
    raise InvalidInput("--history", f"{text!r} is not auto, none or a number of pairs")


@with_settings(default_user=DEFAULT_USER)
def chat(
    settings: Settings,
    session: Annotated[
        str | None, typer.Option(help="Go on with this session; default a new one.")
    ] = None,
    speaker: Annotated[str | None, typer.Option(help="Your name, as the model is told.")] = None,
    system_prompt: Annotated[str | None, typer.Option(help="In place of the built-in one.")] = None,
    memory_prompt: Annotated[
        str | None, typer.Option(help="How to use what memory holds, in place of the built-in one.")
    ] = None,
    history: Annotated[
        str, typer.Option(help="Turns the model is shown: auto, none, or so many pairs.")
    ] = "auto",
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="Write each reply as a whole.")
    ] = False,
    no_model: Annotated[
        bool, typer.Option("--no-model", help="Show what memory holds instead of replies.")
    ] = False,
    no_background: Annotated[
        bool, typer.Option("--no-background", help="Do not draw facts from the chat meanwhile.")
    ] = False,
) -> None:
    """Chat with a memory that stays; /help lists what can be asked of it.

    Without a terminal on standard input its lines are the turns, and replies are plain text.
    """
    from memoryscope_rag.cli.chat_input import PipedLines, TerminalLines
    from memoryscope_rag.cli.chat_model import open_memory
    from memoryscope_rag.cli.chat_session import ChatSession, converse, new_session
    from memoryscope_rag.cli.chat_view import remark

    wanted = history_of(history)
    memory, model = open_memory(settings, no_model=no_model, wait=remark)
    with memory:
        talk = ChatSession(
            memory,
            settings,
            session_id=session or new_session(datetime.now(settings.zone())),
            model=model,
            speaker=speaker,
            system_prompt=system_prompt,
            memory_prompt=memory_prompt,
            history=wanted,
            streaming=not no_stream,
            background=not no_background,
        )
        person = sys.stdin.isatty() and is_terminal()
        converse(talk, TerminalLines(talk) if person else PipedLines())
