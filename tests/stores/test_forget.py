"""After ``forget`` the text is in no file: not in freed pages, logs, term hashes or vectors."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path
from random import Random

import numpy as np
import pytest

from memoryscope_rag.ports import IndexedNode
from memoryscope_rag.schema import NewMessage
from memoryscope_rag.stores import residue
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.samples import (
    ALICE,
    BOB,
    SPEC,
    START,
    entry,
    fact,
    indexed,
    message,
    random_entries,
    vector,
)

CANARY = "canary4711bird"
_COUNT = """
import pathlib, sys
needles = [bytes.fromhex(a) for a in sys.argv[2:]]
files = [p for p in pathlib.Path(sys.argv[1]).rglob("*") if p.is_file()]
print(sum(p.read_bytes().count(n) for p in files for n in needles))
"""


def traces(*extra: bytes) -> list[bytes]:
    """The canary as text in three encodings and as a term hash, and ``extra``."""
    return [
        CANARY.encode("utf-8"),
        CANARY.encode("utf-16-le"),
        CANARY.encode("utf-16-be"),
        blake2b(CANARY.encode(), digest_size=8).digest(),
        *extra,
    ]


def occurrences(folder: Path, needles: list[bytes]) -> int:
    """How often the needles stand in files; counted by a child, for opening a database file in
    this process would drop SQLite's locks on it."""
    arguments = [sys.executable, "-c", _COUNT, str(folder), *[n.hex() for n in needles]]
    return int(subprocess.run(arguments, capture_output=True, check=True, text=True).stdout)


def test_forgotten_text_is_in_no_file(tmp_path: Path) -> None:
    async def check() -> None:
        random = Random(1)
        store = SQLiteStore.open(tmp_path / "memory.db", embedder=SPEC)
        await store.append(ALICE, random_entries(random, 50))
        secret = vector(random)
        made = entry(message("m-secret", f"my {CANARY} is secret {CANARY}"), random)
        (node,) = made.nodes
        node = IndexedNode(node.node, node.terms, node.terms, secret, secret)
        after = entry(message("m-after", "yes"), random)
        (next_node,) = after.nodes
        context = IndexedNode(next_node.node, ("yes",), (CANARY, "yes"), secret, secret)
        await store.append(
            ALICE, [type(made)(made.message, (node,)), type(made)(after.message, (context,))]
        )
        await store.append(ALICE, random_entries(random, 50, "later"))
        # an observation that once said it, and an insight upon that
        await store.add_nodes(ALICE, [indexed(fact("o", f"has {CANARY}", sources=["m-secret"]))])
        await store.update_node(ALICE, indexed(fact("o", "a bird", sources=["m-after"])), version=1)
        await store.add_nodes(
            ALICE, [indexed(fact("i", f"likes {CANARY}", kind="insight", sources=["o"]))]
        )
        needles = traces(secret.astype("<f2").tobytes())
        # the vector of the turn after is its own; only its context saw the secret
        assert occurrences(tmp_path, needles) > 5
        done = await store.forget(ALICE, message_ids=["m-secret"])
        assert done.proven
        assert set(done.node_ids) == {"m-secret#0", "o", "i"}
        assert occurrences(tmp_path, traces()) == 0
        assert await store.check() == ()
        assert len(await store.messages(ALICE)) == 101
        await store.close()
        assert occurrences(tmp_path, traces()) == 0

    asyncio.run(check())


@pytest.mark.parametrize("seed", range(3))
def test_pages_that_were_split_keep_no_old_copy(tmp_path: Path, seed: int) -> None:
    """Random inserts, updates and deletions leave copies of cells that secure_delete misses."""

    async def check() -> None:
        random = Random(seed)
        store = SQLiteStore.open(tmp_path / "memory.db", embedder=None)
        names: list[str] = []
        for number in range(60):
            entries = []
            for _ in range(10):
                name = (
                    f"{random.random()}{CANARY}" if random.random() < 0.5 else f"{random.random()}"
                )
                mark = CANARY * random.choice([1, 5, 40]) if CANARY in name else "x" * 300
                entries.append(entry(NewMessage(name, f"s{number}", "user", mark, START)))
                names.append(name)
            await store.append(random.choice([ALICE, BOB]), entries)
            for scope in (ALICE, BOB):
                held = [m.id for m in await store.messages(scope)]
                some = random.sample(held, min(5, len(held)))
                await store.mark(scope, some, "parked", "r" * random.choice([1, 100, 900]))
        for scope in (ALICE, BOB):
            held = [m.id for m in await store.messages(scope) if CANARY in m.id]
            half = len(held) // 2
            assert (await store.forget(scope, message_ids=held[:half])).proven
            assert (await store.forget(scope, message_ids=held[half:], compact=seed == 2)).proven
        assert occurrences(tmp_path, [CANARY.encode()]) == 0
        assert await store.check() == ()
        await store.close()

    asyncio.run(check())


def test_erasing_a_scope_takes_its_names_too(tmp_path: Path) -> None:
    async def check() -> None:
        store = SQLiteStore.open(tmp_path / "memory.db", embedder=SPEC)
        scope = type(ALICE)(CANARY, CANARY, CANARY)
        await store.append(scope, random_entries(Random(1), 10))
        await store.acquire(scope, "x", CANARY, 60)
        await store.append(BOB, random_entries(Random(1), 10))
        assert (await store.forget(scope, everything=True)).proven
        assert occurrences(tmp_path, traces()) == 0
        assert len(await store.messages(BOB)) == 10
        await store.close()

    asyncio.run(check())


def test_compact_gives_space_back(tmp_path: Path) -> None:
    async def check() -> None:
        store = SQLiteStore.open(tmp_path / "memory.db", embedder=SPEC)
        await store.append(ALICE, random_entries(Random(1), 2000))
        before = (await store.stats()).bytes
        await store.forget(ALICE, everything=True, compact=True)
        assert (await store.stats()).bytes < before / 3
        await store.close()

    asyncio.run(check())


def _hold(path: str, ready: object, go: object) -> None:
    connection = sqlite3.connect(path)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM messages").fetchone()
    ready.set()  # type: ignore[attr-defined]
    go.wait()  # type: ignore[attr-defined]
    connection.close()


def test_a_reader_elsewhere_makes_it_unproven_until_it_leaves(tmp_path: Path) -> None:
    async def check() -> None:
        path = tmp_path / "memory.db"
        store = SQLiteStore.open(path, embedder=SPEC)
        await store.append(ALICE, [entry(message("m1", f"my {CANARY}"))])
        spawn = multiprocessing.get_context("spawn")
        ready, go = spawn.Event(), spawn.Event()
        holder = spawn.Process(target=_hold, args=(str(path), ready, go))
        holder.start()
        assert ready.wait(30)
        done = await store.forget(ALICE, message_ids=["m1"])
        assert done.messages == 1
        assert not done.proven
        assert any("forgotten" in problem for problem in await store.check())
        go.set()
        holder.join()
        again = await store.forget(ALICE, message_ids=["m1"])
        assert again.proven
        assert occurrences(tmp_path, traces()) == 0
        assert await store.check() == ()
        await store.close()

    asyncio.run(check())


def test_unused_bytes_are_found() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (x TEXT)")
    connection.execute("INSERT INTO t VALUES ('live text that is in use')")
    connection.commit()
    image = bytearray(connection.serialize())
    connection.close()
    assert not residue.left_behind(bytes(image), [b"live text that is in use"])
    page = 4096
    image[page + 100 : page + 120] = b"stale stale stale st"
    assert b"stale" in residue.unused_bytes(bytes(image))
    assert residue.left_behind(bytes(image), [b"stale stale stale stale"])
    assert np.array_equal(len(image) % page, 0)
