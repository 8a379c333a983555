"""The schema of the SQLite files as lists of named steps that only ever grow.

A step that has been released is never edited: a later change is a new ``mNNN_…`` at the end. The
names that ran are recorded in the file, so a file with a name unknown here was written by a
later version of this package.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from memoryscope_rag.errors import SchemaTooNew, StoreCorrupt

APPLICATION_ID = 0x4D535247
"""``MSRG``, in the header of every file of ours; anything else is another program's database."""


def m001_tables(connection: sqlite3.Connection) -> None:
    """Scopes, log, nodes with history and provenance, vectors, terms, leases."""
    for statement in _M001:
        connection.execute(statement)


def m002_backend(connection: sqlite3.Connection) -> None:
    """Failed consolidations of a message; which facts reflection has dealt with."""
    connection.execute("ALTER TABLE messages ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0")
    connection.execute("ALTER TABLE nodes ADD COLUMN reflected INTEGER NOT NULL DEFAULT 0")
    connection.execute(
        "CREATE INDEX nodes_unreflected ON nodes (scope, said_at, id)"
        " WHERE reflected = 0 AND kind <> 'conversation'"
    )


Step = Callable[[sqlite3.Connection], None]
MIGRATIONS: tuple[Step, ...] = (m001_tables, m002_backend)


def migrate(
    connection: sqlite3.Connection,
    path: Path,
    *,
    steps: Sequence[Step] = MIGRATIONS,
    application_id: int = APPLICATION_ID,
) -> None:
    """Bring the file to this version's schema; call it inside a write transaction.

    Raises:
        StoreCorrupt: it is the database of another program.
        SchemaTooNew: a later version of this package wrote it.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != application_id:
        if application or tables:
            raise StoreCorrupt(f"{path} is an SQLite database of another program")
        connection.execute(f"PRAGMA application_id = {application_id}")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (position INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, applied_at INTEGER NOT NULL)"
    )
    done = [name for (name,) in connection.execute("SELECT name FROM migrations ORDER BY position")]
    known = [step.__name__ for step in steps]
    if unknown := [name for name in done if name not in known]:
        raise SchemaTooNew(
            f"{path} was written by a later version of memoryscope-rag (schema {unknown[-1]},"
            f" newest known {known[-1]}); upgrade the package"
        )
    for step in steps:
        if step.__name__ not in done:
            step(connection)
            connection.execute(
                "INSERT INTO migrations (name, applied_at) VALUES (?, ?)",
                (step.__name__, time.time_ns() // 1000),
            )


# Times are microseconds since 1970 in UTC. Wide columns come last, so that reading the others
# does not walk a long text's overflow pages. Keys are AUTOINCREMENT: search indexes in other
# processes know rows by key, so one must never be given out twice.
_M001 = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    """
    CREATE TABLE models (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        dimension INTEGER NOT NULL,
        fingerprint TEXT NOT NULL UNIQUE,
        max_tokens INTEGER NOT NULL,
        state TEXT NOT NULL UNIQUE CHECK (state IN ('active', 'next'))
    )""",
    """
    CREATE TABLE scopes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        user TEXT NOT NULL,
        agent TEXT NOT NULL,
        generation INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        tombstone_floor INTEGER NOT NULL,
        UNIQUE (tenant, user, agent)
    )""",
    """
    CREATE TABLE messages (
        key INTEGER PRIMARY KEY,
        scope INTEGER NOT NULL REFERENCES scopes (id),
        seq INTEGER NOT NULL,
        id TEXT NOT NULL,
        session TEXT NOT NULL,
        role TEXT NOT NULL,
        speaker TEXT,
        created_at INTEGER NOT NULL,
        created_offset INTEGER NOT NULL,
        state TEXT NOT NULL,
        state_reason TEXT,
        metadata TEXT,
        content TEXT NOT NULL,
        UNIQUE (scope, seq),
        UNIQUE (scope, id)
    )""",
    "CREATE INDEX messages_by_session ON messages (scope, session, seq)",
    "CREATE INDEX messages_pending ON messages (scope, seq) WHERE state = 'pending'",
    """
    CREATE TABLE nodes (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        scope INTEGER NOT NULL REFERENCES scopes (id),
        generation INTEGER NOT NULL,
        id TEXT NOT NULL,
        kind TEXT NOT NULL,
        version INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        session TEXT,
        speaker TEXT,
        question INTEGER NOT NULL,
        length INTEGER NOT NULL,
        said_at INTEGER NOT NULL,
        event_start INTEGER,
        event_end INTEGER,
        valid_from INTEGER,
        valid_to INTEGER,
        superseded_by TEXT,
        rest TEXT NOT NULL,
        content TEXT NOT NULL,
        UNIQUE (scope, id)
    )""",
    "CREATE INDEX nodes_by_generation ON nodes (scope, generation)",
    "CREATE INDEX nodes_by_time ON nodes (scope, said_at, id)",
    "CREATE INDEX nodes_by_session ON nodes (scope, session) WHERE session IS NOT NULL",
    "CREATE INDEX nodes_superseded ON nodes (scope, superseded_by) WHERE superseded_by IS NOT NULL",
    """
    CREATE TABLE node_versions (
        key INTEGER PRIMARY KEY,
        node INTEGER NOT NULL REFERENCES nodes (key) ON DELETE CASCADE,
        version INTEGER NOT NULL,
        superseded_by TEXT,
        body TEXT NOT NULL,
        UNIQUE (node, version)
    )""",
    # every source that any version of the node rested on; current = 1 for those of the newest
    """
    CREATE TABLE provenance (
        scope INTEGER NOT NULL REFERENCES scopes (id),
        source TEXT NOT NULL,
        node INTEGER NOT NULL REFERENCES nodes (key) ON DELETE CASCADE,
        current INTEGER NOT NULL,
        PRIMARY KEY (scope, source, node)
    ) WITHOUT ROWID""",
    "CREATE INDEX provenance_by_node ON provenance (node)",
    # rowid tables: a row of 1.5 kB would leave the page of a WITHOUT ROWID table
    """
    CREATE TABLE vectors (
        key INTEGER PRIMARY KEY,
        node INTEGER NOT NULL REFERENCES nodes (key) ON DELETE CASCADE,
        model INTEGER NOT NULL REFERENCES models (id) ON DELETE CASCADE,
        turn BLOB,
        context BLOB,
        UNIQUE (node, model)
    )""",
    "CREATE INDEX vectors_by_model ON vectors (model)",
    """
    CREATE TABLE terms (
        node INTEGER PRIMARY KEY REFERENCES nodes (key) ON DELETE CASCADE,
        turn BLOB NOT NULL,
        context BLOB NOT NULL
    )""",
    """
    CREATE TABLE tombstones (
        scope INTEGER NOT NULL REFERENCES scopes (id) ON DELETE CASCADE,
        generation INTEGER NOT NULL,
        node INTEGER NOT NULL,
        PRIMARY KEY (scope, generation, node)
    ) WITHOUT ROWID""",
    """
    CREATE TABLE leases (
        scope INTEGER NOT NULL REFERENCES scopes (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        owner TEXT NOT NULL,
        token INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        PRIMARY KEY (scope, name)
    ) WITHOUT ROWID""",
)
