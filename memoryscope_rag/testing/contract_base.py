"""The ground of the store contract: opening a store within a test and running coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from memoryscope_rag.ports import EmbedderSpec, MemoryStore
from memoryscope_rag.testing.samples import SPEC


class ContractBase:
    """Subclasses give :meth:`open_store`."""

    async def open_store(
        self, embedder: EmbedderSpec | None, *, reembedding: bool = False
    ) -> MemoryStore:
        """Open this test's store, the same one each time; empty before the first time."""
        raise NotImplementedError

    @asynccontextmanager
    async def store(
        self, embedder: EmbedderSpec | None = SPEC, *, reembedding: bool = False
    ) -> AsyncIterator[MemoryStore]:
        """This test's store, closed at the end of the block."""
        store = await self.open_store(embedder, reembedding=reembedding)
        try:
            yield store
        finally:
            await store.close()

    @staticmethod
    def run(coroutine: Coroutine[Any, Any, None]) -> None:
        """Run one test's coroutine in an event loop of its own."""
        asyncio.run(coroutine)
