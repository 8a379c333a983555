"""What the beacon memories of some scopes hold, and how they are used."""

from __future__ import annotations

from collections.abc import Sequence

from memoryscope_rag.errors import ModelError, StoreError
from memoryscope_rag.operations.refresh import LAST
from memoryscope_rag.operations.trusted_memory import TrustedMemory
from memoryscope_rag.ports import Coverage, MemoryCounts, MemoryStore
from memoryscope_rag.schema import Scope
from memoryscope_rag.workers.backend.agreement import agreement


async def count_memory(
    memory: TrustedMemory, store: MemoryStore, scopes: Sequence[Scope]
) -> MemoryCounts:
    """Sums over ``scopes``; no model is opened. Raises StoreError for the log only."""
    covered = lag = tokens = rows = size = 0
    seconds, problem = 0.0, None
    for scope in scopes:
        coverage = Coverage()
        try:
            coverage = await memory.coverage(scope)
        except (ModelError, StoreError) as error:
            problem = str(error)
        agreed = await agreement(store, scope, coverage.message_ids)
        covered += len(coverage.message_ids)
        lag += max(0, await store.count(scope, LAST) - agreed.count)
        tokens += coverage.tokens
        rows += coverage.rows
        size += coverage.bytes
        seconds += coverage.seconds
    counts = memory.counts
    return MemoryCounts(
        model=memory.model,
        covered=covered,
        lag=lag,
        tokens=tokens,
        rows=rows,
        bytes=size,
        seconds=seconds,
        asked=counts.asked,
        cached=counts.cached,
        refused=counts.refused,
        problem=problem,
    )
