"""Names, mappings and migrations of the indices, and when searches see what was written."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import numpy as np
import pytest
from elasticsearch import BadRequestError, NotFoundError

from memoryscope_rag.configs.model import ElasticsearchConfig
from memoryscope_rag.errors import SchemaTooNew, StoreCorrupt, StoreUnavailable
from memoryscope_rag.ports import Query, SearchRequest
from memoryscope_rag.stores.elasticsearch.indices import MIGRATIONS, Migration, prepare
from memoryscope_rag.stores.elasticsearch.store import ElasticsearchStore
from memoryscope_rag.testing.samples import (
    ALICE,
    ALL_KINDS,
    SPEC,
    entry,
    fact,
    indexed,
    message,
    vector,
)
from tests.stores.elasticsearch.writing import opening


def request() -> SearchRequest:
    return SearchRequest((Query("q", ("tea",), vector(Random(9))),), ALL_KINDS)


def test_indices_are_versioned_strict_and_behind_aliases(config: ElasticsearchConfig) -> None:
    async def check() -> None:
        async with opening(config) as store:
            client = store._cluster.client
            found = (await client.indices.get(index=f"{config.prefix}-*")).body
            names = {
                f"{config.prefix}-{name}" for name in ("messages", "nodes", "history", "state")
            }
            assert {name.removesuffix("-v0001") for name in found} == names
            for name, index in found.items():
                assert list(index["aliases"]) == [name.removesuffix("-v0001")]
                assert index["mappings"]["dynamic"] == "strict"
                assert index["mappings"]["_meta"]["memoryscope_schema"] == len(MIGRATIONS)
            nodes = found[f"{config.prefix}-nodes-v0001"]["mappings"]
            assert nodes["_meta"]["embedder"]["fingerprint"] == SPEC.fingerprint
            (field,) = nodes["properties"]["dense"]["properties"].values()
            assert (field["dims"], field["index_options"]["type"]) == (8, "int8_hnsw")
            template = await client.indices.get_index_template(name=f"{config.prefix}-nodes")
            (held,) = template.body["index_templates"]
            assert held["index_template"]["index_patterns"] == [f"{config.prefix}-nodes-v*"]
            with pytest.raises(BadRequestError):
                await client.index(
                    index=f"{config.prefix}-nodes", routing="r", document={"surprise": 1}
                )

    asyncio.run(check())


def test_a_migration_copies_and_switches(config: ElasticsearchConfig) -> None:
    def shout(source: dict[str, Any]) -> dict[str, Any]:
        return source | {"speaker": "MIGRATED"}

    async def check() -> None:
        random = Random(1)
        later = (*MIGRATIONS, Migration("m002_later", {"nodes": shout}))
        async with opening(config) as store:
            await store.append(ALICE, [entry(message(f"m{n}", "tea"), random) for n in range(30)])
            await store.add_nodes(ALICE, [indexed(fact("f"), random)])
            await store.update_node(ALICE, indexed(fact("f", "likes tea")), version=1)
            (before,) = await store.search(ALICE, [request()])
            log, history = await store.messages(ALICE), await store.history(ALICE, "f")

            client = store._cluster.client
            nodes = f"{config.prefix}-nodes"
            # what a migration that was interrupted leaves
            await client.indices.create(index=f"{nodes}-v0002")
            await client.indices.create(index=f"{config.prefix}-migrating")
            with pytest.raises(StoreUnavailable, match=f"delete the index {config.prefix}-migrat"):
                await prepare(store._cluster, config, later)
            await client.indices.delete(index=f"{config.prefix}-migrating")
            await prepare(store._cluster, config, later)

            found = (await client.indices.get_alias(index=f"{config.prefix}-*")).body
            assert set(found) == {
                f"{config.prefix}-{name}-v0002"
                for name in ("messages", "nodes", "history", "state")
            }
            assert await store.messages(ALICE) == log
            assert await store.history(ALICE, "f") == history
            (after,) = await store.search(ALICE, [request()])
            assert after.ids == before.ids
            np.testing.assert_array_equal(after.dense, before.dense)
            assert after.speakers == ("MIGRATED",)
            await store.append(ALICE, [entry(message("new"), random)])
            assert await store.check() == ()
            await prepare(store._cluster, config, later)
        with pytest.raises(SchemaTooNew, match="upgrade"):
            await ElasticsearchStore.open(config, embedder=SPEC)

    asyncio.run(check())


def test_an_index_of_others_is_refused(config: ElasticsearchConfig) -> None:
    async def check() -> None:
        async with opening(config) as store:
            client = store._cluster.client
            other = config.model_copy(update={"prefix": f"{config.prefix}-other"})
            await client.indices.create(index=f"{other.prefix}-nodes")
        with pytest.raises(StoreCorrupt, match="no index of this package"):
            await ElasticsearchStore.open(other, embedder=SPEC)

    asyncio.run(check())


def test_a_deleted_index_is_not_made_anew_by_a_write(config: ElasticsearchConfig) -> None:
    async def check() -> None:
        async with opening(config) as store:
            client = store._cluster.client
            await client.indices.delete(index=f"{config.prefix}-messages-v0001")
            with pytest.raises(StoreCorrupt):
                await store.append(ALICE, [entry(message("m"))])
            with pytest.raises(NotFoundError):
                await client.indices.get(index=f"{config.prefix}-messages")

    asyncio.run(check())


def test_other_processes_writes_are_seen_without_waiting(config: ElasticsearchConfig) -> None:
    async def check() -> None:
        async with opening(config) as writer, opening(config) as reader:
            for number in range(5):
                new = entry(message(f"m{number}", "tea"), Random(number))
                await writer.append(ALICE, [new])
                (found,) = await reader.search(ALICE, [request()])
                assert len(found) == len(await reader.messages(ALICE)) == number + 1

    asyncio.run(check())


def test_refreshes_are_few(config: ElasticsearchConfig) -> None:
    async def check() -> None:
        async with opening(config) as store:
            await store.append(ALICE, [entry(message("m", "tea"), Random(1))])
            refresh, count = store._cluster.refresh, 0

            async def counted(index: Any) -> None:
                nonlocal count
                count += 1
                await refresh(index)

            store._cluster.refresh = counted  # type: ignore[method-assign]
            for _ in range(3):
                await asyncio.gather(*[store.search(ALICE, [request()]) for _ in range(10)])
            assert 2 <= count <= 4  # of two indices; those who wait share one
            eventual = config.model_copy(update={"consistency": "eventual"})
            async with opening(eventual) as relaxed:
                relaxed._cluster.refresh = counted  # type: ignore[method-assign]
                before = count
                await relaxed.append(ALICE, [entry(message("n", "tea"), Random(1))])
                await relaxed.search(ALICE, [request()])
                assert count == before

    asyncio.run(check())
