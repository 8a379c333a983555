"""A real server for the tests of this folder, and in one line what is left out without one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator

import pytest

from memoryscope_rag.configs.model import ElasticsearchConfig
from tests.stores.elasticsearch import servers
from tests.stores.elasticsearch.servers import Server


@pytest.fixture(scope="session")
def _session_server() -> Iterator[Server | None]:
    server = servers.given()
    if server is None and servers.has_command():
        server = servers.start()
    yield server
    if server is not None:
        server.stop()


@pytest.fixture
def server(
    _session_server: Server | None,
    monkeypatch: pytest.MonkeyPatch,
) -> Server:
    """The server that all tests share; without one the test is skipped."""
    if _session_server is None:
        pytest.skip(servers.WITHOUT)
    if _session_server.password is not None:
        monkeypatch.setenv(servers.PASSWORD, _session_server.password)
    return _session_server


@pytest.fixture
def config(server: Server) -> Iterator[ElasticsearchConfig]:
    """Settings with a prefix of this test's own, whose indices are deleted at the end."""
    made = server.config(f"test-{uuid.uuid4().hex[:12]}")
    yield made
    asyncio.run(servers.remove_indices(made))


@pytest.fixture
def start_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Start a server of the test's own, with options; all are stopped at the end."""
    servers.need_command()
    running: list[Server] = []

    def start(*options: str) -> Server:
        made = servers.start("--heap", "512m", *options)
        running.append(made)
        if made.password is not None:
            monkeypatch.setenv(servers.PASSWORD, made.password)
        return made

    yield start
    for made in reversed(running):
        made.stop()
