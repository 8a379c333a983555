"""A child process that records through an outbox and prints each id once it was acknowledged.

``python outbox_child.py FOLDER PREFIX COUNT``: the database is away again and again; a COUNT of 0
writes until killed, and with the name ``shut`` as PREFIX the database never comes.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from memoryscope_rag.stores.outbox import OutboxStore
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.samples import SPEC
from tests.stores.doors import Door
from tests.stores.writer import SCOPE, numbered, say


async def write(folder: Path, prefix: str, count: int) -> None:
    """Record one message after the other, whether the database is there or not."""
    inner = SQLiteStore.open(folder / "memory.db", embedder=SPEC)
    door = Door(inner, shut=prefix.startswith("shut"))
    box = await OutboxStore.open(door.store, folder / "outbox.db", embedder=SPEC)
    random = Random(prefix)
    number = 0
    while not count or number < count:
        if not prefix.startswith("shut") and random.random() < 0.1:
            door.shut = not door.shut
        if random.random() < 0.1:
            door.lost = 1
        name = f"{prefix}-{number}"
        (outcome,) = await box.append(SCOPE, [numbered(name, random)])
        assert outcome.status in {"stored", "waiting"}
        say(name)
        await asyncio.sleep(random.random() * 0.002)
        number += 1
    door.shut = False
    await box.close()


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
