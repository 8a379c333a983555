"""The one place where an error of ``sqlite3`` becomes an error of this package."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memoryscope_rag.errors import InvalidInput, StoreCorrupt, StoreError, StoreUnavailable

BUSY_SECONDS = 10.0
"""How long a statement waits for another process before it gives up."""

_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: f"is locked by another process for longer than {BUSY_SECONDS:g} s",
    sqlite3.SQLITE_LOCKED: f"is locked by another process for longer than {BUSY_SECONDS:g} s",
    sqlite3.SQLITE_READONLY: "cannot be written: the file or its folder is read-only",
    sqlite3.SQLITE_PERM: "cannot be opened: permission denied",
    sqlite3.SQLITE_AUTH: "cannot be opened: permission denied",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: the folder is missing, read-only or no folder",
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk is full or failing",
    sqlite3.SQLITE_PROTOCOL: "is locked by another process: too many are starting at once",
    sqlite3.SQLITE_NOMEM: "needs more memory than there is",
    sqlite3.SQLITE_INTERRUPT: "was interrupted",
}


def store_error(path: Path, error: sqlite3.Error) -> Exception:
    """``error`` in this package's words: one sentence with the file, without any content."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary in _CORRUPT:
        return StoreCorrupt(
            f"{path} is damaged or is no SQLite file; restore it from a backup ({_name(error)})"
        )
    if primary in _UNAVAILABLE:
        return StoreUnavailable(f"{path} {_UNAVAILABLE[primary]} ({_name(error)})")
    if primary == sqlite3.SQLITE_TOOBIG or isinstance(error, sqlite3.DataError):
        return InvalidInput("content", "is larger than a database cell can be")
    if isinstance(error, sqlite3.ProgrammingError):
        return StoreUnavailable(f"{path} is closed")
    if isinstance(error, sqlite3.OperationalError) and primary == sqlite3.SQLITE_ERROR:
        # a statement of ours that this file cannot run: a table or column is missing
        return StoreCorrupt(f"{path} lacks tables that its schema version should have")
    return StoreError(f"{path}: the database refused a statement ({_name(error)})")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Let no ``sqlite3.Error`` or ``OSError`` out of the block, only errors of this package."""
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(path, error) from error
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be opened: {error.strerror}") from error


def _name(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", None) or type(error).__name__)
