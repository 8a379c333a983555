"""Reembed: a vector of the present model for every node, resumable at any point."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from memoryscope_rag.errors import ModelError
from memoryscope_rag.operations.record import context_texts
from memoryscope_rag.ports import Embedder, MemoryStore
from memoryscope_rag.schema import MemoryNode, Scope
from memoryscope_rag.workers.indexed import embed_nodes

BATCH = 128


async def reembed(
    store: MemoryStore,
    embedder: Embedder,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Embed what lacks a vector, then switch the store to ``embedder``; how many were embedded.

    Every batch is durable, so an interrupted run goes on where it stopped. Raises ModelError.
    """
    await store.begin_reembed(embedder.spec)
    total = (await store.stats()).missing_vectors
    done = 0
    while count := await embed_missing(store, embedder):
        done += count
        if progress is not None:
            progress(done, max(total, done))
    await store.finish_reembed()
    return done


async def embed_missing(store: MemoryStore, embedder: Embedder) -> int:
    """Embed a batch of what lacks a vector; how many nodes that were. Raises ModelError."""
    by_scope: dict[Scope, list[MemoryNode]] = defaultdict(list)
    for scope, node in await store.unembedded(BATCH):
        by_scope[scope].append(node)
    for scope, nodes in by_scope.items():
        contexts = await context_texts(store, scope, nodes)
        vectors = await embed_nodes(embedder, list(zip(nodes, contexts, strict=True)))
        if not vectors:
            raise ModelError("embedding failed; what is done is kept", retryable=True)
        await store.set_vectors(scope, vectors)
    return sum(map(len, by_scope.values()))
