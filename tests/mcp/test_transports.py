"""The command under the real client: over standard input and output, and over HTTP with keys."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from memoryscope_rag import MemoryScope
from memoryscope_rag.configs.model import Config
from memoryscope_rag.service.keys import create_key, revoke_key
from memoryscope_rag.service.state import StateFile, state_path
from tests.cli.conftest import Cli, cli
from tests.mcp.conftest import ANN, command, inside, page, refused, said

__all__ = ["cli"]
START_S = 120.0
Serve = Callable[..., str]


@pytest.fixture
def settings_file(settings: Mapping[str, Any], tmp_path: Path) -> Path:
    """The settings as a file."""
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(dict(settings)), "utf-8")
    return file


@contextmanager
def served(settings_file: Path, *more: str) -> Iterator[str]:
    """The address of the server in a process of its own."""
    log = settings_file.with_suffix(".log")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command(settings_file, "--http", "--port", "0", *more),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    try:
        deadline = time.monotonic() + START_S
        while "startup complete" not in log.read_text("utf-8"):
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (address,) = re.findall(r" on (http://\S+)$", log.read_text("utf-8"), re.MULTILINE)
        yield f"{address}/mcp"
    finally:
        process.terminate()
        process.wait(START_S)


@pytest.fixture
def serve(settings_file: Path) -> Iterator[Serve]:
    """Starts the server; it ends with the test."""
    with ExitStack() as stack:
        yield lambda *more: stack.enter_context(served(settings_file, *more))


async def use(client: Client) -> None:
    """What a host does."""
    assert client.server_info is not None
    assert client.server_info.name == "memoryscope-rag"
    assert len((await client.list_tools()).tools) == 5
    kept = await said(client, "remember", content="Ann plays the cello")
    assert "cello" in inside(await said(client, "recall", query="cello"))
    told = inside(await said(client, "recall", query="my cat"))
    assert "Otto" in told
    assert "Mia" not in told
    assert "Otto" in inside(await page(client, "memory://history"))
    assert "Extra inputs" in await refused(client, "recall", query="cat", user_id="bob")
    assert "rests on" not in await said(client, "why", id=kept[8:-1])
    await said(client, "forget", ids=["cat"])


def test_over_standard_input_and_output(config: Config, settings_file: Path, mode: str) -> None:
    program, *arguments = command(settings_file)

    async def run() -> None:
        host = stdio_client(StdioServerParameters(command=program, args=arguments))
        async with Client(host, mode=mode) as client:
            await use(client)

    asyncio.run(run())
    with MemoryScope.open(config=config) as memory:
        assert [note.content for note in memory.list(scope=ANN).items] == ["Ann plays the cello"]


def test_a_memory_that_cannot_be_opened_is_said_on_standard_error(
    settings_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "memory.db").write_bytes(b"no store" * 4096)
    done = subprocess.run(
        command(settings_file), input=b"", capture_output=True, timeout=START_S, check=False
    )
    assert done.returncode == 3
    assert done.stdout == b""
    assert done.stderr.startswith(b"memoryscope-rag: ")
    assert b"Traceback" not in done.stderr


def test_over_http_without_keys(config: Config, serve: Serve, mode: str) -> None:
    url = serve()

    async def run() -> None:
        async with Client(url, mode=mode) as client:
            await use(client)

    asyncio.run(run())
    # a page of another site, in a browser of this machine
    assert _status(url, {"Origin": "https://elsewhere.example"}) == 403
    assert _status(url, {"Host": "elsewhere.example"}) == 403


def test_over_http_with_keys(config: Config, serve: Serve) -> None:
    file = StateFile(state_path(config))
    every = ["read", "write", "forget"]
    key, text = create_key(file, "host", tenants=["default"], rights=every)
    _, reading = create_key(file, "reader", tenants=["default"], rights=["read"])
    _, foreign = create_key(file, "foreign", tenants=["acme"], rights=every)
    _, bobs = create_key(file, "bob", tenants=["default"], rights=every, user="bob")
    _, anns = create_key(file, "ann", tenants=["default"], rights=every, user="ann")
    url = serve()

    async def run() -> None:
        headers = {"Authorization": f"Bearer {text}"}
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            await use(client)

    asyncio.run(run())
    assert _status(url, {}) == 401
    for other in (reading, foreign, bobs):
        assert _status(url, {"Authorization": f"Bearer {other}"}) == 403
    for own in (text, anns):
        assert _status(url, {"Authorization": f"Bearer {own}"}) not in {401, 403}
    revoke_key(file, key.id)
    file.close()
    time.sleep(1.5)
    assert _status(url, {"Authorization": f"Bearer {text}"}) == 401


def _status(url: str, headers: Mapping[str, str]) -> int:
    accept = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'
    request = urllib.request.Request(url, body, {**accept, **headers})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_more_than_this_machine_needs_a_key(cli: Cli) -> None:
    failed = cli("mcp", "--user", "ann", "--http", "--host", "0.0.0.0", "--port", "0", code=2)
    assert "keys create" in failed.err


@pytest.mark.parametrize("more", [(), ("--http",)])
def test_without_the_package_the_extra_is_named(settings_file: Path, more: tuple[str, ...]) -> None:
    arguments = command(settings_file, *more)[5:]
    code = (
        "import sys; sys.modules['mcp'] = None; from memoryscope_rag.cli.run import run;"
        f"sys.exit(run({arguments!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=START_S, check=False
    )
    assert done.returncode == 2
    assert b"memoryscope-rag[mcp]" in done.stderr
    assert b"Traceback" not in done.stderr
