"""The picture as a page to open in a browser, with what it shows in tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from html import escape
from urllib.parse import quote

from memoryscope_rag.plots.figure import KIND_WORDS, headlines, named, of_size
from memoryscope_rag.plots.memory_map import MemoryMap
from memoryscope_rag.schema import Message

MOST_READ = 10
"""Messages that attention fell on most, as many are listed."""
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 1rem auto; padding: 0 1rem;
 color-scheme: light dark; }}
img {{ width: 100%; height: auto; }}
table {{ border-collapse: collapse; margin-bottom: 2rem; }}
caption {{ text-align: left; font-weight: bold; padding: .5rem 0; }}
th, td {{ text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0;
 border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent); }}
td {{ overflow-wrap: anywhere; white-space: pre-line; }}
</style>
</head>
<body>
<picture>
<source media="(prefers-color-scheme: dark)" srcset="{dark}">
<img src="{light}" alt="{alt}">
</picture>
{tables}
</body>
</html>
"""


def page(shown: MemoryMap, light: str, dark: str, zone: tzinfo) -> str:
    """The page of two pictures (SVG) of ``shown``."""
    return _PAGE.format(
        title=escape(f"Memory of {named(shown)}"),
        alt=escape(" ".join(headlines(shown, zone))),
        light=_address(light),
        dark=_address(dark),
        tables="\n".join(_tables(shown, zone)),
    )


def _address(svg: str) -> str:
    return "data:image/svg+xml," + quote(svg)


def _tables(shown: MemoryMap, zone: tzinfo) -> Iterable[str]:
    coverage = shown.coverage
    rows: list[Sequence[object]] = [
        (f"one row for {t.ratio}", f"{t.blocks:,}", f"{t.tokens:,}", of_size(t.bytes))
        for t in shown.tiers
    ]
    if coverage.tail_tokens:
        rows.append(("in full, until a block is full", "", f"{coverage.tail_tokens:,}", ""))
    if rows:
        yield _table("Memory", ("tokens kept as", "blocks", "tokens", "bytes"), rows)
    if shown.evidence is None:
        return
    places = shown.places
    read = [(value, places[name]) for name, value in shown.attention.items() if name in places]
    read = sorted(read, reverse=True)[:MOST_READ]
    if read:
        lines = [(f"{value:+.2f}", *_said(shown.messages[place], zone)) for value, place in read]
        yield _table("Attention", ("attention", "when", "who", "message"), lines)
    clues = [lane for lane in shown.lanes if lane.clue is not None]
    if clues:
        yield _table(
            "Clues",
            ("clue", "what it is", "text", "leans on", "evidence that it led to"),
            [
                (
                    lane.name,
                    KIND_WORDS[lane.clue.kind],
                    lane.text,
                    "\n".join(shown.messages[place].id for place in lane.leans_on),
                    ", ".join(map(str, lane.ranks)),
                )
                for lane in clues
                if lane.clue is not None
            ],
        )
    if shown.found:
        yield _table(
            "Evidence",
            ("rank", "when", "who", "score", "found by", "text"),
            [
                (
                    rank,
                    f"{item.node.said_at.astimezone(zone):%Y-%m-%d %H:%M}",
                    item.node.speaker or item.node.role or item.node.kind,
                    f"{item.score:.2f}",
                    ", ".join(item.found_by),
                    item.node.content,
                )
                for rank, (item, _) in enumerate(shown.found, 1)
            ],
        )


def _said(message: Message, zone: tzinfo) -> tuple[str, str, str]:
    when = f"{message.created_at.astimezone(zone):%Y-%m-%d %H:%M}"
    return when, message.speaker or message.role, message.content


def _table(caption: str, headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table>\n<caption>{escape(caption)}</caption>\n<tr>{head}</tr>\n{body}\n</table>"
