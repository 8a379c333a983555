"""Nodes with what they are found by: tokens and, where there is an embedder, vectors."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from memoryscope_rag import indexing, lexical
from memoryscope_rag.errors import ModelError
from memoryscope_rag.ports import Embedder, FloatArray, IndexedNode
from memoryscope_rag.schema import MemoryNode

_log = logging.getLogger(__name__)


async def embed_nodes(
    embedder: Embedder | None, nodes: Sequence[tuple[MemoryNode, str]]
) -> Mapping[str, tuple[FloatArray, FloatArray]]:
    """Vectors of (node, text with context) by node id: of the node, of it with its context.

    Empty when there is no embedder or when it fails: such nodes are found by their words, and get
    their vectors by ``reembed``.
    """
    if embedder is None or not nodes:
        return {}
    texts = [indexing.document_text(node.speaker, node.content) for node, _ in nodes]
    texts += [context for _, context in nodes]
    try:
        vectors = await embedder.embed(texts, "document")
    except ModelError as error:
        _log.warning("%d nodes stored without vectors: %s", len(nodes), type(error).__name__)
        return {}
    return {
        node.id: (vectors[index], vectors[len(nodes) + index])
        for index, (node, _) in enumerate(nodes)
    }


async def index_facts(
    embedder: Embedder | None, nodes: Sequence[MemoryNode]
) -> tuple[IndexedNode, ...]:
    """Observations, notes and insights, embedded all at once. Their context is themselves."""
    vectors = await embed_nodes(embedder, [(node, node.content) for node in nodes])
    indexed = []
    for node in nodes:
        terms = tuple(lexical.analyze(node.content))
        indexed.append(IndexedNode(node, terms, terms, *vectors.get(node.id, (None, None))))
    return tuple(indexed)
