"""The server over standard input and output, for a host that starts it as a process of its own."""

from __future__ import annotations

from contextlib import nullcontext

from mcp.server.stdio import stdio_server

from memoryscope_rag.configs.model import Config
from memoryscope_rag.mcp.server import create_server, opened
from memoryscope_rag.schema import Scope


async def serve(config: Config, scope: Scope, *, read_only: bool = False) -> None:
    """Serve until the host closes standard input.

    The memory is opened first, so what it raises is raised before a word of the protocol; see
    :func:`~memoryscope_rag.mcp.server.opened`.
    """
    async with opened(config) as memory:
        server = create_server(lambda: nullcontext(memory), scope, read_only=read_only)
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())
