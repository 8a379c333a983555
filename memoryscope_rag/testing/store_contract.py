"""What every :class:`~memoryscope_rag.ports.MemoryStore` must do, as tests to subclass.

    class TestMyStore(StoreContract):
        async def open_store(self, embedder, *, reembedding=False):
            return await MyStore.connect(self.address, embedder, ...)

``open_store`` opens the *same* store each time it is called within one test, and a fresh, empty
one in the next test. The suite closes what it opened. It needs pytest and no plugin.
"""

from __future__ import annotations

from memoryscope_rag.testing.contract_backend import BackendContract
from memoryscope_rag.testing.contract_log import LogContract
from memoryscope_rag.testing.contract_nodes import NodeContract
from memoryscope_rag.testing.contract_removal import RemovalContract
from memoryscope_rag.testing.contract_search import SearchContract


class StoreContract(LogContract, NodeContract, SearchContract, RemovalContract, BackendContract):
    """All of it: log, nodes, search, removal, re-embedding, backend writes."""
