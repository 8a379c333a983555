"""The file of an outbox: private to its owner, limited, cleaned of what left it.

The right to deliver is a lock on a second, empty SQLite file: the system takes it back from a
process that dies, so nobody has to wait for it to expire.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.ports import OutboxStats
from memoryscope_rag.stores import outbox_rows, scope_rows
from memoryscope_rag.stores.connections import Database
from memoryscope_rag.stores.outbox_rows import Refusal
from memoryscope_rag.stores.sqlite_errors import translated

LOCK_SUFFIX = ".lock"
SCRUB_SECONDS = 2.0
"""How long readers of other processes may keep the file from being cleaned."""
_LOOK_SECONDS = 0.02


class OutboxFile(Database):
    """One outbox on disk. Safe for threads and for several processes.

    Raises:
        StoreCorrupt: it is another file than an outbox, or damaged.
        SchemaTooNew: a later version wrote it.
        StoreUnavailable: it cannot be made, read or written.
    """

    def __init__(self, path: Path) -> None:
        with translated(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_private(path)
        super().__init__(path, outbox_rows.schema)
        self._mine = asyncio.Lock()
        try:
            with translated(path):
                lock = path.with_name(path.name + LOCK_SUFFIX)
                _make_private(lock)
                self._lock = sqlite3.connect(
                    lock, timeout=0, isolation_level=None, check_same_thread=False
                )
        except BaseException:
            super().close()
            raise

    @contextlib.asynccontextmanager
    async def delivering(self, seconds: float) -> AsyncIterator[bool]:
        """Hold the right to deliver; ``False`` when others still had it after ``seconds``."""
        deadline = time.monotonic() + seconds
        async with self._mine:
            while not (held := self._try_lock()) and time.monotonic() < deadline:
                await asyncio.sleep(_LOOK_SECONDS)
            try:
                yield held
            finally:
                if held:
                    self._lock.execute("ROLLBACK")

    def _try_lock(self) -> bool:
        # takes microseconds: it waits for nobody and writes nothing
        with translated(self.path):
            try:
                self._lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                return False
        return True

    @contextlib.contextmanager
    def admit(self, size: int, limit: int) -> Iterator[sqlite3.Connection]:
        """A write transaction for ``size`` more bytes; StoreUnavailable when ``limit`` forbids."""
        with self.write() as connection:
            if outbox_rows.used_bytes(connection) + size > limit:
                raise StoreUnavailable(
                    f"the outbox {self.path} is full: {limit >> 20} MiB wait for the database, "
                    "which is away; nothing was recorded"
                )
            yield connection

    def state(self) -> OutboxStats:
        """Counts and size."""
        with self.read() as connection:
            waiting, refused, oldest = outbox_rows.counts(connection)
        return OutboxStats(str(self.path), waiting, refused, oldest, self.size())

    def refusals(self) -> tuple[Refusal, ...]:
        """The messages that the database did not take, oldest first, with the reasons."""
        with self.read() as connection:
            return outbox_rows.refusals(connection)

    def retry(self) -> int:
        """Let the refused messages wait again, such as when their ids were freed; how many do."""
        with self.write() as connection:
            return outbox_rows.retry(connection)

    def discard(self) -> int:
        """Remove the refused messages for good; how many there were."""
        with self.write() as connection:
            count = outbox_rows.discard(connection)
        self.scrub()
        return count

    def scrub(self) -> bool:
        """Free the file of traces of what has left it; whether that is certain."""
        with self.read() as connection:
            removals = scope_rows.meta(connection, "removals")
            if removals == scope_rows.meta(connection, "scrubbed"):
                return True
        try:
            if not self.truncate_log(SCRUB_SECONDS):
                return False
            # secure_delete alone would do but for copies that splitting pages leaves: see residue
            self.vacuum()
            if not self.truncate_log(SCRUB_SECONDS):
                return False
        except StoreUnavailable:
            return False
        with self.write() as connection:
            scope_rows.raise_meta(connection, "scrubbed", removals)
        return True

    def close(self) -> None:
        """Let go of both files; the caller has seen to it that no job is running."""
        self._lock.close()
        super().close()


@contextlib.contextmanager
def opened(path: Path) -> Iterator[OutboxFile | None]:
    """The outbox ``path`` without any store, ``None`` when there is no such file.

    Raises what :class:`OutboxFile` raises.
    """
    if not path.is_file():
        yield None
        return
    file = OutboxFile(path)
    try:
        yield file
    finally:
        file.close()


def _make_private(path: Path) -> None:
    # only a file that is not there is opened: closing one that is would drop SQLite's locks on it;
    # SQLite gives the log beside it the same rights
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
