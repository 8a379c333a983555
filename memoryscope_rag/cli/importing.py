"""import: our own export, chat logs, a MemoryScope index, and the exports of other programs."""

from __future__ import annotations

import lzma
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memoryscope_rag.cli.importing_foreign import Intake, program_at, take_in
from memoryscope_rag.cli.importing_index import memories_of, read_index
from memoryscope_rag.cli.output import counted, progress, say
from memoryscope_rag.cli.settings import Settings, moment, with_settings
from memoryscope_rag.errors import InvalidInput, suggest

if TYPE_CHECKING:
    from memoryscope_rag.formats import Parsed
    from memoryscope_rag.schema import NewMessage, Scope
    from memoryscope_rag.sync import MemoryScope


@with_settings(any_user=True)
def import_(
    settings: Settings,
    file: Annotated[
        str,
        typer.Argument(
            help="A file, also .xz or .zip; '-' reads standard input; the URL of an index "
            "MemoryScope made."
        ),
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="auto, memoryscope, openai, locomo, memoryscope-index, chatgpt, claude, mem0 or "
            "langgraph.",
        ),
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
    namespace: Annotated[
        str | None,
        typer.Option(help="Only items of a LangGraph store under it, as LABEL/LABEL; '/' for all."),
    ] = None,
) -> None:
    """Read a history into memory. What cannot be read is named by line; the rest goes in."""
    from memoryscope_rag import formats
    from memoryscope_rag.operations.foreign import PROGRAMS

    known = (*formats.FORMATS, *PROGRAMS)
    if form not in ("auto", *known):
        raise InvalidInput("--format", f"{form!r} is unknown; {suggest(form, known)}")
    from_url = file.startswith(("http://", "https://"))
    if from_url and form not in ("auto", "memoryscope-index"):
        raise InvalidInput("--format", "a URL names an index of MemoryScope, no file")
    program = next((name for name in PROGRAMS if name == form), None)
    if form == "auto" and not from_url:
        program = program_at(file)
    if program is not None:
        if program != "mem0" and settings.user is None:
            raise InvalidInput("--user", "is needed: whose memory is this?")
        with settings.open(existing=False) as memory:
            _tell(file, take_in(memory, settings, program, file, namespace=namespace))
        return
    if namespace is not None:
        raise InvalidInput("--namespace", "is for the items of a LangGraph store")
    text = "" if from_url else _read(Path(file))
    if form == "auto":
        form = "memoryscope-index" if from_url else formats.detect(text)
    if form in ("memoryscope", "openai") and settings.user is None:
        raise InvalidInput("--user", "is needed: whose memory is this?")
    zone = settings.zone()
    total = Intake()
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
    _tell(file, total)


def _tell(file: str, total: Intake) -> None:
    """What an import came to; exit code 1 if there were problems."""
    unit = "document" if file.startswith(("http://", "https://")) else "line"
    for line, reason in sorted(total.problems):
        print(f"{file}, {unit} {line}: {reason}", file=sys.stderr)
    for what, count in sorted(total.left_out.items()):
        if count:
            print(f"{file}: left out {count} {what}", file=sys.stderr)
    say(
        f"{counted(total.stored, 'message')} stored, {total.known} known already, "
        f"{counted(total.facts, 'fact')}, {counted(len(total.problems), 'problem')}"
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
    total: Intake,
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
    total: Intake,
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
