"""mcp: one user's memory as an MCP server, for assistants and editors that speak the protocol."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import sys
from typing import Annotated

import typer

from memoryscope_rag.cli.settings import Settings, with_settings
from memoryscope_rag.errors import MissingExtra


@with_settings()
def mcp(
    settings: Settings,
    http: Annotated[
        bool, typer.Option("--http", help="Over HTTP at /mcp, not standard input and output.")
    ] = False,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; without keys loopback only.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free.")] = 8766,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Offer no tool that changes anything.")
    ] = False,
) -> None:
    """Serve one user's memory to an MCP host: remember, recall, list, forget, why."""
    scope = settings.scope
    if not http:
        from memoryscope_rag.mcp.stdio import serve as serve_here

        asyncio.run(serve_here(settings.config(), scope, read_only=read_only))
        return
    if any(importlib.util.find_spec(name) is None for name in ("fastapi", "prometheus_client")):
        raise MissingExtra("service", "MCP over HTTP")
    from memoryscope_rag.mcp.http import create_app
    from memoryscope_rag.service.server import serve

    def tell(text: str) -> None:
        print(f"memoryscope-rag: {text}", file=sys.stderr, flush=True)

    make = functools.partial(create_app, scope=scope, read_only=read_only)
    serve(settings.config(), host=host, port=port, workers=1, say=tell, make=make)
