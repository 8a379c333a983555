"""A writer is killed a hundred times; nothing that it was told is durable may be lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from memoryscope_rag.schema import Message
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.samples import SPEC
from tests.stores.children import killed_after, start
from tests.stores.writer import SCOPE

KILLS = 100
AT_ONCE = 2
CHECK_EVERY = 10


async def _log(path: Path, *, check: bool) -> tuple[Message, ...]:
    store = SQLiteStore.open(path, embedder=SPEC)
    try:
        if check:
            assert await store.check() == ()
        found: list[Message] = []
        while page := await store.messages(SCOPE, after=found[-1].seq if found else 0):
            found += page
        nodes = await store.nodes(SCOPE, [f"{message.id}#0" for message in found])
        assert len(nodes) == len(found)
        return tuple(found)
    finally:
        await store.close()


@pytest.mark.slow
def test_no_acknowledged_write_is_lost_in_a_hundred_kills(tmp_path: Path) -> None:
    random = Random(20)
    acknowledged: set[str] = set()
    forgotten: set[str] = set()
    path = tmp_path / "memory.db"
    for round_number in range(0, KILLS, AT_ONCE):
        children = [start(path, f"r{round_number + n}", "0") for n in range(AT_ONCE)]
        for child in children:
            for line in killed_after(child, random.uniform(0.02, 0.15)):
                if line.startswith("forgot "):
                    forgotten.add(line.removeprefix("forgot "))
                else:
                    acknowledged.add(line)
        check = round_number % CHECK_EVERY == 0 or round_number + AT_ONCE >= KILLS
        held = asyncio.run(_log(path, check=check))
        here = {message.id for message in held}
        # a message whose forget was not acknowledged may be there or not
        uncertain = {_forgotten_next(name) for name in acknowledged} - forgotten
        assert acknowledged - here <= forgotten | uncertain
        assert not here & forgotten
        assert len(here) == len({message.seq for message in held}) == len(held)
    assert len(acknowledged) > KILLS


def _forgotten_next(name: str) -> str:
    prefix, number = name.split("-")
    return f"{prefix}-{int(number) - 5}" if int(number) % 10 == 9 else ""
