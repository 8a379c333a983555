"""The file beside a store that the service keeps for itself: API keys, outcomes of writes, turns.

It holds no content of memories and no key, only what a key can be checked with.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from memoryscope_rag.configs.model import Config
from memoryscope_rag.stores.connections import Database
from memoryscope_rag.stores.migrations import migrate
from memoryscope_rag.stores.sqlite_errors import translated

APPLICATION_ID = 0x4D535253
"""``MSRS``, in the header of every such file."""


def m001_keys_and_outcomes(connection: sqlite3.Connection) -> None:
    """API keys, and what became of requests with an Idempotency-Key."""
    connection.execute(
        """
        CREATE TABLE keys (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            tenants TEXT NOT NULL,
            rights TEXT NOT NULL,
            digest BLOB NOT NULL,
            created_at TEXT NOT NULL,
            revoked_at TEXT
        ) WITHOUT ROWID"""
    )
    connection.execute(
        """
        CREATE TABLE outcomes (
            caller BLOB PRIMARY KEY,
            request BLOB NOT NULL,
            since REAL NOT NULL,
            result TEXT
        ) WITHOUT ROWID"""
    )
    connection.execute("CREATE INDEX outcomes_by_age ON outcomes (since)")


def m002_users_of_keys_and_turns(connection: sqlite3.Connection) -> None:
    """Keys that are bound to one user; when turns that came through the proxy came first."""
    connection.execute("ALTER TABLE keys ADD COLUMN user_id TEXT")
    connection.execute(
        """
        CREATE TABLE turns (
            digest BLOB PRIMARY KEY,
            first REAL NOT NULL,
            seen REAL NOT NULL
        ) WITHOUT ROWID"""
    )
    connection.execute("CREATE INDEX turns_by_age ON turns (seen)")


STEPS = (m001_keys_and_outcomes, m002_users_of_keys_and_turns)


class StateFile(Database):
    """One such file, private to its owner. Safe for threads and for several processes.

    Raises:
        StoreCorrupt: it is another file, or damaged.
        SchemaTooNew: a later version wrote it.
        StoreUnavailable: it cannot be made, read or written.
    """

    def __init__(self, path: Path) -> None:
        with translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # only a file that is not there is opened: closing one would drop SQLite's locks on it
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        super().__init__(path, _schema)


def state_path(config: Config) -> Path:
    """Where the file of these settings is: ``NAME-service.db`` beside the store."""
    if config.service.state is not None:
        return config.service.state
    if config.store.provider == "elasticsearch":
        return Path(f"{config.store.elasticsearch.prefix}-service.db")
    return config.store.path.with_name(f"{config.store.path.stem}-service.db")


def _schema(connection: sqlite3.Connection, path: Path) -> None:
    migrate(connection, path, steps=STEPS, application_id=APPLICATION_ID)
