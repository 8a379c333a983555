"""How a chat looks: replies as they come, evidence, remarks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING

from memoryscope_rag.cli.explain import reasons
from memoryscope_rag.cli.output import is_terminal, name_of, one_line, say, stamp, table, who_of

if TYPE_CHECKING:
    from memoryscope_rag.schema import Evidence, EvidenceItem, MemoryNode, Message

_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "\ufffd")


def piece(text: str) -> None:
    """A piece of a reply, at once. What a model writes cannot command the terminal."""
    sys.stdout.write(text.translate(_CONTROLS))
    sys.stdout.flush()


def remark(text: str, *, style: str = "dim") -> None:
    """A line about the chat; not part of it, so elsewhere than on a terminal it goes to stderr."""
    if is_terminal():
        paragraph(text, style=style)
    else:
        print(one_line(text), file=sys.stderr)


def paragraph(text: str, *, style: str = "", indent: int = 0) -> None:
    """A sentence or two, broken between words on a terminal and moved in there."""
    if not is_terminal():
        say(one_line(text))
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    padded = Padding(Text(one_line(text), style=style), (0, 0, 0, indent), expand=False)
    Console(highlight=False).print(padded)


def warnings(lines: Sequence[str]) -> None:
    """What failed or was late in a turn."""
    for line in lines:
        remark(f"note: {line}", style="yellow")


def count_of(evidence: Evidence) -> str:
    """``3 memories``."""
    number = sum(item.packed for item in evidence.items)
    return f"{number} {'memory' if number == 1 else 'memories'}"


def evidence_table(evidence: Evidence, zone: tzinfo, *, why: bool = False) -> None:
    """The items, best first; with ``why``, what spoke for each."""
    if why and is_terminal():
        for rank, item in enumerate(evidence.items, 1):
            _why(rank, item, zone)
        return
    rows: list[tuple[object, ...]] = []
    for rank, item in enumerate(evidence.items, 1):
        node = item.node
        row: tuple[object, ...] = (
            rank,
            stamp(node.said_at, zone),
            who_of(node),
            name_of(node),
            node.content,
        )
        if why:
            row = (*row, f"{item.score:.2f}", _spoke_for(item))
        rows.append(row)
    heads = ("#", "when", "who", "id", "text")
    table((*heads, "score", "why") if why else heads, rows)


def _why(rank: int, item: EvidenceItem, zone: tzinfo) -> None:
    # a table of so many columns would leave the words too narrow a one
    node = item.node
    head = f"{rank}  {stamp(node.said_at, zone)}  {who_of(node)}  {name_of(node)}"
    say(f"{head}  score {item.score:.2f}", style="cyan")
    paragraph(node.content, indent=3)
    paragraph(f"why: {_spoke_for(item)}", style="dim", indent=3)


def _spoke_for(item: EvidenceItem) -> str:
    given = "" if item.packed else "not given to the model; "
    return given + (reasons(item) or "best of what there is")


def nodes_table(nodes: Sequence[MemoryNode], zone: tzinfo) -> None:
    """Nodes as ``list`` shows them, those named that are closed; nothing when there are none."""
    if not nodes:
        return
    table(
        ("id", "when", "who", "kind", "text"),
        [
            (
                name_of(node),
                stamp(node.said_at, zone),
                who_of(node),
                node.kind if node.valid_to is None else f"{node.kind}, closed",
                node.content,
            )
            for node in nodes
        ],
    )


def messages_table(messages: Sequence[Message], zone: tzinfo) -> None:
    """Turns as the log has them; nothing when there are none."""
    if not messages:
        return
    table(
        ("id", "when", "who", "state", "text"),
        [
            (
                message.id,
                stamp(message.created_at, zone),
                message.speaker or message.role,
                message.state,
                message.content,
            )
            for message in messages
        ],
    )
