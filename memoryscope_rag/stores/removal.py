"""Forgetting in SQL: what goes, taking it out of every table, and looking for it afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from memoryscope_rag.indexing import CONTEXT_TURNS
from memoryscope_rag.schema import Scope
from memoryscope_rag.stores import node_rows, scope_rows
from memoryscope_rag.stores.rows import without_successor
from memoryscope_rag.stores.scope_rows import ScopeRow

_SCRUB = "scrub:"
"""Prefix of the ``meta`` rows of removals whose traces in the files are not known to be gone."""


@dataclass(slots=True)
class Removed:
    """What a removal took out, and the bytes that must be in no file any more."""

    message_ids: list[str] = field(default_factory=list)
    node_ids: list[str] = field(default_factory=list)
    node_keys: list[int] = field(default_factory=list)
    traces: list[bytes] = field(default_factory=list)
    scope_id: int | None = None
    whole: bool = False
    scrub: str | None = None


def remove(
    connection: sqlite3.Connection,
    scope: Scope,
    message_ids: Sequence[str],
    session_id: str | None,
    everything: bool,
) -> Removed:
    """Take the chosen messages out, and every node of which any version rests on one of them.

    An insight that rests on such a node goes too (what else it rested on counts as not reflected,
    so that what still holds is found again), and with a session or everything the nodes
    that belong to it without resting on a message. Other nodes lose a ``superseded_by`` that
    names a removed one; they stay closed. The turns right after a removed one had it in their
    context: they lose context terms and vector, and ``unembedded`` lists them.
    """
    row = scope_rows.find(connection, scope)
    if row is None:
        return Removed()
    gone = Removed(scope_id=row.id, whole=everything)
    message_keys = _messages(connection, row, gone, message_ids, session_id, everything)
    _nodes(connection, row, gone, session_id, everything)
    if not message_keys and not gone.node_keys and not everything:
        return gone
    row = scope_rows.touch(connection, scope)
    _collect_node_traces(connection, gone)
    if not everything:
        _lose_context(connection, row, gone, message_keys)
    _unlink(connection, row, gone.node_ids)
    _free_ground(connection, row, gone.node_keys)
    node_rows.remove(connection, row, gone.node_keys)
    for part in scope_rows.key_chunks(message_keys):
        connection.execute(f"DELETE FROM messages WHERE key IN ({part})")
    if everything:
        scope_rows.erase(connection, row)
    number = scope_rows.meta(connection, "removals") + 1
    scope_rows.raise_meta(connection, "removals", number)
    gone.scrub = f"{_SCRUB}{number}"
    scope_rows.raise_meta(connection, gone.scrub, 1)
    return gone


def unscrubbed(connection: sqlite3.Connection) -> set[str]:
    """Names of the removals, of any process, whose traces may still stand in the files."""
    found = connection.execute("SELECT key FROM meta WHERE key GLOB ?", (f"{_SCRUB}*",))
    return {key for (key,) in found}


def scrubbed(connection: sqlite3.Connection, names: set[str]) -> None:
    """Note that the traces of these removals are gone."""
    connection.executemany("DELETE FROM meta WHERE key = ?", [(name,) for name in names])


def remains(connection: sqlite3.Connection, gone: Removed) -> bool:
    """Whether any table still knows one of the removed ids."""
    scope_id = gone.scope_id
    if gone.whole:
        tables = ("messages", "nodes", "provenance", "tombstones", "leases")
        counts = [f"SELECT count(*) FROM {table} WHERE scope = ?" for table in tables]
        if any(connection.execute(count, (scope_id,)).fetchone()[0] for count in counts):
            return True
    for keys in scope_rows.key_chunks(gone.node_keys):
        for table in ("terms", "vectors", "node_versions", "provenance"):
            if connection.execute(f"SELECT 1 FROM {table} WHERE node IN ({keys})").fetchone():
                return True
    checks = (
        ("messages", "id", gone.message_ids),
        ("nodes", "id", gone.node_ids),
        ("nodes", "superseded_by", gone.node_ids),
        ("provenance", "source", gone.message_ids),
    )
    for table, column, ids in checks:
        for part, marks in scope_rows.chunks(ids):
            if connection.execute(
                f"SELECT 1 FROM {table} WHERE scope = ? AND {column} IN ({marks})",
                (scope_id, *part),
            ).fetchone():
                return True
    return False


def _messages(
    connection: sqlite3.Connection,
    row: ScopeRow,
    gone: Removed,
    ids: Sequence[str],
    session_id: str | None,
    everything: bool,
) -> list[int]:
    columns = "SELECT key, id, content, metadata FROM messages WHERE scope = ?"
    found = []
    if everything:
        found = connection.execute(columns, (row.id,)).fetchall()
    elif session_id is not None:
        found = connection.execute(f"{columns} AND session = ?", (row.id, session_id)).fetchall()
        gone.traces.append(session_id.encode())
    else:
        for part, marks in scope_rows.chunks(list(dict.fromkeys(ids))):
            found += connection.execute(
                f"{columns} AND id IN ({marks})", (row.id, *part)
            ).fetchall()
    gone.message_ids = [name for _, name, _, _ in found]
    for _, name, content, metadata in found:
        gone.traces += [name.encode(), content.encode(), (metadata or "").encode()]
    return [key for key, *_ in found]


def _nodes(
    connection: sqlite3.Connection,
    row: ScopeRow,
    gone: Removed,
    session_id: str | None,
    everything: bool,
) -> None:
    found: dict[int, str] = {}
    if everything:
        found.update(connection.execute("SELECT key, id FROM nodes WHERE scope = ?", (row.id,)))
    if session_id is not None:
        found.update(
            connection.execute(
                "SELECT key, id FROM nodes WHERE scope = ? AND session = ?", (row.id, session_id)
            )
        )
    resting = (
        "SELECT n.key, n.id FROM provenance p JOIN nodes n ON n.key = p.node"
        " WHERE p.scope = ? AND p.source IN ({})"
    )
    for part, marks in scope_rows.chunks(gone.message_ids):
        found.update(connection.execute(resting.format(marks), (row.id, *part)))
    frontier = list(found.values())
    while frontier and not everything:
        new: dict[int, str] = {}
        # only an insight rests on nodes; another kind's source of that name is a message
        for part, marks in scope_rows.chunks(frontier):
            new.update(
                connection.execute(
                    resting.format(marks) + " AND n.kind = 'insight'", (row.id, *part)
                )
            )
        frontier = [name for key, name in new.items() if key not in found]
        found.update(new)
    gone.node_keys, gone.node_ids = list(found), sorted(found.values())


def _collect_node_traces(connection: sqlite3.Connection, gone: Removed) -> None:
    for keys in scope_rows.key_chunks(gone.node_keys):
        for query in (
            f"SELECT content, rest, id FROM nodes WHERE key IN ({keys})",
            f"SELECT body FROM node_versions WHERE node IN ({keys})",
            f"SELECT turn, context FROM terms WHERE node IN ({keys})",
            f"SELECT turn, context FROM vectors WHERE node IN ({keys})",
        ):
            for cells in connection.execute(query):
                for cell in cells:
                    if cell:
                        gone.traces.append(cell.encode() if isinstance(cell, str) else cell)


def _lose_context(
    connection: sqlite3.Connection, row: ScopeRow, gone: Removed, message_keys: Sequence[int]
) -> None:
    later: set[int] = set()
    for key in message_keys:
        later.update(
            seq
            for (seq,) in connection.execute(
                "SELECT l.seq FROM messages g JOIN messages l ON l.scope = g.scope"
                " AND l.session = g.session AND l.seq > g.seq WHERE g.key = ?"
                " ORDER BY l.seq LIMIT ?",
                (key, CONTEXT_TURNS),
            )
        )
    removed, staying = set(gone.node_keys), []
    for seq in sorted(later):
        staying += [
            key
            for (key,) in connection.execute(
                "SELECT n.key FROM messages m"
                " JOIN provenance p ON p.scope = m.scope AND p.source = m.id"
                " JOIN nodes n ON n.key = p.node AND n.kind = 'conversation'"
                " WHERE m.scope = ? AND m.seq = ?",
                (row.id, seq),
            )
            if key not in removed
        ]
    for keys in scope_rows.key_chunks(staying):
        for table in ("terms", "vectors"):
            for (cell,) in connection.execute(
                f"SELECT context FROM {table} WHERE node IN ({keys}) AND context IS NOT NULL"
            ):
                gone.traces.append(cell)
        connection.execute(f"UPDATE terms SET context = turn WHERE node IN ({keys})")
        connection.execute(f"UPDATE vectors SET context = NULL WHERE node IN ({keys})")
        connection.execute(
            f"UPDATE nodes SET generation = ? WHERE key IN ({keys})", (row.generation,)
        )


def _free_ground(connection: sqlite3.Connection, row: ScopeRow, node_keys: Sequence[int]) -> None:
    for keys in scope_rows.key_chunks(node_keys):
        connection.execute(
            "UPDATE nodes SET reflected = 0 WHERE scope = ? AND kind <> 'conversation' AND id IN"
            f" (SELECT p.source FROM provenance p JOIN nodes n ON n.key = p.node"
            f" WHERE n.kind = 'insight' AND p.node IN ({keys}))",
            (row.id,),
        )


def _unlink(connection: sqlite3.Connection, row: ScopeRow, node_ids: Sequence[str]) -> None:
    for part, marks in scope_rows.chunks(node_ids):
        held = connection.execute(
            f"SELECT key, rest FROM nodes WHERE scope = ? AND superseded_by IN ({marks})",
            (row.id, *part),
        ).fetchall()
        connection.executemany(
            "UPDATE nodes SET superseded_by = NULL, rest = ?, generation = ? WHERE key = ?",
            [(without_successor(rest, nested=False), row.generation, key) for key, rest in held],
        )
        old = connection.execute(
            "SELECT v.key, v.body FROM node_versions v JOIN nodes n ON n.key = v.node"
            f" WHERE n.scope = ? AND v.superseded_by IN ({marks})",
            (row.id, *part),
        ).fetchall()
        connection.executemany(
            "UPDATE node_versions SET superseded_by = NULL, body = ? WHERE key = ?",
            [(without_successor(body, nested=True), key) for key, body in old],
        )
