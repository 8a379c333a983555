"""A child process that writes to a store and prints each id once its write has returned.

``python writer.py FILE PREFIX COUNT [REEMBED]``: COUNT 0 writes until killed.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from memoryscope_rag.ports import IndexedNode, LogEntry
from memoryscope_rag.schema import MemoryNode, NewMessage, Scope
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.samples import OTHER_SPEC, SPEC, vector

SCOPE = Scope("writer")


def say(line: str) -> None:
    """Print a line at once, whole."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def numbered(name: str, random: Random) -> LogEntry:
    """A message with one node, like what ``record`` makes."""
    new = NewMessage(name, "s", "user", f"text of {name}", datetime(2024, 1, 1, tzinfo=UTC))
    node = MemoryNode(
        f"{name}#0", "conversation", new.content, new.created_at, (name,), "s", span=(0, 9)
    )
    terms = tuple(new.content.split())
    return LogEntry(new, (IndexedNode(node, terms, terms, vector(random), vector(random)),))


async def write(path: str, prefix: str, count: int) -> None:
    """Append one message a transaction; every tenth is followed by an update and a deletion."""
    store = SQLiteStore.open(path, embedder=SPEC)
    random = Random(prefix)
    number = 0
    while not count or number < count:
        name = f"{prefix}-{number}"
        made = numbered(name, random)
        await store.append(SCOPE, [made])
        say(name)
        if not count and number % 10 == 9:
            await store.update_node(SCOPE, made.nodes[0], version=1)
            await store.forget(SCOPE, message_ids=[f"{prefix}-{number - 5}"])
            say(f"forgot {prefix}-{number - 5}")
        number += 1
    await store.close()


async def reembed(path: str) -> None:
    """Change over to the other model, slowly."""
    store = SQLiteStore.open(path, embedder=OTHER_SPEC, reembedding=True)
    await store.begin_reembed(OTHER_SPEC)
    random = Random(1)
    while lacking := await store.unembedded(5):
        for scope, node in lacking:
            await store.set_vectors(scope, {node.id: (vector(random, 12), vector(random, 12))})
            say(node.id)
    await store.finish_reembed()
    await store.close()


if __name__ == "__main__":
    if sys.argv[2] == "reembed":
        asyncio.run(reembed(sys.argv[1]))
    else:
        asyncio.run(write(sys.argv[1], sys.argv[2], int(sys.argv[3])))
