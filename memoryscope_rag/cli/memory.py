"""memory refresh, stats and drop: the beacon memory, which follows the log of messages."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from memoryscope_rag.cli.output import one_line, progress, say, say_json, table
from memoryscope_rag.cli.settings import Settings, with_settings
from memoryscope_rag.cli.writing import confirm
from memoryscope_rag.errors import ModelError

if TYPE_CHECKING:
    from memoryscope_rag.operations.refresh import RefreshReport
    from memoryscope_rag.schema import Scope
    from memoryscope_rag.sync import MemoryScope

app = typer.Typer(
    help="The beacon memory of whole histories.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("refresh")
@with_settings(any_user=True)
def refresh(settings: Settings) -> None:
    """Let the beacon memory read what it does not cover, of one user or of all.

    Stopped at any time, it goes on from there when it is called again.
    """
    failed: list[str] = []
    with settings.open(embedding=False) as memory:
        for scope in _scopes(settings, memory):
            with progress(f"reading {one_line(scope.user_id)}") as bar:
                report = memory.refresh(scope=scope, progress=bar)
            say(_sentence(scope, report))
            if report.failed is not None:
                failed.append(f"{one_line(scope.user_id)}: {report.failed}")
    if failed:
        raise ModelError("; ".join(failed))


def _sentence(scope: Scope, report: RefreshReport) -> str:
    parts = ["another process is at it"] if report.busy else []
    again = ", some of it once more" if report.rebuilt else ""
    parts.append(f"{report.read} messages read in {report.seconds:.1f} s{again}")
    left = f", {report.left} are left" if report.left else ""
    parts.append(f"the memory covers {report.covered}{left}")
    parts.append(f"{report.tokens} tokens in {report.bytes} bytes")
    return f"{one_line(scope.user_id)}: {'; '.join(parts)}"


@app.command("stats")
@with_settings(any_user=True)
def stats(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """What the beacon memory covers, of one user or of all.

    Columns: user, messages covered, messages not covered yet, tokens, rows, bytes, seconds.
    """
    with settings.open(embedding=False) as memory:
        counts = [
            (scope, counted)
            for scope in _scopes(settings, memory)
            if (counted := memory.stats(scope=scope).memory) is not None
        ]
        if memory.config.memory.model is None:
            print("there is no beacon memory: memory.model names no model", file=sys.stderr)
    for scope, counted in counts:
        if counted.problem is not None:
            print(f"{one_line(scope.user_id)}: {one_line(counted.problem)}", file=sys.stderr)
    if as_json:
        for scope, counted in counts:
            shown = asdict(counted)
            for name in ("asked", "cached", "refused"):  # nobody asked this process
                del shown[name]
            say_json({"user": scope.user_id, **shown})
        return
    table(
        ("user", "covered", "not yet", "tokens", "rows", "bytes", "seconds"),
        [
            (scope.user_id, c.covered, c.lag, c.tokens, c.rows, c.bytes, f"{c.seconds:.1f}")
            for scope, c in counts
        ],
    )


@app.command("drop")
@with_settings()
def drop(
    settings: Settings,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove the beacon memory of a user; the messages stay, and refresh reads them again."""
    confirm(f"Remove the beacon memory of {one_line(settings.user or '')}?", yes)
    with settings.open(embedding=False) as memory:
        before = len(memory.coverage(scope=settings.scope).message_ids)
        memory.drop_memory(scope=settings.scope)
    say(f"removed a memory of {before} messages; the messages are there still")


def _scopes(settings: Settings, memory: MemoryScope) -> tuple[Scope, ...]:
    return memory.scopes() if settings.user is None else (settings.scope,)
