"""retrieve: the evidence for a query, and on request why it is that."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from memoryscope_rag.cli.explain import meaning, reasons
from memoryscope_rag.cli.output import (
    is_terminal,
    name_of,
    one_line,
    say,
    say_json,
    stamp,
    table,
    who_of,
)
from memoryscope_rag.cli.reading import KindOption, kinds_of
from memoryscope_rag.cli.run import NOTHING
from memoryscope_rag.cli.settings import Settings, moment, with_settings

if TYPE_CHECKING:
    from memoryscope_rag.schema import Evidence, Interval, Profile


@with_settings()
def retrieve(
    settings: Settings,
    query: Annotated[str, typer.Argument(help="What to look for, in words.")],
    limit: Annotated[int | None, typer.Option("--limit", "-n", help="Items at most.")] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(help="Tokens of the packed text at most.")
    ] = None,
    budget_ms: Annotated[
        float | None, typer.Option(help="Leave out optional work after so many ms.")
    ] = None,
    now: Annotated[str | None, typer.Option(help="What 'yesterday' refers to, ISO 8601.")] = None,
    as_of: Annotated[str | None, typer.Option(help="What was believed then, ISO 8601.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="Only said or happened from then on, ISO 8601.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="Only said or happened before then, ISO 8601.")
    ] = None,
    kind: KindOption = None,
    session: Annotated[str | None, typer.Option(help="Only this session.")] = None,
    no_floor: Annotated[
        bool, typer.Option("--no-floor", help="Show the best items even if none fits.")
    ] = False,
    profile: Annotated[
        str | None, typer.Option(help="How much is done: fast, read, clues, deep or auto.")
    ] = None,
    packed: Annotated[
        bool, typer.Option("--text", help="Only the packed block for a prompt.")
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show why.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Find what matters to a query; exit code 1 when nothing does.

    Columns: rank, when, who, score, id, text.
    """
    from memoryscope_rag.schema import KINDS, Interval

    zone = settings.zone()
    low, high = moment("--from", since, zone), moment("--to", until, zone)
    with settings.open() as memory:
        evidence = memory.retrieve(
            query,
            scope=settings.scope,
            limit=limit,
            budget_tokens=budget_tokens,
            budget_ms=budget_ms,
            kinds=kinds_of(kind) or KINDS,
            now=moment("--now", now, zone),
            as_of=moment("--as-of", as_of, zone),
            during=Interval(low, high) if low is not None or high is not None else None,
            session_id=session,
            floor=False if no_floor else None,
            explain=explain,
            profile=cast("Profile | None", profile),  # retrieve refuses what is none
        )
    if as_json:
        say_json(to_dict(evidence))
    elif packed:
        if evidence.text:
            print(evidence.text)
    else:
        show(evidence, zone, explain=explain)
    if not evidence.items:
        raise typer.Exit(NOTHING)


def show(evidence: Evidence, zone: tzinfo, *, explain: bool) -> None:
    """Write evidence for a person, or as columns."""
    if not evidence.items and is_terminal():
        say("Nothing in memory fits this query.", style="yellow")
    if evidence.items:
        table(
            ("#", "when", "who", "score", "id", "text"),
            [
                (
                    rank,
                    stamp(item.node.said_at, zone),
                    who_of(item.node),
                    f"{item.score:.2f}",
                    name_of(item.node),
                    item.node.content,
                )
                for rank, item in enumerate(evidence.items, 1)
            ],
        )
    if explain:
        _explain(evidence, zone)
    elif evidence.left_out and is_terminal():
        say("left out: " + "; ".join(map(one_line, evidence.left_out)), style="yellow")


def _explain(evidence: Evidence, zone: tzinfo) -> None:
    for rank, item in enumerate(evidence.items, 1):
        by = ", ".join(item.found_by) or "its neighbours"
        packed = "in the packed text" if item.packed else "not in the packed text"
        say()
        say(
            f"#{rank} {name_of(item.node)} score {item.score:.3f}, found by {by}, {packed}",
            style="bold",
        )
        if item.parts:
            say(f"   because: {reasons(item) or 'nothing speaks for it'}")
        table(
            ("signal", "value", "weight", "adds", "meaning"),
            [
                (
                    part.signal,
                    f"{part.value:+.3f}",
                    f"{part.weight:+.3f}",
                    f"{part.contribution:+.3f}",
                    meaning(part.signal),
                )
                for part in item.parts
            ],
        )
    say()
    if evidence.clues:
        table(
            ("clue", "kind", "found", "leans on", "text"),
            [
                (
                    f"clue {number}",
                    clue.kind,
                    ", ".join(f"#{rank}" for rank in _found(evidence, f"clue {number}")),
                    ", ".join(clue.provenance),
                    clue.text,
                )
                for number, clue in enumerate(evidence.clues, 1)
            ],
        )
    if evidence.unsupported:
        say(f"clues that nothing in memory echoes: {evidence.unsupported}")
    for interval in evidence.intervals:
        say(f"time asked for: {_span(interval, zone)}")
    for reason in evidence.left_out:
        say(f"left out: {one_line(reason)}")
    spent = ", ".join(f"{name} {ms:.1f}" for name, ms in evidence.timings.items())
    say(f"milliseconds: {spent}")
    say(f"packed text: {evidence.tokens} tokens")
    say(f"profile: {evidence.profile}")


def _found(evidence: Evidence, name: str) -> list[int]:
    """The ranks of the items that the query ``name`` found."""
    return [rank for rank, item in enumerate(evidence.items, 1) if name in item.found_by]


def _span(interval: Interval, zone: tzinfo) -> str:
    start = stamp(interval.start, zone) if interval.start is not None else "any time"
    end = stamp(interval.end, zone) if interval.end is not None else "any time"
    return f"{start} to {end} (exclusive)"


def to_dict(evidence: Evidence) -> dict[str, Any]:
    """Evidence as plain data."""
    from memoryscope_rag.operations.portability import message_to_dict, node_to_dict

    return {
        "query": evidence.query,
        "items": [
            {
                "rank": rank,
                "score": round(item.score, 6),
                "node": node_to_dict(item.node),
                "before": [message_to_dict(message) for message in item.before],
                "after": [message_to_dict(message) for message in item.after],
                "packed": item.packed,
                "found_by": list(item.found_by),
                "parts": [
                    {
                        "signal": part.signal,
                        "value": part.value,
                        "weight": part.weight,
                        "contribution": part.contribution,
                    }
                    for part in item.parts
                ],
            }
            for rank, item in enumerate(evidence.items, 1)
        ],
        "text": evidence.text,
        "tokens": evidence.tokens,
        "intervals": [
            {
                "start": interval.start.isoformat() if interval.start is not None else None,
                "end": interval.end.isoformat() if interval.end is not None else None,
            }
            for interval in evidence.intervals
        ],
        "profile": evidence.profile,
        "clues": [
            {
                "text": clue.text,
                "kind": clue.kind,
                "weight": clue.weight,
                "provenance": list(clue.provenance),
                "blocks": list(clue.blocks),
            }
            for clue in evidence.clues
        ],
        "unsupported": evidence.unsupported,
        "left_out": list(evidence.left_out),
        "timings_ms": {name: round(ms, 3) for name, ms in evidence.timings.items()},
    }
