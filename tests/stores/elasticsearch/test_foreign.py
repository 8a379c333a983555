"""Importing from an index as MemoryScope leaves it on a server, pickles and all."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from memoryscope_rag import MemoryScope
from memoryscope_rag.cli.run import run
from memoryscope_rag.configs.model import ElasticsearchConfig
from memoryscope_rag.errors import StoreError
from memoryscope_rag.stores.elasticsearch.connection import connect
from memoryscope_rag.stores.elasticsearch.foreign import documents
from tests.operations.test_memoryscope_index import POISON, SAMPLE, document

COUNT = 600


async def fill(config: ElasticsearchConfig, index: str) -> None:
    """What MemoryScope's store writes, with the mapping that it lets the server guess."""
    notes = [document(f"n{n}", "obs_customized", f"Ann said {n}") for n in range(COUNT)]
    client = connect(config)
    try:
        items: list[dict[str, object]] = []
        for hit in [*SAMPLE, *notes]:
            assert hit["_source"]["metadata"]["key_vector"] == POISON
            items += [{"index": {"_index": index, "_id": hit["_id"]}}, hit["_source"]]
        answer = await client.bulk(operations=items, refresh=True)
        assert not answer.body["errors"]
    finally:
        await client.close()


def test_an_index_is_read_whole_and_without_its_pickles(config: ElasticsearchConfig) -> None:
    async def check() -> None:
        index = f"{config.prefix}-memory_index"
        await fill(config, index)
        found = [hit async for hit in documents(config, index)]
        assert len({hit["_id"] for hit in found}) == len(found) == COUNT + len(SAMPLE)
        for hit in found:
            assert set(hit["_source"]) == {"content", "metadata"}
            assert not {"key_vector", "_node_content"} & set(hit["_source"]["metadata"])
        with pytest.raises(StoreError, match="nothing"):
            async for _ in documents(config, f"{config.prefix}-nothing"):
                pass

    asyncio.run(check())


def test_the_command_imports_it(
    config: ElasticsearchConfig, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = f"{config.prefix}-memory_index"
    asyncio.run(fill(config, index))
    monkeypatch.setenv("MEMORYSCOPE_EMBEDDER__NAME", "none")
    for name in ("username", "password", "ca_certs"):
        if (value := getattr(config, name)) is not None:
            monkeypatch.setenv(f"MEMORYSCOPE_STORE__ELASTICSEARCH__{name.upper()}", str(value))
    assert run(["import", f"{config.url}/{index}", "--store", "memory.db"]) == 0
    with MemoryScope.open("memory.db") as memory:
        counts = memory.stats(scope="Ann")
        assert (counts.messages, counts.nodes["note"], counts.nodes["insight"]) == (1, COUNT + 1, 1)
