"""import: our own export, OpenAI-style messages, LoCoMo conversations, a MemoryScope index."""

from __future__ import annotations

import lzma
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memoryscope_rag.cli.importing_index import memories_of, read_index
from memoryscope_rag.cli.output import progress, say
from memoryscope_rag.cli.settings import Settings, moment, with_settings
from memoryscope_rag.errors import InvalidInput, suggest

if TYPE_CHECKING:
    from memoryscope_rag.formats import Parsed
    from memoryscope_rag.schema import NewMessage, Scope
    from memoryscope_rag.sync import MemoryScope


@dataclass
class _Total:
    stored: int = 0
    known: int = 0
    facts: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)


@with_settings(any_user=True)
def import_(
    settings: Settings,
    file: Annotated[
        str,
        typer.Argument(
            help="A file, also .xz; '-' reads standard input; the URL of an index MemoryScope made."
        ),
    ],
    form: Annotated[
        str,
        typer.Option("--format", help="auto, memoryscope, openai, locomo or memoryscope-index."),
    ] = "auto",
    session: Annotated[
        str | None, typer.Option(help="Session of OpenAI messages; default the file's name.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Time of the first OpenAI message without one, ISO 8601; default now."),
    ] = None,
    assistant: Annotated[
        str | None,
        typer.Option(help="Whose memories of an index with those of several assistants."),
    ] = None,
) -> None:
    """Read a history into memory. What cannot be read is named by line; the rest goes in."""
    from memoryscope_rag import formats

    if form not in ("auto", *formats.FORMATS):
        raise InvalidInput("--format", f"{form!r} is unknown; {suggest(form, formats.FORMATS)}")
    from_url = file.startswith(("http://", "https://"))
    if from_url and form not in ("auto", "memoryscope-index"):
        raise InvalidInput("--format", "a URL names an index of MemoryScope, no file")
    text = "" if from_url else _read(Path(file))
    if form == "auto":
        form = "memoryscope-index" if from_url else formats.detect(text)
    if form in ("memoryscope", "openai") and settings.user is None:
        raise InvalidInput("--user", "is needed: whose memory is this?")
    zone = settings.zone()
    total = _Total()
    if form == "memoryscope-index":
        documents = read_index(settings, file) if from_url else formats.values(text)
        memories = memories_of(documents, assistant, total.problems)
    with settings.open(existing=False) as memory:
        if form == "memoryscope":
            _take(memory, settings.scope, text.split("\n"), total, "importing")
        elif form == "openai":
            stem = Path(file).stem.partition(".")[0] if file != "-" else ""
            name = session or stem or "import"
            first = moment("--start", start, zone)
            parsed = formats.parse_openai(
                text, session_id=name, start=first or datetime.now(UTC).replace(microsecond=0)
            )
            _messages(memory, settings.scope, list(parsed), total, "importing", first is None)
        elif form == "memoryscope-index":
            for person, (lines, numbers) in memories.items():
                scope = settings.scope_of(settings.user or person)
                _take(memory, scope, lines, total, person, numbers)
        else:
            for line, item in formats.parse_locomo(text, zone=zone):
                if isinstance(item, formats.Problem):
                    total.problems.append((line, item.reason))
                    continue
                scope = settings.scope_of(settings.user or item.name)
                _messages(memory, scope, list(item.lines), total, item.name, False)
    for line, reason in sorted(total.problems):
        print(f"{file}, {'document' if from_url else 'line'} {line}: {reason}", file=sys.stderr)
    say(
        f"{total.stored} messages stored, {total.known} known already, "
        f"{total.facts} facts, {len(total.problems)} problems"
    )
    if total.problems:
        raise typer.Exit(1)


def _read(file: Path) -> str:
    # bytes that are no UTF-8 become lone surrogates, which the import then reports by line
    if str(file) == "-":
        data = sys.stdin.buffer.read()
    elif file.suffix == ".xz":
        try:
            data = lzma.decompress(file.read_bytes())
        except lzma.LZMAError as error:
            raise InvalidInput("file", f"{file} is no xz file: {error}") from None
    else:
        data = file.read_bytes()
    return data.decode("utf-8-sig", errors="surrogateescape")


def _messages(
    memory: MemoryScope,
    scope: Scope,
    parsed: list[Parsed],
    total: _Total,
    what: str,
    keep_times: bool,
) -> None:
    """Import parsed messages; ``keep_times`` gives those that are known the time they have.

    That is for times which the file does not tell: read again tomorrow it is still the same file.
    """
    from memoryscope_rag.formats import Problem, as_line

    good: list[tuple[int, NewMessage]] = []
    for line, item in parsed:
        if isinstance(item, Problem):
            total.problems.append((line, item.reason))
        else:
            good.append((line, item))
    if keep_times:
        times = _known_times(memory, scope, {message.session_id for _, message in good})
        good = [
            (line, replace(message, created_at=times.get(message.id, message.created_at)))
            for line, message in good
        ]
    lines = [as_line(message) for _, message in good]
    _take(memory, scope, lines, total, what, [line for line, _ in good])


def _known_times(memory: MemoryScope, scope: Scope, sessions: Iterable[str]) -> dict[str, datetime]:
    times: dict[str, datetime] = {}
    for session in sessions:
        after = 0
        while batch := memory.messages(scope=scope, session_id=session, after=after):
            times.update((message.id, message.created_at) for message in batch)
            after = batch[-1].seq
    return times


def _take(
    memory: MemoryScope,
    scope: Scope,
    lines: list[str],
    total: _Total,
    what: str,
    numbers: list[int] | None = None,
) -> None:
    with progress(what) as report:
        result = memory.import_(lines, scope=scope, progress=report)
    total.stored += result.stored
    total.known += result.known
    total.facts += result.facts
    total.problems += [
        (line if numbers is None else numbers[line - 1], reason) for line, reason in result.problems
    ]
