"""Processes that record through one outbox, are killed, and share it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from memoryscope_rag.schema import Message
from memoryscope_rag.stores.outbox import OutboxStore
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.samples import SPEC
from tests.stores.children import killed_after, start
from tests.stores.test_outbox import delivered
from tests.stores.writer import SCOPE

KILLS = 12
CHILD = Path(__file__).with_name("outbox_child.py")


async def log_after_delivery(folder: Path) -> list[Message]:
    """The whole log once nothing waits any more; the store is sound."""
    inner = SQLiteStore.open(folder / "memory.db", embedder=SPEC)
    box = await OutboxStore.open(inner, folder / "outbox.db", embedder=SPEC)
    try:
        await delivered(box)
        log: list[Message] = []
        while page := await box.messages(SCOPE, after=log[-1].seq if log else 0):
            log += page
        assert await box.check() == ()
        assert await box.unembedded(1) == ()
        return log
    finally:
        await box.close()


def numbers(log: list[Message], prefix: str) -> list[int]:
    """What a child recorded, in the order of the log."""
    return [int(m.id.split("-")[1]) for m in log if m.id.startswith(f"{prefix}-")]


def test_what_waits_survives_a_kill(tmp_path: Path) -> None:
    child = start(tmp_path, "shut", "0", script=CHILD)
    acknowledged = killed_after(child, 0.5)
    assert len(acknowledged) > 20
    log = asyncio.run(log_after_delivery(tmp_path))
    here = [m.id for m in log]
    # the last one may have been written and not yet told
    assert here[: len(acknowledged)] == acknowledged
    assert len(here) <= len(acknowledged) + 1


@pytest.mark.slow
def test_kills_while_it_delivers_lose_and_double_nothing(tmp_path: Path) -> None:
    random = Random(5)
    acknowledged: set[str] = set()
    for number in range(KILLS):
        child = start(tmp_path, f"r{number}", "0", script=CHILD)
        acknowledged.update(killed_after(child, random.uniform(0.05, 0.4)))
    log = asyncio.run(log_after_delivery(tmp_path))
    assert acknowledged <= {m.id for m in log}
    assert len({m.id for m in log}) == len(log)
    for number in range(KILLS):
        recorded = numbers(log, f"r{number}")
        assert recorded == sorted(recorded)
    assert len(acknowledged) > 100


@pytest.mark.slow
def test_processes_share_an_outbox(tmp_path: Path) -> None:
    children = [start(tmp_path, f"p{n}", "400", script=CHILD) for n in range(3)]
    for child in children:
        out, _ = child.communicate(timeout=120)
        assert child.returncode == 0
        assert len(out.splitlines()) == 400
    log = asyncio.run(log_after_delivery(tmp_path))
    assert len(log) == 1200
    for number in range(3):
        assert numbers(log, f"p{number}") == list(range(400))
