"""What is written: rich on a terminal, tab-separated columns without any dressing elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memoryscope_rag.schema import MemoryNode

_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "\ufffd")

ID_WIDTH = 36
"""Of an id that stays on one line, such as those that we make ourselves."""


def is_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout.isatty()


def one_line(text: str) -> str:
    """``text`` for a column: white space becomes one space, control characters are made visible.

    A stored text can thus neither break a column nor command the terminal.
    """
    return " ".join(text.split()).translate(_CONTROLS)


def counted(number: int, what: str) -> str:
    """``1 message``, ``2 messages``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def stamp(time: datetime, zone: tzinfo) -> str:
    """``2026-05-03 Sun 14:02``, in ``zone``."""
    with suppress(OverflowError):  # the first or last day that a datetime can name
        time = time.astimezone(zone)
    return f"{time:%Y-%m-%d %a %H:%M}"


def say(text: str = "", *, style: str | None = None) -> None:
    """One line of text; ``style`` counts on a terminal only."""
    if is_terminal() and style is not None:
        from rich.console import Console
        from rich.text import Text

        Console(soft_wrap=True, highlight=False).print(Text(text, style=style))
    else:
        print(text)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table; elsewhere than on a terminal its rows alone, tabs between the columns."""
    cells = [[one_line(str(cell)) for cell in row] for row in rows]
    if not is_terminal():
        for row in cells:
            print("\t".join(row))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(headers):
        if name == "id":  # half an id is of no use to whoever has to type it
            longest = max((len(row[place]) for row in cells), default=0)
            drawn.add_column(name, overflow="fold", min_width=min(longest, ID_WIDTH))
        else:
            drawn.add_column(name)
    for row in cells:
        drawn.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(drawn)


def say_json(value: Any) -> None:
    """One JSON object on one line."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with (done, total); a bar on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def name_of(node: MemoryNode) -> str:
    """The id by which a person names a node: the message's for a turn, else its own."""
    if node.kind == "conversation" and node.provenance:
        return node.provenance[0]
    return node.id


def who_of(node: MemoryNode) -> str:
    """Who said it, or what kind of fact it is."""
    return node.speaker or node.role or node.kind
