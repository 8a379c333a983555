"""list, history, export, stats."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memoryscope_rag.cli.output import name_of, say, say_json, stamp, table, who_of
from memoryscope_rag.cli.settings import Settings, moment, with_settings
from memoryscope_rag.errors import InvalidInput, suggest

if TYPE_CHECKING:
    from memoryscope_rag.ports import MemoryCounts, OutboxStats, StoreStats
    from memoryscope_rag.schema import Kind, MemoryNode

KindOption = Annotated[
    list[str] | None,
    typer.Option("--kind", help="conversation, observation, note or insight; repeatable."),
]


def kinds_of(names: list[str] | None) -> frozenset[Kind] | None:
    """The kinds of ``--kind``; ``None`` for all. Raises InvalidInput."""
    from memoryscope_rag.schema import KINDS

    if not names:
        return None
    known: dict[str, Kind] = {kind: kind for kind in KINDS}
    for name in names:
        if name not in known:
            raise InvalidInput("--kind", f"{name!r} is unknown; {suggest(name, known)}")
    return frozenset(known[name] for name in names)


@with_settings()
def list_(
    settings: Settings,
    kind: KindOption = None,
    session: Annotated[str | None, typer.Option(help="Only this session.")] = None,
    as_of: Annotated[str | None, typer.Option(help="What was believed then, ISO 8601.")] = None,
    closed: Annotated[bool, typer.Option("--closed", help="Also what is no longer true.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0 for all.")] = 100,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Then show what is new, until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List what is remembered, oldest first. Columns: id, when, who, kind, text."""
    zone = settings.zone()
    if follow:
        if as_of is not None:
            raise InvalidInput("--follow", "shows what is new, so it does not go with --as-of")
        _follow(settings, kinds_of(kind), session, closed, as_json)
        return
    nodes: list[MemoryNode] = []
    cursor: str | None = None
    with settings.open(embedding=False) as memory:
        while True:
            page = memory.list(
                scope=settings.scope,
                kinds=kinds_of(kind),
                session_id=session,
                as_of=moment("--as-of", as_of, zone),
                closed=closed,
                cursor=cursor,
                limit=500 if limit == 0 else min(500, limit - len(nodes)),
            )
            nodes += page.items
            cursor = page.cursor
            if cursor is None or len(nodes) == limit:
                break
    if as_json:
        from memoryscope_rag.operations.portability import node_to_dict

        for node in nodes:
            say_json(node_to_dict(node))
        return
    table(
        ("id", "when", "who", "kind", "text"),
        [(name_of(n), stamp(n.said_at, zone), who_of(n), n.kind, n.content) for n in nodes],
    )
    if cursor is not None:
        print(f"only the first {limit} are shown; --limit 0 shows all", file=sys.stderr)


def _follow(
    settings: Settings,
    kinds: frozenset[Kind] | None,
    session: str | None,
    closed: bool,
    as_json: bool,
) -> None:
    from memoryscope_rag.cli.following import follow

    with settings.open(embedding=False) as memory:
        follow(
            memory,
            settings.scope,
            kinds=kinds,
            session_id=session,
            closed=closed,
            zone=settings.zone(),
            as_json=as_json,
        )


@with_settings()
def history(
    settings: Settings,
    node_id: Annotated[str, typer.Argument(help="A fact's id, as list shows it.")],
) -> None:
    """Every version of a fact, oldest first. Columns: version, from, to, text."""
    zone = settings.zone()
    with settings.open(embedding=False) as memory:
        versions = memory.history(node_id, scope=settings.scope)
    table(
        ("version", "from", "to", "text"),
        [
            (
                node.version,
                stamp(node.valid_from or node.said_at, zone),
                stamp(node.valid_to, zone) if node.valid_to is not None else "",
                node.content,
            )
            for node in versions
        ],
    )


@with_settings()
def export(
    settings: Settings,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; default standard output.")
    ] = None,
) -> None:
    """Write a user's memory as JSON lines that import reads."""
    with settings.open(embedding=False) as memory:
        lines = memory.export(scope=settings.scope)
        if output is None:
            for line in lines:
                print(line)
            return
        count = 0
        with output.open("w", encoding="utf-8", newline="\n") as file:
            for line in lines:
                file.write(line + "\n")
                count += 1
    print(f"{count} lines written to {output}", file=sys.stderr)


@with_settings(any_user=True)
def stats(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Counts of the whole store, or of one user."""
    with settings.open(embedding=False) as memory:
        counts = memory.stats(scope=settings.scope if settings.user is not None else None)
        place = memory.config.store.place
    rows = {"store": place, **stat_rows(counts)}
    if as_json:
        say_json(rows)
        return
    if sys.stdout.isatty():
        say(f"memory in {place}", style="bold")
    table(("what", "how much"), list(rows.items()))


def stat_rows(counts: StoreStats) -> dict[str, Any]:
    """Counts by the names that ``stats`` shows."""
    embedder = counts.embedder
    return {
        "scopes": counts.scopes,
        "messages": counts.messages,
        "pending": counts.pending,
        **{f"nodes.{kind}": number for kind, number in sorted(counts.nodes.items())},
        "missing_vectors": counts.missing_vectors,
        "generation": counts.generation,
        "bytes": counts.bytes,
        "embedder": embedder.name if embedder is not None else None,
        "dimension": embedder.dimension if embedder is not None else None,
        **{f"detail.{name}": value for name, value in sorted(counts.detail.items())},
        **(_outbox_rows(counts.outbox) if counts.outbox is not None else {}),
        **(_memory_rows(counts.memory) if counts.memory is not None else {}),
    }


def _memory_rows(memory: MemoryCounts) -> dict[str, Any]:
    return {
        "memory.model": memory.model,
        "memory.covered": memory.covered,
        "memory.lag": memory.lag,
        "memory.tokens": memory.tokens,
        "memory.rows": memory.rows,
        "memory.bytes": memory.bytes,
        "memory.seconds": round(memory.seconds, 1),
        **({"memory.problem": memory.problem} if memory.problem is not None else {}),
    }


def _outbox_rows(outbox: OutboxStats) -> dict[str, Any]:
    return {
        "outbox.file": outbox.path,
        "outbox.waiting": outbox.waiting,
        "outbox.oldest": None if outbox.oldest is None else outbox.oldest.isoformat(),
        "outbox.refused": outbox.refused,
        "outbox.bytes": outbox.bytes,
    }
