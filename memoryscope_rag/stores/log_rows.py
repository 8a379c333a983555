"""The message log in SQL: appending, reading in order, what stands around a turn, states."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from memoryscope_rag.errors import UnknownId
from memoryscope_rag.ports import Changes, LogEntry, Recorded
from memoryscope_rag.schema import Message, MessageState, Scope
from memoryscope_rag.stores import node_rows, scope_rows
from memoryscope_rag.stores.node_rows import Prepared
from memoryscope_rag.stores.rows import (
    MESSAGE_COLUMNS,
    message_from_row,
    message_row,
    same_message,
)


def append(
    connection: sqlite3.Connection,
    scope: Scope,
    entries: Sequence[LogEntry],
    prepared: Sequence[Sequence[Prepared]],
    model: int | None,
) -> tuple[Recorded, ...]:
    """Append what is new; ``prepared`` are the entries' nodes, ``model`` the row of their model."""
    row = scope_rows.find(connection, scope)
    ids = [entry.message.id for entry in entries]
    held = {} if row is None else {m.id: m for m in by_ids(connection, scope, row.id, ids)}
    if any(name not in held for name in ids):
        row = scope_rows.touch(connection, scope)
    outcome: list[Recorded] = []
    new: list[Message] = []
    nodes: list[tuple[Prepared, int]] = []
    for entry, pieces in zip(entries, prepared, strict=True):
        message = held.get(entry.message.id)
        if message is not None:
            known = same_message(message, entry.message)
            outcome.append(Recorded(message, "known" if known else "refused"))
            continue
        assert row is not None  # an id that is not held made touch() run above
        message = _stored(scope, entry, row.last_seq + len(new) + 1)
        held[message.id] = message
        new.append(message)
        nodes += [(piece, message.seq) for piece in pieces]
        outcome.append(Recorded(message, "stored"))
    if new and row is not None:
        connection.executemany(
            f"INSERT INTO messages (scope, {MESSAGE_COLUMNS})"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(row.id, message.seq, *message_row(message)) for message in new],
        )
        connection.execute("UPDATE scopes SET last_seq = ? WHERE id = ?", (new[-1].seq, row.id))
        node_rows.insert(connection, row, nodes, model)
    return tuple(outcome)


def _stored(scope: Scope, entry: LogEntry, seq: int) -> Message:
    m = entry.message
    return Message(
        m.id, m.session_id, m.role, m.content, m.created_at, m.speaker, m.metadata,
        scope=scope, seq=seq,
    )  # fmt: skip


def by_ids(
    connection: sqlite3.Connection, scope: Scope, scope_id: int, ids: Sequence[str]
) -> list[Message]:
    """Those of ``ids`` that exist, in any order."""
    found = []
    for part, marks in scope_rows.chunks(list(dict.fromkeys(ids))):
        found += connection.execute(
            f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE scope = ? AND id IN ({marks})",
            (scope_id, *part),
        ).fetchall()
    return [message_from_row(scope, row) for row in found]


def after(
    connection: sqlite3.Connection,
    scope: Scope,
    session_id: str | None,
    state: MessageState | None,
    seq: int,
    limit: int,
) -> tuple[Message, ...]:
    """Messages past ``seq`` in order."""
    row = scope_rows.find(connection, scope)
    if row is None:
        return ()
    where = "scope = ? AND seq > ?"
    values: list[int | str] = [row.id, seq]
    if session_id is not None:
        where += " AND session = ?"
        values.append(session_id)
    if state == "pending":
        where += " AND state = 'pending'"  # in letters, so that the partial index is used
    elif state is not None:
        where += " AND state = ?"
        values.append(state)
    found = connection.execute(
        f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE {where} ORDER BY seq LIMIT ?",
        (*values, limit),
    )
    return tuple([message_from_row(scope, row) for row in found])


def last(
    connection: sqlite3.Connection, scope: Scope, limit: int, session_id: str | None
) -> tuple[Message, ...]:
    """The newest messages, oldest of them first."""
    row = scope_rows.find(connection, scope)
    if row is None:
        return ()
    chosen = "" if session_id is None else " AND session = ?"
    values = [row.id] if session_id is None else [row.id, session_id]
    found = connection.execute(
        f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE scope = ?{chosen} ORDER BY seq DESC LIMIT ?",
        (*values, limit),
    ).fetchall()
    return tuple([message_from_row(scope, row) for row in reversed(found)])


def count(connection: sqlite3.Connection, scope: Scope, up_to: int) -> int:
    """How many messages have ``seq <= up_to``."""
    row = scope_rows.find(connection, scope)
    if row is None:
        return 0
    (found,) = connection.execute(
        "SELECT count(*) FROM messages WHERE scope = ? AND seq <= ?", (row.id, up_to)
    ).fetchone()
    return int(found)


def around(
    connection: sqlite3.Connection, scope: Scope, seqs: Sequence[int], before: int, after: int
) -> Mapping[int, tuple[tuple[Message, ...], tuple[Message, ...]]]:
    """The turns before and after each ``seq`` in its session; unknown ones are left out."""
    row = scope_rows.find(connection, scope)
    if row is None:
        return {}
    result: dict[int, tuple[list[Message], list[Message]]] = {}
    columns = ", ".join(f"m.{name.strip()}" for name in MESSAGE_COLUMNS.split(","))
    near = "SELECT seq FROM messages WHERE scope = t.scope AND session = t.session AND seq"
    for part, marks in scope_rows.chunks(list(dict.fromkeys(seqs))):
        found = connection.execute(
            f"SELECT t.seq, {columns} FROM messages t LEFT JOIN messages m"
            " ON m.scope = t.scope AND m.seq IN ("
            f"SELECT seq FROM ({near} < t.seq ORDER BY seq DESC LIMIT ?) UNION ALL"
            f" SELECT seq FROM ({near} > t.seq ORDER BY seq LIMIT ?))"
            f" WHERE t.scope = ? AND t.seq IN ({marks}) ORDER BY t.seq, m.seq",
            (before, after, row.id, *part),
        )
        for seq, *cells in found:
            sides = result.setdefault(seq, ([], []))
            if cells[0] is not None:
                sides[cells[0] > seq].append(message_from_row(scope, cells))
    return {seq: (tuple(sides[0]), tuple(sides[1])) for seq, sides in result.items()}


def mark(
    connection: sqlite3.Connection,
    scope: Scope,
    ids: Sequence[str],
    state: MessageState,
    reason: str | None,
) -> None:
    """Give messages a state; raises UnknownId, then nothing has changed."""
    row = scope_rows.touch(connection, scope)
    for name in dict.fromkeys(ids):
        _set(connection, row.id, name, "state = ?, state_reason = ?, attempts = 0", state, reason)


def conclude(connection: sqlite3.Connection, scope: Scope, changes: Changes) -> None:
    """Give messages the states of ``changes``; raises UnknownId."""
    mark(connection, scope, changes.consolidated, "consolidated", None)
    row = scope_rows.touch(connection, scope)
    for name, reason in changes.parked.items():
        values = "state = 'parked', state_reason = ?, attempts = attempts + 1"
        _set(connection, row.id, name, values, reason)
    for name, reason in changes.failed.items():
        _set(connection, row.id, name, "state_reason = ?, attempts = attempts + 1", reason)


def _set(
    connection: sqlite3.Connection, scope_id: int, name: str, assignment: str, *values: str | None
) -> None:
    cursor = connection.execute(
        f"UPDATE messages SET {assignment} WHERE scope = ? AND id = ?", (*values, scope_id, name)
    )
    if cursor.rowcount != 1:
        raise UnknownId("message id", f"no message {name!r} in this scope")


def pending(connection: sqlite3.Connection) -> dict[Scope, int]:
    """Counts of pending messages, of scopes that have any."""
    rows = connection.execute(
        "SELECT user, agent, tenant, n FROM scopes JOIN (SELECT scope, count(*) AS n"
        " FROM messages WHERE state = 'pending' GROUP BY scope) ON scope = scopes.id"
    )
    return {Scope(user, agent, tenant): count for user, agent, tenant, count in rows}
