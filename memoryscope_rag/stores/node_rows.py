"""Nodes in SQL: inserting with everything they are found by, changing, listing, removing."""

from __future__ import annotations

import base64
import binascii
import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from memoryscope_rag.errors import DuplicateId, InvalidInput, StoreUnavailable, UnknownId
from memoryscope_rag.ports import IndexedNode, NodeFilter, Page
from memoryscope_rag.schema import MemoryNode, Scope
from memoryscope_rag.stores import scope_rows
from memoryscope_rag.stores.columns import OPEN_END, OPEN_START
from memoryscope_rag.stores.encoding import TermHasher, vector_blobs
from memoryscope_rag.stores.rows import (
    NODE_COLUMNS,
    micros,
    micros_or_none,
    node_from_body,
    node_from_row,
    node_rest,
    version_body,
)
from memoryscope_rag.stores.scope_rows import ScopeRow

MAX_TOMBSTONES = 10_000
"""Deletions a scope remembers; a search index older than that is built anew."""

_CELLS = (
    "scope, generation, id, kind, version, seq, session, speaker, question, length, said_at,"
    " event_start, event_end, valid_from, valid_to, superseded_by, rest, content"
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A node with its terms and vectors as BLOBs, checked, before any transaction begins."""

    node: MemoryNode
    question: bool
    terms: bytes
    context_terms: bytes
    vector: bytes | None
    context_vector: bytes | None


def prepare(nodes: Sequence[IndexedNode], dimension: int | None) -> list[Prepared]:
    """Check and encode; ``dimension`` is ``None`` for a store that takes no vectors.

    Raises:
        InvalidInput: a vector of the wrong shape, with NaN, or given to a store without model.
    """
    blobs = vector_blobs([(item.vector, item.context_vector) for item in nodes], dimension)
    hasher = TermHasher()
    return [
        Prepared(
            item.node,
            item.question,
            hasher.blob(item.terms),
            hasher.blob(item.context_terms),
            vector,
            context_vector,
        )
        for item, (vector, context_vector) in zip(nodes, blobs, strict=True)
    ]


def _cells(
    row: ScopeRow, question: bool, node: MemoryNode, seq: int, version: int
) -> tuple[Any, ...]:
    start = end = None
    if (event := node.event) is not None:
        start, end = event.interval.start, event.interval.end
        start_at = OPEN_START if start is None else micros(start)
        end_at = OPEN_END if end is None else micros(end)
    return (
        row.id,
        row.generation,
        node.id,
        node.kind,
        version,
        seq,
        node.session_id,
        node.speaker,
        question,
        len(node.content),
        micros(node.said_at),
        None if event is None else start_at,
        None if event is None else end_at,
        micros_or_none(node.valid_from),
        micros_or_none(node.valid_to),
        node.superseded_by,
        node_rest(node),
        node.content,
    )


def insert(
    connection: sqlite3.Connection,
    row: ScopeRow,
    nodes: Sequence[tuple[Prepared, int]],
    model: int | None,
) -> None:
    """Insert nodes; the second of each pair is the ``seq`` it gets, its version is 1.

    Raises:
        DuplicateId: a node id is taken, in the scope or within ``nodes``.
        UnknownId: a node other than an insight rests on a message that is not in the scope.
    """
    ids = [item.node.id for item, _ in nodes]
    taken = set(keys_of(connection, row.id, ids))
    for name in ids:
        if name in taken:
            raise DuplicateId("node id", f"{name!r} is taken in this scope")
        taken.add(name)
    _check_sources(connection, row.id, (item.node for item, _ in nodes))
    (first,) = connection.execute(
        "SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'nodes'"
    ).fetchone()
    keyed = list(enumerate(nodes, first))
    connection.executemany(
        f"INSERT INTO nodes (key, {_CELLS}) VALUES (?{', ?' * 18})",
        [(key, *_cells(row, item.question, item.node, seq, 1)) for key, (item, seq) in keyed],
    )
    connection.executemany(
        "INSERT INTO terms (node, turn, context) VALUES (?, ?, ?)",
        [(key, item.terms, item.context_terms) for key, (item, _) in keyed],
    )
    if model is not None:
        connection.executemany(
            "INSERT INTO vectors (node, model, turn, context) VALUES (?, ?, ?, ?)",
            [
                (key, model, item.vector, item.context_vector)
                for key, (item, _) in keyed
                if item.vector is not None or item.context_vector is not None
            ],
        )
    connection.executemany(
        "INSERT OR IGNORE INTO provenance (scope, source, node, current) VALUES (?, ?, ?, 1)",
        [(row.id, source, key) for key, (item, _) in keyed for source in item.node.provenance],
    )


def _check_sources(
    connection: sqlite3.Connection, scope_id: int, nodes: Iterable[MemoryNode]
) -> None:
    # A fact whose message was forgotten while a model was still reading it must not come back.
    sources = {s for node in nodes if node.kind != "insight" for s in node.provenance}
    missing = set(sources)
    for part, marks in scope_rows.chunks(sorted(sources)):
        missing -= {
            name
            for (name,) in connection.execute(
                f"SELECT id FROM messages WHERE scope = ? AND id IN ({marks})", (scope_id, *part)
            )
        }
    if missing:
        raise UnknownId("provenance", f"no message {min(missing)!r} in this scope")


def check_ground(connection: sqlite3.Connection, scope: Scope, nodes: Iterable[MemoryNode]) -> None:
    """Raise UnknownId when an open insight among ``nodes`` rests on a node that is not there."""
    row = scope_rows.ensure(connection, scope)
    # What was forgotten while a model was still thinking about it must not live on in a value.
    ground = {
        source
        for node in nodes
        if node.kind == "insight" and node.valid_to is None
        for source in node.provenance
    }
    if missing := ground - keys_of(connection, row.id, sorted(ground)).keys():
        raise UnknownId("provenance", f"no node {min(missing)!r} in this scope")


def update(
    connection: sqlite3.Connection,
    scope: Scope,
    prepared: Prepared,
    version: int,
    model: int | None,
) -> MemoryNode:
    """Replace a node by its next version and keep the present one in its history."""
    row = scope_rows.touch(connection, scope)
    node = prepared.node
    held = connection.execute(
        f"SELECT key, {NODE_COLUMNS} FROM nodes WHERE scope = ? AND id = ?", (row.id, node.id)
    ).fetchone()
    if held is None:
        raise UnknownId("node id", f"no node {node.id!r} in this scope")
    key, *cells = held
    old = node_from_row(cells)
    if old.version != version:
        raise StoreUnavailable(
            f"node {node.id!r} is at version {old.version}, not {version}:"
            " another writer was first; read it again"
        )
    _check_sources(connection, row.id, [node])
    new = node.with_(version=version + 1)
    connection.execute(
        "INSERT INTO node_versions (node, version, superseded_by, body) VALUES (?, ?, ?, ?)",
        (key, version, old.superseded_by, version_body(cells)),
    )
    assignments = ", ".join(f"{name.strip()} = ?" for name in _CELLS.split(","))
    connection.execute(
        f"UPDATE nodes SET {assignments} WHERE key = ?",
        (*_cells(row, prepared.question, new, new.seq, new.version), key),
    )
    connection.execute(
        "UPDATE terms SET turn = ?, context = ? WHERE node = ?",
        (prepared.terms, prepared.context_terms, key),
    )
    if old.content != new.content:
        connection.execute("DELETE FROM vectors WHERE node = ?", (key,))
        connection.execute("UPDATE nodes SET reflected = 0 WHERE key = ?", (key,))
    if model is not None and (prepared.vector or prepared.context_vector):
        put_vectors(connection, key, model, prepared.vector, prepared.context_vector)
    connection.execute("UPDATE provenance SET current = 0 WHERE node = ?", (key,))
    connection.executemany(
        "INSERT INTO provenance (scope, source, node, current) VALUES (?, ?, ?, 1)"
        " ON CONFLICT (scope, source, node) DO UPDATE SET current = 1",
        [(row.id, source, key) for source in dict.fromkeys(new.provenance)],
    )
    return new


def mark_reflected(connection: sqlite3.Connection, scope: Scope, ids: Sequence[str]) -> None:
    """Note that reflection has dealt with these nodes; those that are gone do not matter."""
    row = scope_rows.ensure(connection, scope)
    for part, marks in scope_rows.chunks(ids):
        connection.execute(
            f"UPDATE nodes SET reflected = 1 WHERE scope = ? AND id IN ({marks})", (row.id, *part)
        )


def put_vectors(
    connection: sqlite3.Connection,
    key: int,
    model: int,
    turn: bytes | None,
    context: bytes | None,
) -> None:
    """Set a node's vectors of one model; a ``None`` keeps what is there."""
    connection.execute(
        "INSERT INTO vectors (node, model, turn, context) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (node, model) DO UPDATE SET turn = coalesce(excluded.turn, turn),"
        " context = coalesce(excluded.context, context)",
        (key, model, turn, context),
    )


def by_ids(
    connection: sqlite3.Connection, scope: Scope, ids: Sequence[str]
) -> tuple[MemoryNode, ...]:
    """Nodes in the order of ``ids``; unknown ones are left out."""
    row = scope_rows.find(connection, scope)
    if row is None:
        return ()
    found: dict[str, MemoryNode] = {}
    for part, marks in scope_rows.chunks(list(dict.fromkeys(ids))):
        for cells in connection.execute(
            f"SELECT {NODE_COLUMNS} FROM nodes WHERE scope = ? AND id IN ({marks})",
            (row.id, *part),
        ):
            found[cells[0]] = node_from_row(cells)
    return tuple([found[name] for name in ids if name in found])


def drawn_from(
    connection: sqlite3.Connection, scope: Scope, message_ids: Sequence[str]
) -> dict[str, tuple[MemoryNode, ...]]:
    """Observations by the message that they rest on."""
    row = scope_rows.find(connection, scope)
    if row is None:
        return {}
    columns = ", ".join(f"nodes.{name.strip()}" for name in NODE_COLUMNS.split(","))
    found: dict[str, tuple[MemoryNode, ...]] = {}
    for part, marks in scope_rows.chunks(list(dict.fromkeys(message_ids))):
        for source, *cells in connection.execute(
            f"SELECT source, {columns} FROM provenance JOIN nodes ON nodes.key = node"
            f" WHERE provenance.scope = ? AND source IN ({marks}) AND current = 1"
            " AND kind = 'observation'",
            (row.id, *part),
        ):
            found[source] = (*found.get(source, ()), node_from_row(cells))
    return found


def pieces_of(
    connection: sqlite3.Connection, scope_id: int, message_ids: Sequence[str]
) -> list[int]:
    """The keys of the conversation nodes of these messages, in any order."""
    keys: list[int] = []
    for part, marks in scope_rows.chunks(list(dict.fromkeys(message_ids))):
        rows = connection.execute(
            "SELECT nodes.key FROM provenance JOIN nodes ON nodes.key = node"
            f" WHERE provenance.scope = ? AND source IN ({marks}) AND current = 1"
            " AND kind = 'conversation'",
            (scope_id, *part),
        )
        keys += [key for (key,) in rows]
    return keys


def history(connection: sqlite3.Connection, scope: Scope, node_id: str) -> tuple[MemoryNode, ...]:
    """All versions, the present one last."""
    row = scope_rows.find(connection, scope)
    held = (
        row
        and connection.execute(
            f"SELECT key, {NODE_COLUMNS} FROM nodes WHERE scope = ? AND id = ?", (row.id, node_id)
        ).fetchone()
    )
    if not held:
        raise UnknownId("node id", f"no node {node_id!r} in this scope")
    key, *cells = held
    older = connection.execute(
        "SELECT body FROM node_versions WHERE node = ? ORDER BY version", (key,)
    )
    return (*[node_from_body(body) for (body,) in older], node_from_row(cells))


def page(
    connection: sqlite3.Connection,
    scope: Scope,
    where: NodeFilter,
    cursor: str | None,
    limit: int,
    now: int,
) -> Page[MemoryNode]:
    """Nodes by ``said_at``, then id, after the place that ``cursor`` names."""
    after = None if cursor is None else read_cursor(cursor)
    row = scope_rows.find(connection, scope)
    if row is None:
        return Page((), None)
    conditions, values = ["scope = ?"], [row.id]

    def need(condition: str, *given: Any) -> None:
        conditions.append(condition)
        values.extend(given)

    if where.kinds is not None:
        need(f"kind IN ({', '.join('?' * len(where.kinds))})", *sorted(where.kinds))
    if where.session_id is not None:
        need("session = ?", where.session_id)
    if where.message_id is not None:
        need(
            "key IN (SELECT node FROM provenance WHERE scope = ? AND source = ? AND current = 1)",
            row.id,
            where.message_id,
        )
    if where.as_of is not None:
        at = micros(where.as_of)
        need("coalesce(valid_from, said_at) <= ? AND (valid_to IS NULL OR valid_to > ?)", at, at)
    elif not where.closed:
        need("(valid_to IS NULL OR valid_to > ?)", now)
    if where.reflected is not None:
        need(f"reflected = {int(where.reflected)}")
        if not where.reflected and where.kinds is not None and "conversation" not in where.kinds:
            need("kind <> 'conversation'")  # in letters, so that the partial index is used
    if after is not None:
        need("(said_at, id) > (?, ?)", *after)
    rows = connection.execute(
        f"SELECT said_at, {NODE_COLUMNS} FROM nodes WHERE {' AND '.join(conditions)}"
        " ORDER BY said_at, id LIMIT ?",
        (*values, limit + 1),
    ).fetchall()
    items = tuple([node_from_row(cells) for _, *cells in rows[:limit]])
    if len(rows) <= limit:
        return Page(items, None)
    return Page(items, make_cursor(rows[limit - 1][0], rows[limit - 1][1]))


def make_cursor(said_at: int, node_id: str) -> str:
    """What names the place after a node in a list by ``said_at``, then id."""
    return base64.urlsafe_b64encode(json.dumps([said_at, node_id]).encode()).decode()


def read_cursor(cursor: str) -> tuple[int, str]:
    """The reverse of :func:`make_cursor`. Raises InvalidInput."""
    try:
        said_at, node_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, TypeError, binascii.Error):
        raise InvalidInput("cursor", "is none that list_nodes gave out") from None
    if type(said_at) is not int or not isinstance(node_id, str):
        raise InvalidInput("cursor", "is none that list_nodes gave out")
    return said_at, node_id


def delete(connection: sqlite3.Connection, scope: Scope, ids: Sequence[str]) -> tuple[str, ...]:
    """Remove nodes and their history; returns the ids that were there, in order."""
    row = scope_rows.find(connection, scope)
    if row is None:
        return ()
    wanted = list(dict.fromkeys(ids))
    keys = keys_of(connection, row.id, wanted)
    if keys:
        remove(connection, scope_rows.touch(connection, scope), list(keys.values()))
    return tuple([name for name in wanted if name in keys])


def remove(connection: sqlite3.Connection, row: ScopeRow, keys: Sequence[int]) -> None:
    """Delete nodes by key, with a tombstone each for the search indexes of other processes."""
    for part in scope_rows.key_chunks(keys):
        # vectors, terms, provenance and versions go by ON DELETE CASCADE
        connection.execute(f"DELETE FROM nodes WHERE key IN ({part})")
    connection.executemany(
        "INSERT INTO tombstones (scope, generation, node) VALUES (?, ?, ?)",
        [(row.id, row.generation, key) for key in keys],
    )
    (count,) = connection.execute(
        "SELECT count(*) FROM tombstones WHERE scope = ?", (row.id,)
    ).fetchone()
    if count > MAX_TOMBSTONES:
        connection.execute("DELETE FROM tombstones WHERE scope = ?", (row.id,))
        connection.execute(
            "UPDATE scopes SET tombstone_floor = ? WHERE id = ?", (row.generation, row.id)
        )


def keys_of(connection: sqlite3.Connection, scope_id: int, ids: Sequence[str]) -> dict[str, int]:
    """Node ids to row keys, for those that exist."""
    keys: dict[str, int] = {}
    for part, marks in scope_rows.chunks(ids):
        keys.update(
            connection.execute(
                f"SELECT id, key FROM nodes WHERE scope = ? AND id IN ({marks})",
                (scope_id, *part),
            )
        )
    return keys
