"""A real server that dies, hangs, fills its disk or refuses: nothing acknowledged is lost or
doubled, and what cannot be done is said in time."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path
from random import Random

import pytest

from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.configs.model import Config, ElasticsearchConfig, StoreConfig
from memoryscope_rag.errors import StoreCorrupt, StoreUnavailable
from memoryscope_rag.ports import Query, SearchRequest
from memoryscope_rag.stores.elasticsearch.connection import connect
from memoryscope_rag.stores.outbox import OutboxStore
from memoryscope_rag.stores.outbox_file import opened as outbox_file
from memoryscope_rag.testing.fakes import HashEmbedder
from memoryscope_rag.testing.samples import ALL_KINDS, SPEC, vector
from tests.stores.elasticsearch import servers
from tests.stores.elasticsearch.proxy import Fate, proxy
from tests.stores.elasticsearch.servers import Server
from tests.stores.elasticsearch.writing import SCOPE, append, names, opened, whole

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).parents[3]
REQUEST = SearchRequest((Query("q", ("text",), vector(Random(1))),), ALL_KINDS)


class Own:
    """A server of this module's own, to be hurt; it keeps its data and its port."""

    def __init__(self, folder: Path) -> None:
        # how often the disk is looked at: ten seconds is the least
        self._options = ["--data", str(folder), "--port", str(servers.free_port())]
        self._options += ["--heap", "512m", "--set", "cluster.info.update.interval=10s"]
        self.server = servers.start(*self._options)

    def restart(self) -> None:
        """Start it again, once it is dead."""
        self.server.stop()
        self.server = servers.start(*self._options)


@pytest.fixture(scope="module")
def _own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own | None]:
    own = Own(tmp_path_factory.mktemp("elasticsearch")) if servers.has_command() else None
    yield own
    if own is not None:
        own.server.stop()


@pytest.fixture
def own(_own: Own | None) -> Own:
    """The module's own server, running."""
    servers.need_command()
    assert _own is not None
    if _own.server.process is None or _own.server.process.poll() is not None:
        _own.restart()  # a test that failed left it dead
    return _own


async def boxed(config: ElasticsearchConfig, path: Path) -> OutboxStore:
    """The store of a test behind an outbox."""
    return await OutboxStore.open(await opened(config), path, embedder=SPEC)


async def drained(store: OutboxStore, seconds: float = 60.0) -> None:
    """Wait until nothing waits in the outbox, and assert that nothing was refused."""
    end = time.monotonic() + seconds
    while True:
        try:
            state = (await store.stats()).outbox
        except StoreUnavailable:
            state = None
        if state is not None and not state.waiting:
            assert not state.refused
            return
        assert time.monotonic() < end, f"still waiting: {state}"
        await asyncio.sleep(0.2)


async def put_settings(config: ElasticsearchConfig, **settings: object) -> None:
    """Change the settings of the store's indices from outside."""
    async with connect(config) as client:
        found = await client.indices.get(index=f"{config.prefix}-*")
        await client.indices.put_settings(index=list(found.body), settings=settings)


# ---------------------------------------------------------------- away


@pytest.mark.slow
def test_killed_during_bulk_and_restarted(own: Own) -> None:
    config = own.server.config("killed", retries=1)
    batches = [names("m", 20, first) for first in range(0, 1200, 20)]

    async def until_killed() -> int:
        """Append batches until the server dies in one of them; how many were acknowledged."""
        store = await opened(config)
        loop = asyncio.get_running_loop()
        done = 0
        try:
            for done, ids in enumerate(batches):
                if done == 5:
                    loop.call_later(0.1, own.server.send, signal.SIGKILL)
                await append(store, ids)
        except StoreUnavailable:
            return done
        finally:
            await store.close()
        pytest.fail("the server was killed too late")

    acknowledged = asyncio.run(until_killed())
    assert acknowledged >= 5
    own.restart()

    async def go_on() -> None:
        store = await opened(own.server.config("killed"))
        found = await store.messages(SCOPE, limit=10_000)
        kept = {message.id for message in found}
        assert kept.issuperset(itertools.chain(*batches[:acknowledged]))
        for ids in batches[acknowledged : acknowledged + 3]:  # the interrupted one again
            outcome = await append(store, ids)
            assert {item.status for item in outcome} <= {"stored", "known"}
        told = list(itertools.chain(*batches[: acknowledged + 3]))
        await whole(store, told)
        await store.close()

    asyncio.run(go_on())


@pytest.mark.slow
def test_what_is_recorded_while_the_server_is_dead_is_delivered(own: Own, tmp_path: Path) -> None:
    config = own.server.config("dead", retries=1)

    async def record() -> None:
        store = await boxed(config, tmp_path / "outbox.db")
        for at in range(0, 60, 5):
            if at == 30:
                own.server.send(signal.SIGKILL)
            outcome = await append(store, names("m", 5, at))
            assert {item.status for item in outcome} == {"stored" if at < 30 else "waiting"}
        with outbox_file(tmp_path / "outbox.db") as file:
            assert file is not None
            assert file.state().waiting == 30
        with pytest.raises(StoreUnavailable):
            await store.search(SCOPE, [REQUEST])
        await store.close()

    asyncio.run(record())
    own.restart()

    async def deliver() -> None:
        store = await boxed(own.server.config("dead"), tmp_path / "outbox.db")
        await drained(store)
        await whole(store, names("m", 60))
        await store.close()

    asyncio.run(deliver())


@pytest.mark.slow
def test_a_paused_server(own: Own, tmp_path: Path) -> None:
    server = own.server
    config = server.config("paused", timeout_s=1.0, deadline_s=2.0)
    ready = server.config("paused", timeout_s=30.0)

    async def pause() -> None:
        store = await boxed(ready, tmp_path / "unused.db")  # the indices take their time
        await append(store, names("m", 10))
        await store.close()
        store = await boxed(config, tmp_path / "outbox.db")
        server.send(signal.SIGSTOP)
        try:
            started = time.monotonic()
            with pytest.raises(StoreUnavailable, match="searching: no answer in time"):
                await store.search(SCOPE, [REQUEST])
            assert time.monotonic() - started < 10.0
            for at in range(10, 40, 5):
                outcome = await append(store, names("m", 5, at))
                assert {item.status for item in outcome} == {"waiting"}
            await asyncio.sleep(max(0.0, 30.0 - (time.monotonic() - started)))
        finally:
            server.send(signal.SIGCONT)
        await store.close()
        store = await boxed(ready, tmp_path / "outbox.db")
        await drained(store)
        await whole(store, names("m", 40))
        await store.close()

    asyncio.run(pause())


@pytest.mark.slow
def test_a_retrieval_keeps_its_budget_while_the_server_is_paused(own: Own) -> None:
    server = own.server
    settings = Config(
        store=StoreConfig(provider="elasticsearch", elasticsearch=server.config("budget"))
    )

    async def pause() -> None:
        async with await AsyncMemoryScope.open(config=settings, embedder=HashEmbedder()) as memory:
            await memory.record("I moved to Lisbon", scope="ann")
            found = await memory.retrieve("Lisbon", scope="ann", budget_ms=30_000, floor=False)
            assert found.items
            server.send(signal.SIGSTOP)
            try:
                started = time.monotonic()
                with pytest.raises(StoreUnavailable):
                    await memory.retrieve("Lisbon", scope="ann", budget_ms=300)
                assert time.monotonic() - started < 5.0
            finally:
                server.send(signal.SIGCONT)

    asyncio.run(pause())


# ---------------------------------------------------------------- refusing


@pytest.mark.slow
def test_a_disk_above_the_flood_stage(own: Own, tmp_path: Path) -> None:
    config = own.server.config("full", retries=1)
    marks = {
        f"cluster.routing.allocation.disk.watermark.{name}": "1000000gb"  # to be left free
        for name in ("low", "high", "flood_stage")
    }

    async def fill() -> None:
        store = await boxed(config, tmp_path / "outbox.db")
        await append(store, names("m", 10))
        async with connect(config) as client:
            await client.cluster.put_settings(persistent=marks)
            written, error = 10, None
            while error is None and written < 600:
                bare = await opened(config)
                try:
                    await append(bare, names("m", 1, written))
                    written += 1
                    await asyncio.sleep(0.2)
                except StoreUnavailable as caught:
                    error = caught
                finally:
                    await bare.close()
            assert error is not None
            assert "above the flood-stage watermark" in str(error)
            # the indices are blocked one by one: what was refused may be in all the same
            (again,) = await append(store, names("m", 1, written))
            assert again.status in {"waiting", "known"}
            (waiting,) = await append(store, names("m", 1, written + 1))
            assert waiting.status == "waiting"
            (found,) = await store.search(SCOPE, [REQUEST])  # reading goes on
            assert found.ids
            await client.cluster.put_settings(persistent=dict.fromkeys(marks))
        await drained(store)
        await whole(store, names("m", written + 2))
        await store.close()

    asyncio.run(fill())


def test_a_read_only_index(config: ElasticsearchConfig) -> None:
    async def block() -> None:
        store = await opened(config)
        await append(store, names("m", 5))
        await put_settings(config, **{"index.blocks.write": True})
        with pytest.raises(StoreUnavailable, match=r"appending messages: .*blocked by"):
            await append(store, names("m", 5, 5))
        assert len((await store.search(SCOPE, [REQUEST]))[0].ids) == 5
        await put_settings(config, **{"index.blocks.write": None})
        await append(store, names("m", 5, 5))
        await whole(store, names("m", 10))
        await store.close()

    asyncio.run(block())


def test_a_storm_of_refusals(server: Server, config: ElasticsearchConfig, tmp_path: Path) -> None:
    random = Random(5)

    def stormy(method: str, path: str) -> Fate:
        return random.choice([429, 503, "pass", "pass"])

    def shut(method: str, path: str) -> Fate:
        return 429

    with proxy(server.url, lambda *_: "pass") as between:
        through = config.model_copy(update={"url": between.url, "retries": 30})

        async def storm() -> None:
            store = await boxed(through, tmp_path / "outbox.db")
            between.fate = stormy
            for at in range(0, 50, 10):
                outcome = await append(store, names("m", 10, at))
                assert {item.status for item in outcome} == {"stored"}
            assert between.failed > 10
            await store.close()
            impatient = through.model_copy(update={"retries": 2})
            between.fate = lambda *_: "pass"
            store = await boxed(impatient, tmp_path / "outbox.db")
            between.fate = shut
            with pytest.raises(StoreUnavailable, match="overloaded"):
                await store.search(SCOPE, [REQUEST])
            outcome = await append(store, names("m", 10, 50))
            assert {item.status for item in outcome} == {"waiting"}
            between.fate = lambda *_: "pass"
            await drained(store)
            await whole(store, names("m", 60))
            await store.close()

        asyncio.run(storm())


def test_answers_that_get_lost(server: Server, config: ElasticsearchConfig) -> None:
    random = Random(6)
    with proxy(server.url, lambda *_: "pass") as between:
        through = config.model_copy(update={"url": between.url, "retries": 30})

        async def lose() -> None:
            store = await opened(through)
            between.fate = lambda *_: "lose" if random.random() < 0.4 else "pass"
            for at in range(0, 100, 10):
                outcome = await append(store, names("m", 10, at))
                assert [item.message.id for item in outcome] == names("m", 10, at)
                assert {item.status for item in outcome} <= {"stored", "known"}
            assert between.failed > 10
            gone = await store.forget(SCOPE, message_ids=names("m", 5))
            assert (gone.messages, gone.proven) == (5, True)
            between.fate = lambda *_: "pass"
            await whole(store, names("m", 95, 5))
            await store.close()

        asyncio.run(lose())


# ---------------------------------------------------------------- others


@pytest.mark.slow
def test_conflicting_writers_lose_and_double_nothing(
    server: Server, config: ElasticsearchConfig
) -> None:
    processes, count, batch = 4, 2500, 50

    async def make() -> None:
        await (await opened(config)).close()

    asyncio.run(make())
    module = "tests.stores.elasticsearch.writing"
    sizes = [str(count), str(batch)]
    children = [
        subprocess.Popen(
            [sys.executable, "-m", module, server.url, config.prefix, f"p{number}", *sizes],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for number in range(processes)
    ]
    told = [line for child in children for line in child.communicate()[0].splitlines()]
    assert [child.returncode for child in children] == [0] * processes
    ids = [name for line in told for name in line.split()]
    assert len(ids) == processes * count

    async def look() -> None:
        store = await opened(config)
        await whole(store, ids, ordered=False)
        log: list[str] = []
        after = 0
        while page := await store.messages(SCOPE, after=after, limit=2000):
            log += [message.id for message in page]
            after = page[-1].seq
        for number in range(processes):  # what one process wrote is in its order
            mine = [name for name in log if name.startswith(f"p{number}-")]
            assert mine == names(f"p{number}", count)
        await store.close()

    asyncio.run(look())


@pytest.mark.parametrize("index", ["messages", "nodes", "history", "state"])
def test_an_index_that_is_deleted_under_us(config: ElasticsearchConfig, index: str) -> None:
    async def delete() -> None:
        store = await opened(config)
        await append(store, names("m", 5))
        async with connect(config) as client:
            alias = f"{config.prefix}-{index}"
            (name,) = (await client.indices.get_alias(name=alias)).body
            await client.indices.delete(index=name)
            refused: list[Awaitable[object]] = [store.forget(SCOPE, message_ids=["m-1"])]
            if index != "history":
                refused.append(append(store, names("m", 5, 5)))
            if index in {"nodes", "state"}:
                refused.append(store.search(SCOPE, [REQUEST]))
            for call in refused:
                with pytest.raises(StoreCorrupt, match="an index of the store is missing"):
                    await call
            assert not await client.indices.exists(index=alias)  # no write made it anew
        await store.close()
        with pytest.raises(StoreCorrupt, match=alias):
            await opened(config)

    asyncio.run(delete())
