"""The server over HTTP (the protocol's streamable transport), behind the service's own gate.

As in the service, a store that has API keys wants one of them, and one without keys serves this
machine only. Requests stand for themselves: no session is kept between them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from memoryscope_rag.configs.model import Config
from memoryscope_rag.mcp.server import create_server, opened
from memoryscope_rag.schema import Scope
from memoryscope_rag.service.access import Gate, KeyRing
from memoryscope_rag.service.keys import ApiKey, Right
from memoryscope_rag.service.limits import RateLimit
from memoryscope_rag.service.metrics import Metrics
from memoryscope_rag.service.observing import Observed
from memoryscope_rag.service.patience import Patience
from memoryscope_rag.service.problems import Problem
from memoryscope_rag.service.state import StateFile, state_path

PATH: Final = "/mcp"
_HERE = ("127.0.0.1", "localhost", "[::1]")


def create_app(
    config: Config,
    *,
    scope: Scope,
    read_only: bool = False,
    without_keys: bool = False,
    metrics_folder: Path | None = None,
) -> ASGIApp:
    """The ASGI application of one process; the memory is opened when it starts.

    A key has to be bound to the tenant of ``scope``, to no other user, and to have every right that
    the offered tools use. The rest is as in :func:`memoryscope_rag.service.application.create_app`.
    """
    settings = config.service
    file = StateFile(state_path(config))
    body_bytes = settings.body_mb << 20
    manager = StreamableHTTPSessionManager(
        create_server(lambda: opened(config), scope, read_only=read_only),
        stateless=True,
        json_response=True,
        max_request_body_size=body_bytes,
        # pages of other sites in a browser here are kept out, or else whoever has no key
        security_settings=TransportSecuritySettings(
            enable_dns_rebinding_protection=without_keys,
            allowed_hosts=[f"{host}:*" for host in _HERE],
            allowed_origins=[f"http://{host}:*" for host in _HERE],
        ),
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            async with manager.run():
                yield
        finally:
            file.close()

    app = Starlette(routes=[Route(PATH, StreamableHTTPASGIApp(manager))], lifespan=lifespan)
    rights: tuple[Right, ...] = ("read",) if read_only else ("read", "write", "forget")
    gate = Gate(
        _Bound(Patience(app, settings.body_s), scope, rights),
        ring=KeyRing(file),
        limit=RateLimit(settings.rate_per_s, settings.burst),
        body_bytes=body_bytes,
        without_keys=without_keys,
    )
    return Observed(gate, Metrics(metrics_folder))


class _Bound:
    """The ASGI layer behind the gate: only for keys that may do all of this in ``whose`` memory."""

    def __init__(self, app: ASGIApp, whose: Scope, rights: tuple[Right, ...]) -> None:
        self._app, self._whose, self._rights = app, whose, rights

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """See the class."""
        key: ApiKey | None = scope["state"].get("key") if scope["type"] == "http" else None
        if key is None or self._admits(key):
            await self._app(scope, receive, send)
            return
        needed = ", ".join(self._rights)
        refusal = Problem("forbidden", 403, f"the key needs {needed} for this memory's tenant")
        scope["state"]["problem"] = refusal.kind
        await refusal.response(scope["state"]["request_id"])(scope, receive, send)

    def _admits(self, key: ApiKey) -> bool:
        return (
            key.allows(self._whose.tenant_id)
            and key.user in (None, self._whose.user_id)
            and {*self._rights} <= {*key.rights}
        )
