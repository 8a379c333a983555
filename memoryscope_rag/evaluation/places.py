"""Where a benchmark keeps its stores: files in a temporary folder, or indices on a cluster.

Both are the benchmark's own and are removed at its end.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from memoryscope_rag.configs.model import Config, ElasticsearchConfig, StoreConfig
from memoryscope_rag.ports import EmbedderSpec, MemoryStore


class Place(Protocol):
    """Opens stores by name; what was written to one is there when it is opened again."""

    async def open(self, name: str, spec: EmbedderSpec | None) -> MemoryStore:
        """The store ``name``, for vectors of ``spec``; made at first."""
        ...

    def settings(self, name: str) -> StoreConfig:
        """Those with which an application opens the store ``name``."""
        ...


class Folder:
    """SQLite files in ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def open(self, name: str, spec: EmbedderSpec | None) -> MemoryStore:
        """See :class:`Place`."""
        from memoryscope_rag.stores.sqlite import SQLiteStore

        return SQLiteStore.open(self.settings(name).path, embedder=spec)

    def settings(self, name: str) -> StoreConfig:
        """See :class:`Place`."""
        return StoreConfig(path=self._path / f"{name}.db")


class OnCluster:
    """Indices of a prefix that nobody else has, without an outbox."""

    def __init__(self, config: ElasticsearchConfig) -> None:
        self._config = config.model_copy(
            update={"prefix": f"{config.prefix}-bench-{uuid.uuid4().hex[:12]}", "outbox": False}
        )

    async def open(self, name: str, spec: EmbedderSpec | None) -> MemoryStore:
        """See :class:`Place`."""
        from memoryscope_rag.stores.elasticsearch.store import ElasticsearchStore

        return await ElasticsearchStore.open(self.settings(name).elasticsearch, embedder=spec)

    async def clear(self) -> None:
        """Delete all that was made."""
        from memoryscope_rag.stores.elasticsearch.connection import connect
        from memoryscope_rag.stores.elasticsearch.indices import remove

        client = connect(self._config)
        try:
            await remove(client, self._config.prefix)
        finally:
            await client.close()

    def settings(self, name: str) -> StoreConfig:
        """See :class:`Place`."""
        cluster = self._config.model_copy(update={"prefix": f"{self._config.prefix}-{name}"})
        return StoreConfig(provider="elasticsearch", elasticsearch=cluster)


@asynccontextmanager
async def temporary(config: Config | None = None) -> AsyncIterator[Place]:
    """A place on the database of ``config``, SQLite without one, emptied at the end."""
    if config is None or config.store.provider == "sqlite":
        with tempfile.TemporaryDirectory(prefix="memoryscope-rag-bench-") as folder:
            yield Folder(Path(folder))
        return
    cluster = OnCluster(config.store.elasticsearch)
    try:
        yield cluster
    finally:
        await cluster.clear()
