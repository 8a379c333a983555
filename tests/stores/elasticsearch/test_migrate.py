"""From SQLite to a cluster and back: nothing is lost on the way, also when it is cut short."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from memoryscope_rag.configs.model import ElasticsearchConfig
from memoryscope_rag.operations.digest import digest
from memoryscope_rag.operations.migrate import migrate
from memoryscope_rag.stores.elasticsearch.store import ElasticsearchStore
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.samples import ALICE, BOB
from tests.operations.test_migrate import EMBEDDER, fill, same


class _Stopped(Exception):
    """The run was cut short."""


@pytest.mark.slow
def test_there_and_back(tmp_path: Path, config: ElasticsearchConfig) -> None:
    async def check() -> None:
        source = SQLiteStore.open(tmp_path / "source.db", embedder=EMBEDDER.spec)
        await fill(source, ALICE, 150)
        await fill(source, BOB, 60, seed=2)
        cluster = await ElasticsearchStore.open(config, embedder=EMBEDDER.spec)

        def stop(now: int, total: int) -> None:
            if now > total / 5:
                raise _Stopped

        with pytest.raises(_Stopped):
            await migrate(source, cluster, progress=stop)
        done = await migrate(source, cluster)
        assert (done.scopes, done.added < done.messages + done.nodes) == (2, True)
        assert (await migrate(source, cluster)).added == 0
        assert await cluster.check() == ()
        for scope in (ALICE, BOB):
            await same(source, cluster, scope)
        bare = await ElasticsearchStore.open(config, embedder=None)
        back = SQLiteStore.open(tmp_path / "back.db", embedder=EMBEDDER.spec)
        again = await migrate(bare, back)
        assert again.sha256 == done.sha256
        for scope in (ALICE, BOB):
            await same(source, back, scope)
            assert await digest(source, scope) == await digest(bare, scope)
        assert await back.check() == ()
        for store in (source, cluster, bare, back):
            await store.close()

    asyncio.run(check())
