"""serve, and keys create, list, revoke: the HTTP service and who may use it."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from memoryscope_rag.cli.output import say_json, stamp, table
from memoryscope_rag.cli.settings import Settings, with_settings
from memoryscope_rag.errors import MissingExtra

if TYPE_CHECKING:
    from memoryscope_rag.service.state import StateFile

app = typer.Typer(help="API keys of the HTTP service.", no_args_is_help=True, rich_markup_mode=None)


@with_settings(scope=False)
def serve(
    settings: Settings,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; without keys loopback only.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free.")] = 8765,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=256, help="Processes over the one store.")
    ] = 1,
) -> None:
    """Serve memory over HTTP until it is stopped. Logs are JSON lines on standard error."""
    if any(importlib.util.find_spec(name) is None for name in ("fastapi", "httpx2", "uvicorn")):
        raise MissingExtra("service", "the HTTP service")
    from memoryscope_rag.service.server import serve as run

    def tell(text: str) -> None:
        print(f"memoryscope-rag: {text}", file=sys.stderr, flush=True)

    run(settings.config(), host=host, port=port, workers=workers, say=tell)


@contextlib.contextmanager
def _state(settings: Settings) -> Iterator[StateFile]:
    from memoryscope_rag.service.state import StateFile, state_path

    file = StateFile(state_path(settings.config(embedder="none")))
    try:
        yield file
    finally:
        file.close()


@app.command("create")
@with_settings(scope=False)
def create(
    settings: Settings,
    name: Annotated[str, typer.Option("--name", help="Who uses it, for people.")],
    tenant: Annotated[
        list[str] | None,
        typer.Option("--tenant", help="Tenant it is bound to; repeatable, '*' for any."),
    ] = None,
    right: Annotated[
        list[str] | None,
        typer.Option("--right", help="read, write, forget, admin; repeatable."),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            "--for", help="The one user that it speaks for, through the proxy or MCP alone."
        ),
    ] = None,
) -> None:
    """Make an API key and print it, once: only a digest of it is kept.

    Without --tenant it is for the tenant 'default', without --right it may read and write.
    """
    from memoryscope_rag.service.keys import create_key

    with _state(settings) as file:
        key, text = create_key(
            file,
            name,
            tenants=tenant or ["default"],
            rights=right or ["read", "write"],
            user=user,
        )
    rights, tenants = ", ".join(key.rights), ", ".join(key.tenants)
    print(f"key {key.id} may {rights} for {tenants}; it is not shown again", file=sys.stderr)
    print(text)


@app.command("list")
@with_settings(scope=False)
def list_(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a key.")] = False,
) -> None:
    """API keys, oldest first, without their secrets.

    Columns: id, name, tenants, rights, created, revoked, user.
    """
    from memoryscope_rag.service.keys import all_keys

    zone = settings.zone()
    with _state(settings) as file:
        keys = all_keys(file)
    if as_json:
        for key in keys:
            say_json(
                {
                    "id": key.id,
                    "name": key.name,
                    "tenants": key.tenants,
                    "rights": key.rights,
                    "user": key.user,
                    "created_at": key.created_at.isoformat(),
                    "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
                }
            )
        return
    table(
        ("id", "name", "tenants", "rights", "created", "revoked", "user"),
        [
            (
                key.id,
                key.name,
                " ".join(key.tenants),
                " ".join(key.rights),
                stamp(key.created_at, zone),
                stamp(key.revoked_at, zone) if key.revoked_at else "",
                key.user or "",
            )
            for key in keys
        ],
    )


@app.command("revoke")
@with_settings(scope=False)
def revoke(
    settings: Settings, key: Annotated[str, typer.Argument(help="The id, as 'keys list' shows.")]
) -> None:
    """End an API key for good. Services that run refuse it within a second."""
    from memoryscope_rag.service.keys import revoke_key

    with _state(settings) as file:
        revoke_key(file, key)
    print(f"revoked {key}")
