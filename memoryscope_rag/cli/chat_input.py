"""Where the lines of a chat come from: a person at a terminal, or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from memoryscope_rag.errors import InvalidInput

if TYPE_CHECKING:
    from prompt_toolkit.completion import CompleteEvent, Completion
    from prompt_toolkit.document import Document

    from memoryscope_rag.cli.chat_session import ChatSession


class Lines(Protocol):
    """Gives one line after the other."""

    @property
    def person(self) -> bool:
        """Whether somebody sits there."""
        ...

    def read(self) -> str | None:
        """The next line, ``None`` after the last. KeyboardInterrupt is Ctrl-C at the prompt."""
        ...

    def confirm(self, question: str) -> bool:
        """The answer to a yes-or-no question. Raises InvalidInput where nobody can be asked."""
        ...


class PipedLines:
    """Standard input line by line."""

    person = False

    def read(self) -> str | None:
        """The next line without its end."""
        line = sys.stdin.readline()
        return line.rstrip("\r\n") if line else None

    def confirm(self, question: str) -> bool:
        """Nobody can be asked."""
        raise InvalidInput("confirmation", "nobody can be asked here; add --yes to the command")


class TerminalLines:
    """A prompt with editing, earlier lines and completion of commands."""

    person = True

    def __init__(self, talk: ChatSession) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import InMemoryHistory

        # earlier lines live as long as the process: a file of them would outlive /forget
        self._prompt: PromptSession[str] = PromptSession(
            history=InMemoryHistory(), completer=_completer(talk), complete_while_typing=True
        )
        self._question: PromptSession[str] = PromptSession()

    def read(self) -> str | None:
        """The next line; Ctrl-D is the end."""
        from prompt_toolkit.formatted_text import FormattedText

        try:
            return self._prompt.prompt(FormattedText([("bold ansicyan", "you> ")]))
        except EOFError:
            return None

    def confirm(self, question: str) -> bool:
        """Only "y" or "yes" is a yes; Ctrl-D is a no."""
        try:
            answer = self._question.prompt(f"{question} [y/N] ")
        except EOFError:
            return False
        return answer.strip().casefold() in {"y", "yes"}


def _completer(talk: ChatSession) -> _Completer:
    from prompt_toolkit.completion import Completer, Completion

    from memoryscope_rag.cli.chat_commands import complete

    class CommandCompleter(Completer):
        """Names of commands after a slash, then what the command may be given."""

        def get_completions(
            self, document: Document, complete_event: CompleteEvent
        ) -> Iterable[Completion]:
            """The words that may stand where the cursor is."""
            line = document.text_before_cursor
            for word, start, meaning in complete(talk, line):
                yield Completion(word, start_position=start, display_meta=meaning)

    return CommandCompleter()


if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer as _Completer
