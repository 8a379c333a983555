"""store migrate and store outbox: moving memory elsewhere, and what waits for a cluster."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memoryscope_rag.cli.output import one_line, progress, say, say_json, stamp, table
from memoryscope_rag.cli.settings import Settings, with_settings
from memoryscope_rag.cli.writing import confirm
from memoryscope_rag.errors import InvalidInput, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from memoryscope_rag.configs.model import Config
    from memoryscope_rag.operations.migrate import MigrationReport, Progress

app = typer.Typer(
    help="Moving memory, and what waits for it.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("migrate")
@with_settings(scope=False)
def migrate(
    settings: Settings,
    source: Annotated[str, typer.Option("--from", help="An SQLite file or a cluster's URL.")],
    target: Annotated[str, typer.Option("--to", help="An SQLite file or a cluster's URL.")],
) -> None:
    """Copy all of one store into another, and compare the two. Resumes where it was stopped."""
    from memoryscope_rag.configs.load import with_store

    config = settings.config(embedder="none")
    here, there = with_store(config, source), with_store(config, target)
    if here.store.place == there.store.place:
        raise InvalidInput("--to", "is where the memory is already")
    _check_source(here)
    with progress("migrating") as report:
        done = asyncio.run(_migrate(here, there, report))
    say(
        f"{done.messages} messages and {done.nodes} nodes of {done.scopes} scopes are in both, "
        f"{done.added} of them copied now; digest {done.sha256}"
    )


def _check_source(config: Config) -> None:
    from memoryscope_rag.stores.outbox_file import opened

    store = config.store
    if store.provider == "sqlite":
        if not store.path.is_file():
            raise StoreUnavailable(f"there is no store at {store.path}")
        return
    path = store.elasticsearch.outbox_path
    if path is None:
        return
    with opened(path) as file:
        state = None if file is None else file.state()
    if state is not None and state.waiting:
        raise StoreError(
            f"{state.waiting} messages wait in {path} for {store.place}: record something, "
            "so that they are delivered, and migrate then"
        )


async def _migrate(source: Config, target: Config, report: Progress) -> MigrationReport:
    from memoryscope_rag.app import SystemClock
    from memoryscope_rag.build import open_database
    from memoryscope_rag.operations.migrate import migrate as copy

    clock = SystemClock()
    origin = await open_database(source, None, clock=clock)
    try:
        spec = (await origin.stats()).embedder
        copied = await open_database(target, spec, clock=clock)
        try:
            return await copy(origin, copied, progress=report)
        finally:
            await copied.close()
    finally:
        await origin.close()


@app.command("outbox")
@with_settings(scope=False)
def outbox(
    settings: Settings,
    file: Annotated[
        Path | None, typer.Option("--file", help="The outbox; default from the settings.")
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Offer the cluster again what it refused.")
    ] = False,
    discard: Annotated[
        bool, typer.Option("--discard", help="Remove for good what the cluster refused.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """What waits for a cluster that was away, and what that refused, with the reasons.

    Columns: user, message, waiting since, reason.
    """
    from memoryscope_rag.stores.outbox_file import opened

    if retry and discard:
        raise InvalidInput("--retry", "does not go with --discard")
    path = file or settings.config(embedder="none").store.elasticsearch.outbox_path
    if path is None:
        raise InvalidInput("--file", "the settings name no outbox")
    zone = settings.zone()
    with opened(path) as box:
        if box is None:
            if file is not None:
                raise InvalidInput("--file", f"there is no outbox at {path}")
            print(f"nothing waits: there is no outbox at {path} yet", file=sys.stderr)
            return
        if retry:
            say(f"{box.retry()} messages wait again")
            return
        refusals = box.refusals()
        if discard:
            confirm(f"Remove {len(refusals)} refused messages for good?", yes)
            say(f"removed {box.discard()} messages")
            return
        state = box.state()
    rows = [
        (each.message.scope.user_id, each.message.id, stamp(each.since, zone), each.reason)
        for each in refusals
    ]
    if as_json:
        names = ("user", "id", "since", "reason")
        say_json(
            {
                "file": state.path,
                "waiting": state.waiting,
                "oldest": state.oldest.isoformat() if state.oldest else None,
                "bytes": state.bytes,
                "refused": [dict(zip(names, row, strict=True)) for row in rows],
            }
        )
        return
    since = f", the first since {stamp(state.oldest, zone)}" if state.oldest else ""
    said = f"{state.waiting} messages wait{since}; {state.refused} were refused"
    print(f"{one_line(str(path))}: {said}", file=sys.stderr)
    if rows:
        table(("user", "id", "waiting since", "reason"), rows)
