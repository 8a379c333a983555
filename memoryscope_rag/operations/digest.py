"""The digest of a scope: one number for all that is kept of it, the same in any store.

Messages count in their order, nodes in every version, with provenance and whether reflection has
dealt with them. Sequence numbers count by their order only, for a store gives its own. Vectors do
not count: half precision may round them once more on their way from one store to another.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from memoryscope_rag.operations.portability import message_to_dict, node_to_dict
from memoryscope_rag.ports import MemoryStore, NodeFilter
from memoryscope_rag.schema import MemoryNode, Scope

PAGE = 500
REFLECTED = NodeFilter(
    kinds=frozenset({"observation", "note", "insight"}), closed=True, reflected=True
)
"""The nodes that reflection has dealt with."""

Advance = Callable[[int], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Digest:
    """What a scope holds: counts, and SHA-256 over everything, in hex."""

    messages: int
    nodes: int
    sha256: str


async def digest(store: MemoryStore, scope: Scope, advance: Advance = lambda count: None) -> Digest:
    """Read the whole scope; ``advance`` hears of every so many messages and nodes."""
    seqs, log = await _messages(store, scope, advance)
    reflected = {node.id async for page in pages(store, scope, REFLECTED) for node in page}
    count = total = 0
    async for nodes in pages(store, scope, NodeFilter(closed=True)):
        for node in nodes:
            versions = (node,) if node.version == 1 else await store.history(scope, node.id)
            body = {
                "versions": [
                    {**node_to_dict(version), "seq": bisect_right(seqs, version.seq)}
                    for version in versions
                ],
                "reflected": node.id in reflected,
            }
            # a sum, since stores need not agree on the order of ids
            total += int.from_bytes(_hash(body), "big")
        count += len(nodes)
        advance(len(nodes))
    whole = _hash({"log": log, "nodes": hex(total % (1 << 256))})
    return Digest(len(seqs), count, whole.hex())


async def pages(
    store: MemoryStore, scope: Scope, where: NodeFilter
) -> AsyncIterator[tuple[MemoryNode, ...]]:
    """All nodes of a list, a page at a time."""
    cursor: str | None = None
    while True:
        page = await store.list_nodes(scope, where, cursor=cursor, limit=PAGE)
        yield page.items
        cursor = page.cursor
        if cursor is None:
            return


async def _messages(store: MemoryStore, scope: Scope, advance: Advance) -> tuple[list[int], str]:
    seqs: list[int] = []
    log = hashlib.sha256()
    while batch := await store.messages(scope, after=seqs[-1] if seqs else 0, limit=PAGE):
        for message in batch:
            log.update(_hash({**message_to_dict(message), "attempts": message.attempts}))
            seqs.append(message.seq)
        advance(len(batch))
    return seqs, log.hexdigest()


def _hash(data: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).digest()
