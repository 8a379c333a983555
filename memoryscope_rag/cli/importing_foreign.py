"""import from exports of other programs: opening them, in a ZIP too, and storing as they come."""

from __future__ import annotations

import io
import lzma
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from memoryscope_rag.cli.output import progress
from memoryscope_rag.cli.settings import Settings
from memoryscope_rag.errors import InvalidInput

if TYPE_CHECKING:
    from memoryscope_rag.operations.foreign import Program
    from memoryscope_rag.operations.foreign.found import Found
    from memoryscope_rag.schema import Scope
    from memoryscope_rag.sync import MemoryScope

BATCH = 256
"""Messages and facts that are stored at once."""
_INSIDE = re.compile(r"(?:.*/)?conversations(?:-\d+)?\.jsonl?")
"""The files of a ZIP that hold conversations."""


@dataclass
class Intake:
    """What an import came to; ``problems`` are (line, reason), ``left_out`` counts by reason."""

    stored: int = 0
    known: int = 0
    facts: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Source:
    """A JSON file of an export: its name in a ZIP, its contents, and how many bytes they are."""

    name: str
    stream: BinaryIO
    size: int


@contextmanager
def sources(file: str, left_out: Counter[str]) -> Iterator[Iterator[Source]]:
    """The files of an export at ``file``, each open until the next one is asked for.

    Raises InvalidInput for a damaged ``.xz`` or ZIP, or one without conversations; OSError.
    """
    if file == "-":
        yield iter([_whole(sys.stdin.buffer.read())])
    elif file.endswith(".xz"):
        try:
            yield iter([_whole(lzma.decompress(Path(file).read_bytes()))])
        except lzma.LZMAError as error:
            raise InvalidInput("file", f"{file} is no xz file: {error}") from None
    elif zipfile.is_zipfile(file):
        try:
            with zipfile.ZipFile(file) as archive:
                yield _members(archive, file, left_out)
        except zipfile.BadZipFile as error:
            raise InvalidInput("file", f"{file} is damaged: {error}") from None
    else:
        with Path(file).open("rb") as stream:
            yield iter([Source("", stream, Path(file).stat().st_size)])


def _whole(data: bytes) -> Source:
    return Source("", io.BytesIO(data), len(data))


def _members(archive: zipfile.ZipFile, file: str, left_out: Counter[str]) -> Iterator[Source]:
    files = [info for info in archive.infolist() if not info.is_dir()]
    chosen = [info for info in files if _INSIDE.fullmatch(info.filename)]
    if not chosen:
        raise InvalidInput("file", f"{file} holds no conversations.json")
    left_out["other files of the ZIP"] += len(files) - len(chosen)
    for info in sorted(chosen, key=lambda info: info.filename):
        with archive.open(info) as stream:
            yield Source(info.filename, stream, info.file_size)  # type: ignore[arg-type]


def program_at(file: str) -> Program | None:
    """Which program wrote the export at ``file``, by its first value; ``None`` if none that is
    known. Standard input cannot be looked at twice, and is not looked at.
    """
    from memoryscope_rag.operations.foreign import program_of
    from memoryscope_rag.operations.foreign.stream import values

    if file == "-":
        return None
    with sources(file, Counter()) as opened:
        for source in opened:
            for _, value in values(source.stream):
                return program_of(value)
    return None


def take_in(
    memory: MemoryScope,
    settings: Settings,
    program: Program,
    file: str,
    *,
    namespace: str | None = None,
) -> Intake:
    """Store what the export at ``file`` holds, ``namespace`` of it in a LangGraph store.

    Read again, what is there already is known. Raises InvalidInput; StoreError.
    """
    intake = Intake()
    storing = _Storing(memory, settings, intake, _wanted(program, file, namespace))
    with sources(file, intake.left_out) as opened:
        for source in opened:
            storing.source = source.name
            with progress(f"{source.name or 'importing'}, KiB") as report:
                for line, found in _found(program, source):
                    storing.take(line, found)
                    report(source.stream.tell() >> 10, source.size >> 10)
                storing.flush()
    return intake


def _found(program: Program, source: Source) -> Iterator[tuple[int, Found]]:
    """What is in a file, with the lines that it was found on."""
    from memoryscope_rag.formats import Problem
    from memoryscope_rag.operations.foreign import READERS
    from memoryscope_rag.operations.foreign.stream import values

    for line, value in values(source.stream):
        if isinstance(value, Problem):
            yield line, value
        else:
            for found in READERS[program](value):
                yield line, found


def _wanted(program: Program, file: str, namespace: str | None) -> tuple[str, ...] | None:
    """The labels that a namespace has to begin with; ``None`` for any.

    Raises InvalidInput when there are several namespaces and none was chosen: they may be of
    several people.
    """
    if program != "langgraph":
        if namespace is not None:
            raise InvalidInput("--namespace", "is for the items of a LangGraph store")
        return None
    if namespace is not None:
        return tuple(label for label in namespace.split("/") if label)
    if file == "-":
        raise InvalidInput("--namespace", "is needed for items on standard input; '/' takes all")
    names = sorted(_namespaces(file))
    if len(names) > 1:
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        raise InvalidInput(
            "--namespace",
            f"is needed: there are items of {', '.join(names[:10])}{more}; '/' takes all",
        )
    return None


def _namespaces(file: str) -> set[str]:
    from memoryscope_rag.operations.foreign import langgraph
    from memoryscope_rag.operations.foreign.found import Fact

    with sources(file, Counter()) as opened:
        return {
            "/".join(langgraph.namespace_of(found.node.metadata))
            for source in opened
            for _, found in _found("langgraph", source)
            if isinstance(found, Fact)
        }


class _Storing:
    """Sorts what is found by whose it is, and stores it in batches."""

    def __init__(
        self,
        memory: MemoryScope,
        settings: Settings,
        intake: Intake,
        namespace: tuple[str, ...] | None,
    ) -> None:
        self._memory, self._settings, self._intake = memory, settings, intake
        self._namespace = namespace
        self._batches: dict[Scope, list[tuple[int, str]]] = {}
        self.source = ""

    def take(self, line: int, found: Found) -> None:
        """One thing that a reader found; stored when there are enough of its user's."""
        from memoryscope_rag.formats import Problem, as_line
        from memoryscope_rag.operations.foreign import langgraph
        from memoryscope_rag.operations.foreign.found import Fact, LeftOut
        from memoryscope_rag.operations.portability import node_to_line

        user = self._settings.user
        if isinstance(found, LeftOut):
            self._intake.left_out[found.what] += found.count
            return
        if isinstance(found, Problem):
            self._problem(line, found.reason)
            return
        if isinstance(found, Fact):
            if self._namespace is not None:
                labels = langgraph.namespace_of(found.node.metadata)
                if labels[: len(self._namespace)] != self._namespace:
                    self._intake.left_out["items of other namespaces"] += 1
                    return
            user, text = user or found.user, node_to_line([found.node])
        else:
            text = as_line(found)
        if user is None:
            self._problem(line, "user_id: is missing, and --user does not say whose it is")
            return
        batch = self._batches.setdefault(self._settings.scope_of(user), [])
        batch.append((line, text))
        if len(batch) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Store what waits."""
        batches, self._batches = self._batches, {}
        for scope, batch in batches.items():
            result = self._memory.import_([text for _, text in batch], scope=scope)
            self._intake.stored += result.stored
            self._intake.known += result.known
            self._intake.facts += result.facts
            for place, reason in result.problems:
                self._problem(batch[place - 1][0], reason)

    def _problem(self, line: int, reason: str) -> None:
        where = f"{self.source}: " if self.source else ""
        self._intake.problems.append((line, f"{where}{reason}"))
