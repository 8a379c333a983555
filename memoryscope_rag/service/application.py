"""The ASGI application of one process: one memory, its keys, its routes.

From the outside in: :class:`~memoryscope_rag.service.observing.Observed` (ids, log, figures),
:class:`~memoryscope_rag.service.access.Gate` (keys, rate),
:class:`~memoryscope_rag.service.patience.Patience` (slow clients), FastAPI (size, routes).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.types import ASGIApp

from memoryscope_rag import __version__
from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.configs.model import Config
from memoryscope_rag.models.ledger import Ledger
from memoryscope_rag.service.access import OPEN, Gate, KeyRing
from memoryscope_rag.service.idempotency import Outcomes
from memoryscope_rag.service.limits import RateLimit
from memoryscope_rag.service.metrics import Metrics
from memoryscope_rag.service.observing import Observed
from memoryscope_rag.service.patience import Patience
from memoryscope_rag.service.problems import PROBLEM, ProblemBody, add_handlers
from memoryscope_rag.service.proxy.door import Proxy
from memoryscope_rag.service.routes import (
    about,
    asking,
    beacon,
    documents,
    facts,
    health,
    messages,
    upkeep,
)
from memoryscope_rag.service.routes.console import console_routes
from memoryscope_rag.service.routes.proxy import proxy_routes
from memoryscope_rag.service.shelf import Shelf
from memoryscope_rag.service.state import StateFile, state_path

_OFF = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
_ON = {"auto_configure": True, "logs": False}  # its logs quote errors, which may quote content


def create_app(
    config: Config, *, without_keys: bool = False, metrics_folder: Path | None = None
) -> ASGIApp:
    """The service over the store of ``config``, which is opened when it starts.

    ``without_keys`` serves everybody as long as there is no key; for loopback only.
    ``metrics_folder`` is where several worker processes add up their figures.

    Raises what :class:`StateFile` raises; starting raises what
    :meth:`~memoryscope_rag.AsyncMemoryScope.open` raises.
    """
    settings = config.service
    file = StateFile(state_path(config))
    metrics = Metrics(metrics_folder)
    ledger = Ledger()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with await AsyncMemoryScope.open(config=config, ledger=ledger) as memory:
                app.state.memory = memory
                proxy = app.state.proxy = Proxy(config, memory, memory.generator, file)
                shelf = app.state.shelf = Shelf(config, memory.embedder, memory.generator)
                await memory.start()
                try:
                    yield  # what was recorded is consolidated when the memory is closed
                finally:
                    await proxy.close()
                    await shelf.close()
        finally:
            file.close()

    app = FastAPI(
        title="memoryscope-rag",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # their pages load scripts from other hosts
        redoc_url=None,
        max_body_size=settings.body_mb << 20,
        telemetry=_ON if settings.telemetry else _OFF,  # type: ignore[arg-type]
    )
    app.state.metrics = metrics
    app.state.ledger = ledger
    app.state.outcomes = Outcomes(file)
    for theme in (messages, facts, asking, upkeep, beacon, about, documents):
        app.include_router(theme.router, prefix="/v1")
    app.include_router(health.router)
    app.include_router(proxy_routes(config.proxy))
    app.include_router(console_routes())
    add_handlers(app)
    app.openapi = lambda: _describe(app)  # type: ignore[method-assign]
    gate = Gate(
        Patience(app, settings.body_s),
        ring=KeyRing(file),
        limit=RateLimit(settings.rate_per_s, settings.burst),
        body_bytes=settings.body_mb << 20,
        without_keys=without_keys,
    )
    return Observed(gate, metrics)


def _describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description, with every failure as a problem."""
    if app.openapi_schema is None:
        tree = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = tree["components"]["schemas"]
        body = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= body.pop("$defs") | {"Problem": body}
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        failed: dict[str, Any] = {
            "description": "A problem (RFC 9457).",
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for path, methods in tree["paths"].items():
            for operation in methods.values():
                operation["responses"].pop("422", None)
                for status in ("4XX", "5XX"):
                    own = operation["responses"].get(status, {}).get("content", {})
                    operation["responses"][status] = failed | {"content": own | failed["content"]}
                if path in OPEN:
                    operation.pop("security", None)
        app.openapi_schema = _without_tuples(tree)
    return app.openapi_schema


def _without_tuples(tree: Any) -> Any:
    """``tree`` with tuples described as lists of what they may hold.

    ``prefixItems`` came with OpenAPI 3.1, and tools still stumble over it.
    """
    if isinstance(tree, list):
        return [_without_tuples(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    plain = {name: _without_tuples(value) for name, value in tree.items()}
    parts = plain.pop("prefixItems", None)
    return plain if parts is None else plain | {"items": {"anyOf": parts}}
