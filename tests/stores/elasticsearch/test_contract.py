"""The Elasticsearch store held to the contract of all stores, on a real server."""

from __future__ import annotations

import pytest

from memoryscope_rag.configs.model import ElasticsearchConfig
from memoryscope_rag.ports import EmbedderSpec, MemoryStore
from memoryscope_rag.stores.elasticsearch.store import ElasticsearchStore
from memoryscope_rag.testing.store_contract import StoreContract


class TestElasticsearchStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _settings(self, config: ElasticsearchConfig) -> None:
        self.config = config

    async def open_store(
        self, embedder: EmbedderSpec | None, *, reembedding: bool = False
    ) -> MemoryStore:
        return await ElasticsearchStore.open(
            self.config, embedder=embedder, reembedding=reembedding
        )
