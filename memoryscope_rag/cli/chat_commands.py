"""The commands of a chat: how a line becomes one, help, and completion.

Words are parted as a shell parts them, so "I Love New York" in quotes is one word. A command that
takes a text takes the rest of the line as it is, or without the quotes that stand around all of it.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memoryscope_rag.errors import InvalidInput, suggest

if TYPE_CHECKING:
    from memoryscope_rag.cli.chat_input import Lines
    from memoryscope_rag.cli.chat_session import ChatSession


class Leave(Exception):
    """The user asked to leave the chat."""


@dataclass(frozen=True)
class Call:
    """One use of a command: ``rest`` is the line after the command's name."""

    talk: ChatSession
    lines: Lines
    rest: str

    @property
    def text(self) -> str:
        """The rest as one text."""
        rest = self.rest.strip()
        if rest[:1] in {'"', "'"}:
            try:
                words = shlex.split(rest)
            except ValueError:
                return rest
            if len(words) == 1:
                return words[0]
        return rest

    def words(
        self, *, flags: Collection[str] = (), valued: Collection[str] = ()
    ) -> tuple[list[str], frozenset[str], Mapping[str, str]]:
        """Plain words, flags that were given, and options with their values.

        Raises InvalidInput for an unknown option, one without its value, an open quotation.
        """
        try:
            words = shlex.split(self.rest)
        except ValueError:
            raise InvalidInput("command", "a quotation mark is not closed") from None
        plain: list[str] = []
        given: set[str] = set()
        values: dict[str, str] = {}
        rest = iter(words)
        for word in rest:
            if not word.startswith("--"):
                plain.append(word)
                continue
            name, equals, value = word.partition("=")
            if name in flags and not equals:
                given.add(name)
            elif name in valued:
                if not equals:
                    value = next(rest, "")
                if not value:
                    raise InvalidInput("command", f"{name} needs a value")
                values[name] = value
            else:
                raise InvalidInput("command", f"no {name!r}; {suggest(name, [*flags, *valued])}")
        return plain, frozenset(given), values


@dataclass(frozen=True)
class Command:
    """``usage`` follows the name; ``also`` are other names; ``after`` are words it may be given."""

    name: str
    usage: str
    help: str
    run: Callable[[Call], None]
    also: tuple[str, ...] = ()
    after: Callable[[ChatSession], Collection[str]] | None = None


def known() -> dict[str, Command]:
    """Every command by its name."""
    from memoryscope_rag.cli import chat_changes, chat_looks

    commands = (*chat_looks.COMMANDS, *chat_changes.COMMANDS, Command(*_HELP), *_LEAVE)
    return {command.name: command for command in commands}


def obey(talk: ChatSession, line: str, lines: Lines) -> None:
    """Carry out a line that begins with a slash.

    Raises:
        InvalidInput: no such command, or it cannot be given this.
        Leave: it was /exit.
    """
    name, _, rest = line[1:].partition(" ")
    commands = known()
    named = {**commands, **{other: c for c in commands.values() for other in c.also}}
    command = named.get(name.casefold())
    if command is None:
        near = difflib.get_close_matches(name.casefold(), list(named), n=1, cutoff=0.5)
        hint = f"did you mean /{near[0]}? " if near else ""
        raise InvalidInput(
            "command", f"there is no /{name}; {hint}/help lists them; a blank before / sends it"
        )
    command.run(Call(talk, lines, rest))


def complete(talk: ChatSession, line: str) -> Iterator[tuple[str, int, str]]:
    """What may stand at the end of ``line``: the word, where it starts (0 or less), its meaning."""
    if not line.startswith("/"):
        return
    name, blank, rest = line[1:].partition(" ")
    commands = known()
    if not blank:
        for command in commands.values():
            if command.name.startswith(name.casefold()):
                yield f"/{command.name}", -len(line), command.help
        return
    found = commands.get(name.casefold())
    if found is None or found.after is None:
        return
    start = rest.rpartition(" ")[2]
    for word in found.after(talk):
        if word.startswith(start):
            yield word, -len(start), ""


def _help(call: Call) -> None:
    from memoryscope_rag.cli.output import table

    table(
        ("command", "what it does"),
        [(f"/{c.name} {c.usage}".rstrip(), c.help) for c in known().values()],
    )


def _leave(call: Call) -> None:
    raise Leave


_HELP = ("help", "", "show this", _help)
_LEAVE = (Command("exit", "", "leave the chat; Ctrl-D does too", _leave, also=("quit", "bye")),)
