"""Background work in a process of its own: the same results, nothing lost, nobody left behind."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from memoryscope_rag import AsyncMemoryScope, Config, NewMessage, Scope
from memoryscope_rag.app import SystemClock
from memoryscope_rag.build import open_store
from memoryscope_rag.configs.load import parse_config
from memoryscope_rag.errors import ConfigError, StoreCorrupt, StoreUnavailable
from memoryscope_rag.models.ledger import Ledger
from memoryscope_rag.operations import job_process
from memoryscope_rag.operations.job_process import JobProcess, reason_to_share
from memoryscope_rag.ports import ChatMessage, Lease
from memoryscope_rag.schema import MemoryNode
from memoryscope_rag.testing.fakes import HashEmbedder
from memoryscope_rag.testing.scripted_server import (
    ScriptedServer,
    WireReply,
    WireRequest,
    scripted_server,
)
from memoryscope_rag.testing.wire import openai_chat
from tests.operations.consolidating import NOON, reader

ANN = Scope("ann")
TEXTS = ["I live in Lisbon.", "I work at Siemens. I have a dog.", "我喜欢茶。", "Who are you?"]
HOST = Path(__file__).with_name("job_host.py")
WAIT_S = 120
"""Other tests may have the machine, and a background process stands back."""


class Model:
    """Over HTTP, a model that reads; while ``held`` it does not answer."""

    def __init__(self) -> None:
        self.held = threading.Event()
        self.asked = threading.Event()
        self.go = threading.Event()
        self._read = reader()

    def __call__(self, request: WireRequest) -> WireReply:
        self.asked.set()
        if self.held.is_set():
            self.go.wait(WAIT_S)
        messages = [ChatMessage(one["role"], one["content"]) for one in request.body["messages"]]
        return openai_chat(self._read(messages))


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def server(model: Model) -> Iterator[ScriptedServer]:
    with scripted_server(model) as server:
        yield server
        model.go.set()


def settings(
    path: Path, server: ScriptedServer | None = None, lease_s: float = 60.0, **schedule: Any
) -> Config:
    tree: dict[str, Any] = {
        "store": {"path": path},
        "embedder": {"name": "none"},
        "schedule": {"tick_s": 0.05, **schedule},
        "consolidation": {"lease_s": lease_s},
    }
    if server is not None:
        url = f"{server.url}/v1"
        tree["generator"] = {"provider": "vllm", "model": "m", "base_url": url}
    return parse_config(tree)


async def recorded(config: Config) -> AsyncMemoryScope:
    memory = await AsyncMemoryScope.open(config=config)
    batch = [NewMessage(f"m{n}", "s", "user", text, NOON, "Ann") for n, text in enumerate(TEXTS)]
    await memory.record_many(batch, scope=ANN)
    return memory


async def facts(memory: AsyncMemoryScope) -> list[tuple[Any, ...]]:
    def row(node: MemoryNode) -> tuple[Any, ...]:
        return (node.content, node.provenance, node.said_at, node.event, dict(node.metadata))

    page = await memory.list(scope=ANN, kinds=["observation"], closed=True)
    return sorted((row(node) for node in page.items), key=str)


async def asking(model: Model) -> None:
    assert await asyncio.to_thread(model.asked.wait, WAIT_S)


async def none_left(lease: Lease) -> None:
    pytest.fail(f"it ended and held the lease {lease.name!r} still")


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def goes(pid: int) -> bool:
    until = time.monotonic() + WAIT_S
    while not gone(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return gone(pid)


def test_what_is_learned_there_is_what_would_be_learned_here(
    tmp_path: Path, server: ScriptedServer
) -> None:
    async def check() -> None:
        here = await recorded(settings(tmp_path / "here.db", server))
        report = await here.consolidate(scope=ANN)
        counted = Ledger()
        config = settings(tmp_path / "there.db", server)
        there = await recorded(config)
        process = JobProcess(config, counted, none_left)
        assert await process.start()
        assert process.pid != os.getpid()
        same = await process.consolidate(ANN)
        assert same.consolidated == report.consolidated == len(TEXTS)
        assert (same.calls, same.usage, same.batches) == (report.calls, report.usage, 1)
        assert sorted(a.content for a in same.actions) == sorted(a.content for a in report.actions)
        assert await facts(there) == await facts(here) != []
        (spent,) = counted.by_model().values()
        assert (spent.calls, spent.usage) == (report.calls, report.usage)
        assert (await process.reflect(ANN)).looked_at == (await here.reflect(scope=ANN)).looked_at
        with pytest.raises(ConfigError, match=r"memory\.model"):
            await process.refresh(ANN)
        pid = process.pid
        await process.close()
        assert pid is not None
        assert gone(pid)
        with pytest.raises(StoreUnavailable):
            await process.consolidate(ANN)
        await there.close()
        await here.close()

    asyncio.run(check())


def test_a_started_application_uses_it_and_ends_it(tmp_path: Path) -> None:
    async def check() -> None:
        config = settings(tmp_path / "m.db", after_messages=1)
        async with await recorded(config) as memory:
            assert (await memory.stats()).detail["background"].endswith("started when needed")
            assert (await memory.consolidate(scope="ben")).messages == 0
            assert (await memory.stats()).detail["background"].endswith("started when needed")
            await memory.start()
            async with asyncio.timeout(WAIT_S):
                while (await memory.stats()).pending:
                    await asyncio.sleep(0.05)
            pid = int((await memory.stats()).detail["background"].rpartition(" ")[2])
            assert psutil.Process(pid).ppid() == os.getpid()
            await memory.stop()
            assert gone(pid)
            assert await facts(memory)

    asyncio.run(check())


def test_killed_in_the_midst_of_it_nothing_is_lost_and_the_next_one_completes(
    tmp_path: Path, model: Model, server: ScriptedServer
) -> None:
    async def check() -> None:
        config = settings(tmp_path / "m.db", server, lease_s=3600.0)
        memory = await recorded(config)
        store = await open_store(config, None, clock=SystemClock())
        process = JobProcess(config, Ledger(), store.release)
        await process.start()
        model.held.set()
        work = asyncio.create_task(process.consolidate(ANN))
        await asking(model)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(StoreUnavailable, match="pending still"):
            await work
        assert not process.running
        assert (await memory.stats()).pending == len(TEXTS)
        model.held.clear()
        model.go.set()
        assert (await memory.consolidate(scope=ANN)).busy
        assert await process.start()
        assert not (await process.consolidate(ANN)).busy  # the dead one's lease was given back
        assert (await memory.stats()).pending == 0
        contents = [row[0] for row in await facts(memory)]
        assert len(contents) == len(set(contents)) > 3
        await process.close()
        await store.close()
        await memory.close()

    asyncio.run(check())


def test_stopping_hands_back_what_is_under_way(
    tmp_path: Path, model: Model, server: ScriptedServer
) -> None:
    async def check() -> None:
        config = settings(tmp_path / "m.db", server, after_messages=1, close_s=0.0)
        model.held.set()
        async with await recorded(config) as memory:
            await memory.start()
            await asking(model)
            pid = int((await memory.stats()).detail["background"].rpartition(" ")[2])
            await memory.stop(wait=False)
            assert gone(pid)
            assert (await memory.stats()).pending == len(TEXTS)
        model.held.clear()
        model.go.set()
        async with await AsyncMemoryScope.open(config=config) as memory:
            assert not (await memory.consolidate(scope=ANN)).busy  # the lease was given back
            assert (await memory.stats()).pending == 0

    asyncio.run(check())


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_it_does_not_outlive_its_parent(
    tmp_path: Path, model: Model, server: ScriptedServer, how: signal.Signals
) -> None:
    model.held.set()
    host = subprocess.Popen(
        [sys.executable, str(HOST), str(tmp_path / "m.db"), f"{server.url}/v1"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert host.stdout is not None
    with host.stdout:
        pid = int(host.stdout.readline())
        assert model.asked.wait(WAIT_S)
        os.killpg(host.pid, how)  # as Ctrl-C is sent to all that a terminal runs
        assert host.wait(WAIT_S) == (-how if how == signal.SIGKILL else 0)
        assert host.stdout.read() == ("" if how == signal.SIGKILL else "closed\n")
    assert goes(pid)


def test_what_opening_raises_there_is_raised_here(tmp_path: Path) -> None:
    async def check() -> None:
        path = tmp_path / "m.db"
        path.write_text("this is no database, and never was one " * 100)
        process = JobProcess(settings(path), Ledger(), none_left)
        with pytest.raises(StoreCorrupt):
            await process.start()
        assert not process.running
        await process.close()

    asyncio.run(check())


def test_where_no_process_can_be_started_its_work_is_done_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        async with await recorded(settings(tmp_path / "m.db", after_messages=1)) as memory:
            await memory.start()
            await memory.flush()
            assert (await memory.stats()).pending == 0

    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    with caplog.at_level(logging.WARNING):
        asyncio.run(check())
    assert caplog.text.count("there is no background process") == 1


def test_it_is_ended_when_it_has_had_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_process, "IDLE_S", 0.05)

    async def check() -> None:
        process = JobProcess(settings(tmp_path / "m.db"), Ledger(), none_left)
        assert await process.start()
        pid = process.pid
        assert pid is not None
        await process.consolidate(ANN)
        assert await asyncio.to_thread(goes, pid)
        assert not process.running
        assert process.pid is None
        await process.close()

    asyncio.run(check())


def test_parts_of_the_host_keep_the_work_in_its_process(tmp_path: Path) -> None:
    async def check() -> None:
        config = settings(tmp_path / "m.db", after_messages=1)
        lent = await AsyncMemoryScope.open(config=config, embedder=HashEmbedder())
        async with lent as memory:
            place = (await memory.stats()).detail["background"]
            assert place == "this process: it alone has all the parts"

    asyncio.run(check())


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({}, None),
        ({"schedule": {"process": "shared"}}, "schedule.process"),
        ({"generator": {"provider": "transformers", "model": "m"}}, "local chat model"),
        (
            {
                "generator": {"provider": "transformers", "model": "m"},
                "schedule": {"process": "own"},
            },
            None,
        ),
        ({"memory": {"model": "m"}}, None),
        ({"memory": {"model": "m", "device": "cuda"}}, "cuda"),
        (
            {"generator": {"provider": "vllm", "model": "m", "price_in": 1.0, "budget": 1.0}},
            "budget",
        ),
    ],
)
def test_what_the_settings_say_of_it(tree: dict[str, Any], reason: str | None) -> None:
    found = reason_to_share(parse_config(tree))
    assert (found is None) == (reason is None)
    assert reason is None or (found is not None and reason in found)
