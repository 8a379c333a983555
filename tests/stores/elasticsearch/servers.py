"""Elasticsearch servers for tests: one that is already there, or started by a command."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import pytest

from memoryscope_rag.configs.model import ElasticsearchConfig
from memoryscope_rag.stores.elasticsearch.connection import connect
from memoryscope_rag.stores.elasticsearch.indices import remove

URL = "MEMORYSCOPE_TEST_ELASTICSEARCH_URL"
COMMAND = "MEMORYSCOPE_TEST_ELASTICSEARCH_COMMAND"
CA = "MEMORYSCOPE_TEST_ELASTICSEARCH_CA"
PASSWORD = "MEMORYSCOPE_TEST_ELASTICSEARCH_PASSWORD"
"""Where :meth:`Server.config` expects the password of a secured server."""
WITHOUT = (
    f"Elasticsearch: set {URL} to a server, "
    f"or {COMMAND} to a command that starts one and prints it as JSON"
)
START_SECONDS = 150
STOP_SECONDS = 30


@dataclass(frozen=True)
class Server:
    """A running server; ``process`` and ``pid`` (Java's) only where a test started it."""

    url: str
    username: str | None = None
    password: str | None = None
    ca: Path | None = None
    pid: int = 0
    process: subprocess.Popen[str] | None = None

    def config(self, prefix: str, **changes: Any) -> ElasticsearchConfig:
        """Settings for this server, patient enough for a busy machine; the variable PASSWORD must
        hold the password of a secured one."""
        settings: dict[str, Any] = {
            "url": self.url,
            "prefix": prefix,
            "replicas": 0,
            "timeout_s": 30.0,
            "deadline_s": 60.0,
            "ca_certs": self.ca,
            "outbox": False,
        }
        if self.username is not None:
            settings |= {"username": self.username, "password": PASSWORD}
        return ElasticsearchConfig(**(settings | changes))

    def send(self, number: signal.Signals) -> None:
        """Signal the server itself."""
        os.kill(self.pid, number)

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        process = self.process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            if self.pid:
                with contextlib.suppress(ProcessLookupError):
                    self.send(signal.SIGKILL)  # it may be stopped, and deaf to anything else
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def has_command() -> bool:
    """Whether servers can be started."""
    return bool(os.environ.get(COMMAND))


def need_command() -> None:
    """Skip the test where no server can be started."""
    if not has_command():
        pytest.skip(f"Elasticsearch: needs {COMMAND}")


def given() -> Server | None:
    """The server that the variable URL names; it may hold ``user:password@``."""
    url = os.environ.get(URL)
    if not url:
        return None
    parts = urlsplit(url)
    ca = os.environ.get(CA)
    host = parts.netloc.rpartition("@")[2]
    return Server(
        parts._replace(netloc=host).geturl(),
        parts.username,
        parts.password or os.environ.get(PASSWORD),
        Path(ca) if ca else None,
    )


def start(*options: str) -> Server:
    """Start one by the variable COMMAND. From the main thread only: it ends with its parent.

    Fails the test when the server does not come up: a suite that was told to use one must not pass
    without.
    """
    return start_together([options])[0]


def start_together(several: Sequence[Sequence[str]]) -> list[Server]:
    """Start servers side by side, each with options of its own, as nodes of a cluster must."""
    with contextlib.ExitStack() as files:
        begun: list[tuple[subprocess.Popen[str], IO[str]]] = []
        try:
            for options in several:
                complaints = files.enter_context(tempfile.TemporaryFile("w+"))
                begun.append((_begin(options, complaints), complaints))
            return [_ready(process, complaints) for process, complaints in begun]
        except BaseException:
            for process, _ in begun:
                Server("", process=process).stop()
            raise


def _begin(options: Sequence[str], complaints: IO[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*shlex.split(os.environ[COMMAND]), *options],
        stdout=subprocess.PIPE,
        stderr=complaints,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def _ready(process: subprocess.Popen[str], complaints: IO[str]) -> Server:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if ready else ""
    try:
        told = json.loads(line)
    except ValueError:
        complaints.seek(0)
        pytest.fail(
            f"{COMMAND} started no server within {START_SECONDS} s; it said {line!r}, "
            f"{complaints.read()[-2000:]!r}"
        )
    return Server(
        told["url"],
        told.get("username"),
        told.get("password"),
        Path(told["ca"]) if "ca" in told else None,
        told["pid"],
        process,
    )


async def remove_indices(config: ElasticsearchConfig) -> None:
    """Delete what a store made under ``config.prefix``."""
    client = connect(config)
    try:
        await remove(client, config.prefix)
    finally:
        await client.close()
