"""An outbox forgets without a trace, and what its disk cannot take is not acknowledged."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.ports import IndexedNode, LogEntry
from memoryscope_rag.schema import Scope
from memoryscope_rag.stores.outbox import OutboxStore
from memoryscope_rag.testing.samples import ALICE, BOB, entry, message, random_entries, vector
from tests.stores.test_faults import child
from tests.stores.test_forget import CANARY, occurrences, traces
from tests.stores.test_outbox import delivered, opened


def secret(name: str, random: Random) -> tuple[LogEntry, bytes]:
    """A message that is to leave no trace, and the bytes of its vector."""
    made = entry(message(name, f"my {CANARY} is {name} {CANARY} " * 20), random)
    marked = vector(random)
    (node,) = made.nodes
    nodes = (IndexedNode(node.node, node.terms, node.terms, marked, marked),)
    return LogEntry(made.message, nodes), marked.astype("<f2").tobytes()


def test_forgotten_text_is_in_no_file(tmp_path: Path) -> None:
    async def check() -> None:
        random = Random(1)
        async with opened(tmp_path) as (box, door):
            await box.append(ALICE, [entry(message("taken"))])
            door.shut = True
            await box.append(ALICE, random_entries(random, 100))
            delivered_one, first = secret("early", random)
            await box.append(ALICE, [delivered_one])
            refused_one, second = secret("taken", random)
            await box.append(ALICE, [refused_one])
            door.shut = False
            await delivered(box)
            door.shut = True
            await box.append(ALICE, random_entries(random, 50, "later"))
            waiting_one, third = secret("late", random)
            await box.append(ALICE, [waiting_one])
            needles = [*traces(), first, second, third]
            assert occurrences(tmp_path, needles) > 10
            names = ["early", "taken", "late"]
            with pytest.raises(StoreUnavailable, match="the cluster is away"):
                await box.forget(ALICE, message_ids=names)
            assert len(await box.get_messages(ALICE, names)) == 1
            # shut to new messages only, so that the last one waits still
            door.shut, door.deaf = False, {"append"}
            gone = await box.forget(ALICE, message_ids=names)
            assert (gone.messages, gone.proven) == (4, True)
            assert occurrences(tmp_path, needles) == 0
            state = (await box.stats()).outbox
            assert state is not None
            assert (state.waiting, state.refused) == (50, 0)
            assert await box.check() == ()

    asyncio.run(check())


def test_a_session_and_a_scope_are_forgotten_whole(tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path, shut=True) as (box, door):
            scope = Scope(CANARY, CANARY, CANARY)
            await box.append(scope, random_entries(Random(1), 30))
            await box.append(BOB, [entry(message(f"m{n}", session=f"s{n % 2}")) for n in range(6)])
            door.shut, door.deaf = False, {"append"}
            assert (await box.forget(scope, everything=True)).messages == 30
            assert occurrences(tmp_path, traces()) == 0
            assert (await box.forget(BOB, session_id="s1")).messages == 3
        async with opened(tmp_path) as (box, _):
            await delivered(box)
            assert {m.session_id for m in await box.messages(BOB)} == {"s0"}
            assert await box.messages(scope) == ()

    asyncio.run(check())


def test_what_is_on_its_way_does_not_come_back(tmp_path: Path) -> None:
    async def check() -> None:
        async with opened(tmp_path, shut=True) as (box, door):
            await box.append(ALICE, [entry(message(f"m{n}")) for n in range(3)])
            # another one is delivering, slowly, when it is asked to forget
            second = await OutboxStore.open(door.store, tmp_path / "outbox.db", embedder=None)
            door.shut, door.slow = False, 0.3
            await box.stats()
            await asyncio.sleep(0.6)
            gone = await second.forget(ALICE, message_ids=["m1"])
            assert gone.messages == 1
            await delivered(box)
            assert [m.id for m in await box.messages(ALICE)] == ["m0", "m2"]
            await second.close()

    asyncio.run(check())


def test_a_full_disk_acknowledges_nothing(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    code = """
import asyncio, resource, sys
from pathlib import Path
from random import Random
from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.testing.samples import ALICE, random_entries
from tests.stores.test_outbox import delivered, opened

async def run():
    folder = Path(sys.argv[1])
    async with opened(folder, shut=True) as (box, door):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        failed = 0
        for n in range(40):
            try:
                await box.append(ALICE, random_entries(Random(n), 100, f"x{n}-"))
            except StoreUnavailable as error:
                failed += 1
                assert "full" in str(error), error
        assert 0 < failed < 40
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        door.shut = False
        await delivered(box)
        held = len(await box.messages(ALICE, limit=100_000))
        assert held == 100 * (40 - failed), (failed, held)
    print("fine")

asyncio.run(run())
"""
    assert child(code, tmp_path) == "fine\n"
