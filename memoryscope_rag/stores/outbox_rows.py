"""What waits in an outbox, in SQL: messages with their nodes, in the order they came.

A row is waiting, or refused with a reason: the database would not take it, and it is kept until
somebody decides. Vectors are kept as :mod:`~memoryscope_rag.stores.encoding` has them, with the
fingerprint of their model.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from memoryscope_rag.ports import EmbedderSpec, FloatArray, IndexedNode, LogEntry, Recorded
from memoryscope_rag.schema import Message, Scope
from memoryscope_rag.stores import scope_rows
from memoryscope_rag.stores.encoding import vector_blobs, vector_from_blob
from memoryscope_rag.stores.migrations import migrate
from memoryscope_rag.stores.rows import (
    message_from_row,
    message_row,
    node_from_body,
    node_rest,
    same_message,
    version_body,
)

APPLICATION_ID = 0x4D53524F
"""``MSRO``, in the header of every outbox file."""

_OWN = "tenant = ? AND user = ? AND agent = ?"
_WAITING = f"{_OWN} AND refused IS NULL"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def m001_entries(connection: sqlite3.Connection) -> None:
    """Entries in order, and numbers about the file."""
    connection.execute(
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID"
    )
    connection.execute(
        """
        CREATE TABLE entries (
            position INTEGER PRIMARY KEY AUTOINCREMENT,
            tenant TEXT NOT NULL,
            user TEXT NOT NULL,
            agent TEXT NOT NULL,
            session TEXT NOT NULL,
            id TEXT NOT NULL,
            since INTEGER NOT NULL,
            refused TEXT,
            model TEXT,
            message TEXT NOT NULL,
            nodes TEXT NOT NULL,
            vectors BLOB NOT NULL
        )"""
    )
    connection.execute(
        "CREATE UNIQUE INDEX entries_waiting ON entries (tenant, user, agent, id)"
        " WHERE refused IS NULL"
    )
    connection.execute("CREATE INDEX entries_by_scope ON entries (tenant, user, agent, position)")
    connection.execute("CREATE INDEX entries_refused ON entries (position) WHERE refused NOT NULL")


def schema(connection: sqlite3.Connection, path: Path) -> None:
    """Make a file an outbox; raises StoreCorrupt and SchemaTooNew as a store's does."""
    migrate(connection, path, steps=(m001_entries,), application_id=APPLICATION_ID)


# ---------------------------------------------------------------- an entry as cells


@dataclass(frozen=True, slots=True)
class Packed:
    """An entry as the cells of its row, checked, before any transaction begins."""

    entry: LogEntry
    message: str
    nodes: str
    vectors: bytes
    model: str | None

    @property
    def size(self) -> int:
        """Bytes, about."""
        return len(self.message.encode()) + len(self.nodes.encode()) + len(self.vectors)


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A row that is to be delivered."""

    position: int
    entry: LogEntry


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that the database did not take, since when it stood in the outbox, and why."""

    position: int
    message: Message
    since: datetime
    reason: str


def pack(entries: Sequence[LogEntry], embedder: EmbedderSpec | None) -> list[Packed]:
    """Check and encode; raises InvalidInput for a vector that is none of ``embedder``'s."""
    flat = [node for entry in entries for node in entry.nodes]
    pairs = [(node.vector, node.context_vector) for node in flat]
    encoded = iter(vector_blobs(pairs, embedder.dimension if embedder is not None else None))
    packed = []
    for entry in entries:
        nodes: list[list[Any]] = []
        blobs: list[bytes] = []
        for item in entry.nodes:
            pair = next(encoded)
            node = item.node
            cells = (node.id, node.kind, node.version, node.seq, node_rest(node), node.content)
            has = [blob is not None for blob in pair]
            blobs += [blob for blob in pair if blob is not None]
            nodes.append([version_body(cells), item.terms, item.context_terms, item.question, *has])
        packed.append(
            Packed(
                entry,
                version_body((0, *message_row(entry.message))),
                json.dumps(nodes, ensure_ascii=False),
                b"".join(blobs),
                embedder.fingerprint if blobs and embedder is not None else None,
            )
        )
    return packed


def _entry(scope: Scope, cells: Sequence[Any], embedder: EmbedderSpec | None) -> LogEntry:
    message, nodes, vectors, model = cells
    keep = embedder is not None and model == embedder.fingerprint
    width = 2 * embedder.dimension if embedder is not None else 0
    at = 0

    def take(given: bool) -> FloatArray | None:
        nonlocal at
        if not given or not keep or embedder is None:
            return None
        at += width
        return vector_from_blob(vectors[at - width : at], embedder.dimension)

    unpacked = [
        IndexedNode(
            node_from_body(body),
            tuple(terms),
            tuple(context_terms),
            take(turn),
            take(context),
            bool(question),
        )
        for body, terms, context_terms, question, turn, context in json.loads(nodes)
    ]
    return LogEntry(message_from_row(scope, json.loads(message)), tuple(unpacked))


def _names(scope: Scope) -> tuple[str, str, str]:
    return scope.tenant_id, scope.user_id, scope.agent_id


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


# ---------------------------------------------------------------- coming in


def put(
    connection: sqlite3.Connection, scope: Scope, entries: Sequence[Packed], now: int
) -> tuple[Recorded, ...]:
    """Let entries wait; those whose id waits already are known, or refused if they differ."""
    ids = [packed.entry.message.id for packed in entries]
    held = {message.id: message for message in by_ids(connection, scope, ids)}
    outcome = []
    for packed in entries:
        new = packed.entry.message
        if (message := held.get(new.id)) is not None:
            known = same_message(message, new)
            outcome.append(Recorded(message, "known" if known else "refused"))
            continue
        connection.execute(
            "INSERT INTO entries (tenant, user, agent, session, id, since, model, message, nodes,"
            " vectors) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *_names(scope), new.session_id, new.id, now, packed.model,
                packed.message, packed.nodes, packed.vectors,
            ),
        )  # fmt: skip
        message = held[new.id] = message_from_row(scope, json.loads(packed.message))
        outcome.append(Recorded(message, "waiting"))
    return tuple(outcome)


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * size)


# ---------------------------------------------------------------- reading


def waits(connection: sqlite3.Connection, scope: Scope) -> bool:
    """Whether anything of the scope is to be delivered."""
    found = connection.execute(f"SELECT 1 FROM entries WHERE {_WAITING} LIMIT 1", _names(scope))
    return found.fetchone() is not None


def by_ids(connection: sqlite3.Connection, scope: Scope, ids: Sequence[str]) -> list[Message]:
    """The waiting messages among ``ids``, in any order."""
    found: list[Message] = []
    for part, marks in scope_rows.chunks(list(dict.fromkeys(ids))):
        rows = connection.execute(
            f"SELECT message FROM entries WHERE {_WAITING} AND id IN ({marks})",
            (*_names(scope), *part),
        )
        found += [message_from_row(scope, json.loads(text)) for (text,) in rows]
    return found


def last(
    connection: sqlite3.Connection, scope: Scope, limit: int, session_id: str | None
) -> list[Message]:
    """The newest waiting messages, oldest of them first."""
    chosen = "" if session_id is None else " AND session = ?"
    values = _names(scope) if session_id is None else (*_names(scope), session_id)
    rows = connection.execute(
        f"SELECT message FROM entries WHERE {_WAITING}{chosen} ORDER BY position DESC LIMIT ?",
        (*values, limit),
    ).fetchall()
    return [message_from_row(scope, json.loads(text)) for (text,) in reversed(rows)]


def counts(connection: sqlite3.Connection) -> tuple[int, int, datetime | None]:
    """How many wait, how many were refused, since when the oldest waits."""
    waiting, since = connection.execute(
        "SELECT count(*), min(since) FROM entries WHERE refused IS NULL"
    ).fetchone()
    (refused,) = connection.execute(
        "SELECT count(*) FROM entries WHERE refused NOT NULL"
    ).fetchone()
    return waiting, refused, None if since is None else _moment(since)


def refusals(connection: sqlite3.Connection) -> tuple[Refusal, ...]:
    """What was refused, oldest first."""
    rows = connection.execute(
        "SELECT position, user, agent, tenant, message, since, refused FROM entries"
        " WHERE refused NOT NULL ORDER BY position"
    )
    return tuple(
        [
            Refusal(position, message_from_row(Scope(*who), json.loads(text)), _moment(at), reason)
            for position, *who, text, at, reason in rows
        ]
    )


# ---------------------------------------------------------------- going out


def next_batch(
    connection: sqlite3.Connection, most: int, most_bytes: int, embedder: EmbedderSpec | None
) -> tuple[Scope, list[Waiting]] | None:
    """The oldest entries of the scope that waits longest, with the vectors of ``embedder``.

    At most ``most``, and no further one past ``most_bytes``; ``None`` when nothing waits.
    """
    first = connection.execute(
        "SELECT user, agent, tenant FROM entries WHERE refused IS NULL ORDER BY position LIMIT 1"
    ).fetchone()
    if first is None:
        return None
    scope = Scope(*first)
    rows = connection.execute(
        f"SELECT position, message, nodes, vectors, model FROM entries WHERE {_WAITING}"
        " ORDER BY position LIMIT ?",
        (*_names(scope), most),
    )
    batch: list[Waiting] = []
    size = 0
    for position, *cells in rows:
        size += sum(len(cell) for cell in cells[:3])
        if batch and size > most_bytes:
            break
        batch.append(Waiting(position, _entry(scope, cells, embedder)))
    return scope, batch


def settle(
    connection: sqlite3.Connection, batch: Sequence[Waiting], reasons: Sequence[str | None]
) -> None:
    """Take out what was delivered; what has a reason was refused and is set aside."""
    for row, reason in zip(batch, reasons, strict=True):
        if reason is None:
            connection.execute("DELETE FROM entries WHERE position = ?", (row.position,))
        else:
            connection.execute(
                "UPDATE entries SET refused = ? WHERE position = ?", (reason, row.position)
            )
    _leave_traces(connection)


def retry(connection: sqlite3.Connection) -> int:
    """Let wait again what was refused, once each id; how many do."""
    cursor = connection.execute(
        "UPDATE OR IGNORE entries SET refused = NULL WHERE refused NOT NULL"
    )
    return cursor.rowcount


def discard(connection: sqlite3.Connection) -> int:
    """Take out what was refused; how many messages that was."""
    count = connection.execute("DELETE FROM entries WHERE refused NOT NULL").rowcount
    _leave_traces(connection)
    return count


def remove(
    connection: sqlite3.Connection,
    scope: Scope,
    message_ids: Sequence[str],
    session_id: str | None,
    everything: bool,
) -> int:
    """Take chosen messages out, waiting or refused; how many there were."""
    names = _names(scope)
    removed = 0
    if everything:
        removed = connection.execute(f"DELETE FROM entries WHERE {_OWN}", names).rowcount
    elif session_id is not None:
        removed = connection.execute(
            f"DELETE FROM entries WHERE {_OWN} AND session = ?", (*names, session_id)
        ).rowcount
    for part, marks in scope_rows.chunks(list(dict.fromkeys(message_ids))):
        removed += connection.execute(
            f"DELETE FROM entries WHERE {_OWN} AND id IN ({marks})", (*names, *part)
        ).rowcount
    if removed:
        _leave_traces(connection)
    return removed


def _leave_traces(connection: sqlite3.Connection) -> None:
    scope_rows.raise_meta(connection, "removals", scope_rows.meta(connection, "removals") + 1)
