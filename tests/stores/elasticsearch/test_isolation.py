"""Scopes on Elasticsearch: thousands of retrievals at once cross nothing, and none can be asked
for without a scope. ``MEMORYSCOPE_TEST_RETRIEVALS=10000`` makes it ten thousand."""

from __future__ import annotations

import asyncio
import os
from random import Random

import pytest

from memoryscope_rag.configs.model import ElasticsearchConfig
from memoryscope_rag.ports import Query, SearchRequest
from memoryscope_rag.schema import Scope
from memoryscope_rag.stores.elasticsearch.cluster import ScopedSearch
from memoryscope_rag.stores.elasticsearch.store import ElasticsearchStore
from memoryscope_rag.testing.samples import ALL_KINDS, SPEC, entry, message, random_text, vector

SCOPES = 50
RETRIEVALS = int(os.environ.get("MEMORYSCOPE_TEST_RETRIEVALS", "1000"))
AT_ONCE = 64


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_foreign_row(config: ElasticsearchConfig) -> None:
    async def check() -> None:
        store = await ElasticsearchStore.open(config, embedder=SPEC)
        random = Random(1)
        scopes = [Scope(f"user{n % 10}", f"agent{n // 10}") for n in range(SCOPES)]
        for number, scope in enumerate(scopes):
            news = [message(f"{number}:{n}", random_text(random)) for n in range(20)]
            await store.append(scope, [entry(new, random) for new in news])
        gate = asyncio.Semaphore(AT_ONCE)

        async def retrieve(number: int) -> None:
            query = Query("q", tuple(random_text(random).split()), vector(random))
            request = SearchRequest((query,), ALL_KINDS, 10)
            async with gate:
                (found,) = await store.search(scopes[number], [request])
                assert found.ids
                assert all(name.startswith(f"{number}:") for name in found.ids)
                if random.random() < 0.02:
                    name = f"{number}:new{random.random()}"
                    await store.append(scopes[number], [entry(message(name), random)])

        numbers = [random.randrange(SCOPES) for _ in range(RETRIEVALS)]
        await asyncio.gather(*[retrieve(number) for number in numbers])
        await store.close()

    asyncio.run(check())


def test_every_search_is_of_one_scope() -> None:
    by_words = ScopedSearch(
        "nodes", "key", [{"term": {"kind": "note"}}], [{"term": {"terms": "a"}}]
    )
    nearest = ScopedSearch("nodes", "key", knn={"field": "dense.m", "k": 3})
    assert by_words.request()["query"]["bool"]["filter"][0] == {"term": {"scope": "key"}}
    assert nearest.request()["query"]["knn"]["filter"] == [{"term": {"scope": "key"}}]
    for options in ({}, {"index": "nodes"}):
        with pytest.raises(TypeError, match="scope"):
            ScopedSearch(**options)  # type: ignore[arg-type]
