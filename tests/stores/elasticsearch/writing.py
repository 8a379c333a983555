"""Writing to a store in a test, and whether all of it is there afterwards, once and in order.

As a program it is a child process that appends and prints each id once its append has returned:
``python -m tests.stores.elasticsearch.writing URL PREFIX NAME COUNT BATCH``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from random import Random

from memoryscope_rag.configs.model import ElasticsearchConfig
from memoryscope_rag.ports import LogEntry, MemoryStore, NodeFilter, Recorded
from memoryscope_rag.schema import Message
from memoryscope_rag.stores.elasticsearch.store import ElasticsearchStore
from memoryscope_rag.testing.samples import ALL_KINDS, SPEC
from tests.stores.writer import SCOPE, numbered, say

__all__ = ["SCOPE", "append", "entries", "names", "opened", "opening", "whole"]


def names(prefix: str, count: int, first: int = 0) -> list[str]:
    """Ids of messages."""
    return [f"{prefix}-{number}" for number in range(first, first + count)]


def entries(ids: Sequence[str]) -> list[LogEntry]:
    """A message with one node for each id, the same ones every time."""
    return [numbered(name, Random(name)) for name in ids]


async def opened(config: ElasticsearchConfig) -> ElasticsearchStore:
    """The store of a test."""
    return await ElasticsearchStore.open(config, embedder=SPEC)


@asynccontextmanager
async def opening(config: ElasticsearchConfig) -> AsyncIterator[ElasticsearchStore]:
    """The same for a block, closed at its end."""
    store = await opened(config)
    try:
        yield store
    finally:
        await store.close()


async def append(store: MemoryStore, ids: Sequence[str]) -> tuple[Recorded, ...]:
    """Append the messages of these ids."""
    return await store.append(SCOPE, entries(ids))


async def whole(store: MemoryStore, ids: Collection[str], *, ordered: bool = True) -> None:
    """Assert that the store holds these messages with their nodes, each once, and is sound."""
    log: list[Message] = []
    while page := await store.messages(SCOPE, after=log[-1].seq if log else 0):
        log += page
    found = [message.id for message in log]
    assert len(set(found)) == len(found)
    assert set(found) == set(ids)
    if ordered:
        assert found == list(ids)
    numbers = [message.seq for message in log]
    assert numbers == sorted(set(numbers))
    nodes: list[str] = []
    cursor = None
    while True:
        listed = await store.list_nodes(
            SCOPE, NodeFilter(kinds=ALL_KINDS), cursor=cursor, limit=1000
        )
        nodes += [node.id for node in listed.items]
        cursor = listed.cursor
        if cursor is None:
            break
    assert sorted(nodes) == sorted(f"{name}#0" for name in ids)
    assert await store.check() == ()


async def _main(url: str, prefix: str, name: str, count: int, batch: int) -> None:
    patient = ElasticsearchConfig(url=url, prefix=prefix, timeout_s=60.0, deadline_s=120.0)
    store = await opened(patient)
    for first in range(0, count, batch):
        ids = names(name, batch, first)
        await append(store, ids)
        say(" ".join(ids))
    await store.close()


if __name__ == "__main__":
    url, prefix, name, count, batch = sys.argv[1:]
    asyncio.run(_main(url, prefix, name, int(count), int(batch)))
