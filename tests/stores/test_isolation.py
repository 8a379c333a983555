"""Ten thousand retrievals at once over fifty scopes: nothing crosses."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from memoryscope_rag.ports import Query, SearchRequest
from memoryscope_rag.schema import Scope
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.samples import ALL_KINDS, SPEC, entry, message, random_text, vector

SCOPES = 50
RETRIEVALS = 10_000


@pytest.mark.slow
def test_no_foreign_row(tmp_path: Path) -> None:
    async def check() -> None:
        # a cache too small for all, so that indexes are dropped and made again all the time
        store = SQLiteStore.open(tmp_path / "memory.db", embedder=SPEC, cache_bytes=300_000)
        random = Random(1)
        scopes = [Scope(f"user{n % 10}", f"agent{n // 10}") for n in range(SCOPES)]
        for number, scope in enumerate(scopes):
            news = [message(f"{number}:{n}", random_text(random)) for n in range(20)]
            await store.append(scope, [entry(new, random) for new in news])

        async def retrieve(number: int) -> None:
            query = Query("q", tuple(random_text(random).split()), vector(random))
            request = SearchRequest((query,), ALL_KINDS, 10)
            (found,) = await store.search(scopes[number], [request])
            assert found.ids
            assert all(name.startswith(f"{number}:") for name in found.ids)
            if random.random() < 0.02:
                name = f"{number}:new{random.random()}"
                await store.append(scopes[number], [entry(message(name), random)])

        for _ in range(10):
            numbers = [random.randrange(SCOPES) for _ in range(RETRIEVALS // 10)]
            await asyncio.gather(*[retrieve(number) for number in numbers])
        assert store._cache.nbytes <= 400_000
        await store.close()

    asyncio.run(check())
