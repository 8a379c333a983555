"""The database file: how it is opened, read, written, checkpointed and let go of.

One connection writes, a few read; every job borrows one, so no connection is ever used by two
threads at once. Writers of this process wait in line here, those of others in SQLite's own busy
handler, so no thread of ours sleeps while another one has long finished.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.stores.migrations import migrate
from memoryscope_rag.stores.sqlite_errors import BUSY_SECONDS, translated

PAGE_SIZE = 8192
"""Five vector rows of 384 dimensions fit a page; at 4096 two do and a quarter is wasted."""


class Database:
    """One file and this process's connections to it. Safe for threads and for several processes."""

    def __init__(
        self, path: Path, schema: Callable[[sqlite3.Connection, Path], None] = migrate
    ) -> None:
        self.path = path
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._closed = False
        with translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise StoreUnavailable(f"{path} is a folder; the store is a file in it")
            with self._borrowed() as connection, _transaction(connection, "IMMEDIATE"):
                schema(connection, path)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection inside a read transaction: one state of the file throughout."""
        with (
            translated(self.path),
            self._borrowed() as connection,
            _transaction(connection, "DEFERRED"),
        ):
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection inside a write transaction, durable when the block is left."""
        with (
            translated(self.path),
            self._write_lock,
            self._borrowed() as connection,
            _transaction(connection, "IMMEDIATE"),
        ):
            yield connection

    def truncate_log(self, seconds: float) -> bool:
        """Move the write-ahead log into the file and empty it; ``False`` if readers forbade it."""
        deadline = time.monotonic() + seconds
        with translated(self.path), self._write_lock, self._borrowed() as connection:
            # a reader that never leaves must not hold us for the full busy timeout
            connection.execute(f"PRAGMA busy_timeout = {int(min(seconds, 0.2) * 1000)}")
            try:
                while True:
                    (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                    if not busy:
                        return True
                    if time.monotonic() >= deadline:
                        return False
                    time.sleep(0.02)
            finally:
                connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")

    def vacuum(self) -> None:
        """Rewrite the file with live rows only."""
        with translated(self.path), self._write_lock, self._borrowed() as connection:
            # the copy of a large store does not belong into memory; it holds live rows only
            connection.execute("PRAGMA temp_store = FILE")
            try:
                connection.execute("VACUUM")
            finally:
                connection.execute("PRAGMA temp_store = MEMORY")

    def image(self, limit: int) -> bytes | None:
        """The file's bytes, ``None`` when there are more than ``limit`` of them.

        Read through SQLite: opening and closing the file ourselves would drop this process's
        POSIX locks on it, and another process could then delete the write-ahead log under us.
        """
        if os.path.getsize(self.path) > limit or not hasattr(sqlite3.Connection, "serialize"):
            return None
        with self.read() as connection:
            return connection.serialize()

    def size(self) -> int:
        """Bytes on disk: the file, its write-ahead log and its shared index."""
        return sum(
            os.path.getsize(name)
            for suffix in ("", "-wal", "-shm")
            if os.path.exists(name := f"{self.path}{suffix}")
        )

    def close(self) -> None:
        """Close every connection; the caller has seen to it that no job is running."""
        with self._idle_lock:
            self._closed = True
            while self._idle:
                self._idle.pop().close()

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        with self._idle_lock:
            if self._closed:
                raise StoreUnavailable(f"{self.path} is closed")
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = _connect(self.path)
        keep = False
        try:
            yield connection
            keep = True
        finally:
            with self._idle_lock:
                keep = (keep or not connection.in_transaction) and not self._closed
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        _wal(connection)
        # an acknowledged write survives a power cut; what is deleted is overwritten with zeros;
        # no copy of a changed page lands in a temporary file outside the store's folder
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -16384")
    except BaseException:
        connection.close()
        raise
    return connection


def _wal(connection: sqlite3.Connection) -> None:
    # SQLite does not call the busy handler for this one while another process does the same
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


@contextmanager
def _transaction(connection: sqlite3.Connection, mode: str) -> Iterator[None]:
    connection.execute(f"BEGIN {mode}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after a full disk
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
