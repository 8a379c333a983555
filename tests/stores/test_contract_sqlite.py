"""The SQLite store held to the contract of all stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from memoryscope_rag.ports import EmbedderSpec, MemoryStore
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.store_contract import StoreContract


class TestSQLiteStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "deeper" / "memory.db"

    async def open_store(
        self, embedder: EmbedderSpec | None, *, reembedding: bool = False
    ) -> MemoryStore:
        return SQLiteStore.open(self.path, embedder=embedder, reembedding=reembedding)
