"""The store with an outbox held to the contract of all stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from memoryscope_rag.ports import EmbedderSpec, MemoryStore
from memoryscope_rag.stores.outbox import OutboxStore
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.store_contract import StoreContract


class TestOutboxStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    async def open_store(
        self, embedder: EmbedderSpec | None, *, reembedding: bool = False
    ) -> MemoryStore:
        inner = SQLiteStore.open(
            self.folder / "memory.db", embedder=embedder, reembedding=reembedding
        )
        return await OutboxStore.open(inner, self.folder / "outbox.db", embedder=embedder)
