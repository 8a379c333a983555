"""Running the service: a socket, one process or several, a graceful end.

Worker processes are fresh interpreters that share the socket; uvicorn's supervisor replaces one
that dies. Each opens the store for itself.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from memoryscope_rag.configs.model import Config
from memoryscope_rag.errors import ConfigError, MissingExtra, StoreUnavailable
from memoryscope_rag.service.access import is_loopback
from memoryscope_rag.service.keys import all_keys
from memoryscope_rag.service.patience import PatientProtocol
from memoryscope_rag.service.starting import Starting, reason
from memoryscope_rag.service.state import StateFile, state_path

Say = Callable[[str], None]
BACKLOG = 2048
KEEP_ALIVE_S = 15
HUNG_S = 30
"""After so long a worker process that does not answer is replaced; starting takes its time, too."""


def serve(
    config: Config,
    *,
    host: str,
    port: int,
    workers: int,
    say: Say,
    make: Callable[..., ASGIApp] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. Requests under way are finished, what was recorded is flushed.

    ``port`` 0 is any that is free. ``say`` is told the address, and whether there are no keys.
    ``make`` makes what is served as ``create_app`` does, which it is by default.

    Raises:
        ConfigError: there is no key and ``host`` is more than this machine.
        MissingExtra: the settings ask for OpenTelemetry, and what exports it is not installed.
        StoreUnavailable: the address is taken or not ours, or the application does not start for
            a reason that only the log has. One of ours is raised as it is: what opening a memory
            raises.
    """
    if config.service.telemetry:
        _check_exporter()
    without_keys = _check_keys(config, host, say)
    with contextlib.ExitStack() as stack:
        bound = stack.enter_context(_bind(host, port))
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="memoryscope-rag-"))
        folder = Path(name)
        if workers > 1:
            # prometheus_client reads this where it is imported first: in the worker processes
            os.putenv("PROMETHEUS_MULTIPROC_DIR", name)
        options = {"without_keys": without_keys, "metrics_folder": folder if workers > 1 else None}
        made = functools.partial(make or _make, config, **options)
        settings = _settings(config, functools.partial(_starting, made, folder), workers)
        address, number = bound.getsockname()[:2]
        shown = f"[{address}]" if ":" in address else address
        say(f"serving {config.store.place} on http://{shown}:{number}")
        if not (_several(settings, bound) if workers > 1 else _one(settings, bound)):
            unknown = StoreUnavailable("the service did not start; the log says why")
            raise reason(folder) or unknown


def _one(settings: uvicorn.Config, bound: socket.socket) -> bool:
    """Serve in this process; whether it started."""
    server = uvicorn.Server(settings)
    try:
        server.run(sockets=[bound])
    except SystemExit as left:
        if left.code != STARTUP_FAILURE:
            raise
        return False
    return server.started


def _several(settings: uvicorn.Config, bound: socket.socket) -> bool:
    """Serve in worker processes; whether they started."""
    supervisor = Multiprocess(settings, sockets=[bound])
    supervisor.run()
    return all(process.exitcode != STARTUP_FAILURE for process in supervisor.processes)


def _make(config: Config, **options: Any) -> ASGIApp:
    from memoryscope_rag.service.application import create_app

    return create_app(config, **options)


def _starting(make: Callable[[], ASGIApp], folder: Path) -> ASGIApp:
    return Starting(make(), folder)


def _settings(config: Config, make: Callable[[], ASGIApp], workers: int) -> uvicorn.Config:
    return uvicorn.Config(
        make,
        factory=True,
        workers=workers,
        interface="asgi3",
        http=functools.partial(  # type: ignore[arg-type]
            PatientProtocol, config.service.head_s, config.service.body_s
        ),
        ws="none",
        loop="asyncio",
        lifespan="on",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        limit_concurrency=config.service.connections,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_worker_healthcheck=HUNG_S,
        timeout_graceful_shutdown=max(1, round(config.service.stop_s)),
        log_config=_LOGGING,
    )


def _check_exporter() -> None:
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: F401
    except ImportError as error:
        raise MissingExtra("otel", "service.telemetry") from error


def _check_keys(config: Config, host: str, say: Say) -> bool:
    """Whether callers need no key: there is none, and only this machine is served."""
    file = StateFile(state_path(config))
    try:
        if all_keys(file):
            return False
    finally:
        file.close()
    if not is_loopback(host):
        raise ConfigError(
            f"there is no API key, and {host} is more than this machine: "
            "'memoryscope-rag keys create' makes one"
        )
    say("there is no API key yet: whoever is on this machine may read and write")
    return True


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, number)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.set_inheritable(True)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        reason = error.strerror or error
        raise StoreUnavailable(f"cannot listen on {host}, port {port}: {reason}") from None
    return bound


_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": "memoryscope_rag.service.observing.JsonLines"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "lines",
            "stream": "ext://sys.stderr",
        }
    },
    "loggers": {
        "memoryscope_rag": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
    },
}
