"""What the world can do to the file: each gives one clear error, and no data are harmed."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from memoryscope_rag.errors import SchemaTooNew, StoreCorrupt, StoreError, StoreUnavailable
from memoryscope_rag.ports import NodeFilter
from memoryscope_rag.stores import connections, sqlite_errors
from memoryscope_rag.stores.connections import PAGE_SIZE
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.samples import ALICE, SPEC, entry, message, random_entries

ROOT = Path(__file__).resolve().parents[2]


def filled(path: Path, count: int = 200) -> None:
    """A closed store with some messages."""

    async def fill() -> None:
        store = SQLiteStore.open(path, embedder=SPEC)
        await store.append(ALICE, random_entries(Random(1), count))
        await store.close()

    asyncio.run(fill())


def test_no_sqlite_file(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    path.write_bytes(b"this is a letter to my aunt. " * 500)
    with pytest.raises(StoreCorrupt, match=r"memory\.db is damaged or is no SQLite file"):
        SQLiteStore.open(path, embedder=SPEC)
    assert path.read_bytes().startswith(b"this is a letter")


def test_the_database_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.commit()
    connection.close()
    with pytest.raises(StoreCorrupt, match="another program"):
        SQLiteStore.open(path, embedder=SPEC)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("bookmarks",)]
    connection.close()


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    path.touch()
    filled(path, 1)


def test_a_schema_of_the_future(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    filled(path, 1)
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO migrations (name, applied_at) VALUES ('m999_more', 0)")
    connection.commit()
    connection.close()
    with pytest.raises(SchemaTooNew, match="m999_more"):
        SQLiteStore.open(path, embedder=SPEC)


@pytest.mark.parametrize("where", ["middle", "everything but the header", "cut short"])
def test_damage_is_named(tmp_path: Path, where: str) -> None:
    path = tmp_path / "memory.db"
    filled(path)
    data = bytearray(path.read_bytes())
    if where == "middle":
        # the second page on: tables and indexes, some of them
        for page in range(2, len(data) // PAGE_SIZE, 2):
            data[page * PAGE_SIZE : page * PAGE_SIZE + 200] = os.urandom(200)
    elif where == "cut short":
        del data[len(data) // 2 :]
    else:
        data[PAGE_SIZE:] = os.urandom(len(data) - PAGE_SIZE)
    path.write_bytes(data)

    async def use() -> None:
        store = SQLiteStore.open(path, embedder=SPEC)
        try:
            problems = await store.check()
            assert problems
            assert "damaged" in problems[0]
            await store.messages(ALICE, limit=1000)
            await store.list_nodes(ALICE, NodeFilter(closed=True), limit=1000)
            await store.append(ALICE, [entry(message(f"new{n}")) for n in range(200)])
        finally:
            await store.close()

    with pytest.raises(StoreCorrupt):
        asyncio.run(use())


def test_damage_in_content_is_found_by_check(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    filled(path, 10)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("DELETE FROM messages WHERE id = 'm1'")
    connection.execute("UPDATE terms SET turn = x'00' WHERE node = 2")
    connection.execute("UPDATE vectors SET turn = x'0000' WHERE key = 1")
    connection.execute("INSERT INTO vectors (node, model) VALUES (777, 1)")
    connection.execute("UPDATE nodes SET version = 5, generation = 900 WHERE key = 3")
    connection.commit()
    connection.close()

    async def check() -> tuple[str, ...]:
        store = SQLiteStore.open(path, embedder=SPEC)
        found = await store.check()
        await store.close()
        return found

    found = "\n".join(asyncio.run(check()))
    for part in ("not there", "broken length", "another length", "no node", "newer", "history"):
        assert part in found


@pytest.mark.parametrize("path", ["file/memory.db", "/proc/nothing/memory.db", "."])
def test_impossible_places(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable):
        SQLiteStore.open(tmp_path / path, embedder=SPEC)


def child(code: str, path: Path) -> str:
    """The output of a child that runs ``code`` with the store's path in ``sys.argv[1]``."""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_read_only_folder(tmp_path: Path) -> None:
    if not hasattr(os, "setuid") or os.geteuid() != 0:
        pytest.skip("needs root, to become nobody in a child")
    path = tmp_path / "memory.db"
    filled(path, 1)
    # nobody may walk down to the folder and read, and no more
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_uid == os.geteuid() and folder.is_relative_to("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o555)
    path.chmod(0o444)
    code = """
import os, sys
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.errors import StoreUnavailable
os.setuid(65534)
for name in (sys.argv[1], sys.argv[1] + ".new", sys.argv[1] + "-folder/new.db"):
    try:
        SQLiteStore.open(name, embedder=None)
    except StoreUnavailable as error:
        print(error)
"""
    lines = child(code, path).splitlines()
    assert len(lines) == 3
    assert all("memory.db" in line for line in lines)


def test_a_full_disk_harms_nothing(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    path = tmp_path / "memory.db"
    filled(path, 20)
    code = """
import asyncio, resource, sys
from random import Random
from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.samples import ALICE, SPEC, entry, message, random_entries

async def run():
    store = SQLiteStore.open(sys.argv[1], embedder=SPEC)
    limit = 1_000_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    failed = 0
    for n in range(40):
        try:
            await store.append(ALICE, random_entries(Random(n), 100, f"x{n}-"))
        except StoreUnavailable as error:
            failed += 1
            assert "full" in str(error), error
    held = len(await store.messages(ALICE, limit=100_000))
    assert failed and held == 20 + 100 * (40 - failed), (failed, held)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert (await store.append(ALICE, [entry(message("last"))]))[0].status == "stored"
    assert await store.check() == ()
    await store.close()
    print("fine")

asyncio.run(run())
"""
    assert child(code, path) == "fine\n"


def test_locked_for_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.2)
    path = tmp_path / "memory.db"
    filled(path, 1)

    async def use() -> None:
        store = SQLiteStore.open(path, embedder=SPEC)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked by another process") as locked:
            await store.append(ALICE, [entry(message("new"))])
        assert locked.value.retryable
        assert len(await store.messages(ALICE)) == 1
        other.execute("ROLLBACK")
        other.close()
        assert (await store.append(ALICE, [entry(message("new"))]))[0].status == "stored"
        await store.close()

    asyncio.run(use())


def test_errors_tell_no_content(tmp_path: Path) -> None:
    error = sqlite3.IntegrityError("UNIQUE constraint failed: the secret")
    told = sqlite_errors.store_error(tmp_path / "memory.db", error)
    assert isinstance(told, StoreError)
    assert "secret" not in str(told)
