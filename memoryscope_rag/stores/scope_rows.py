"""Scopes as rows: their keys, generations and sequence numbers, and small shared SQL helpers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from memoryscope_rag.schema import Scope

T = TypeVar("T")
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class ScopeRow:
    """A scope's key, its generation and the last sequence number given out."""

    id: int
    generation: int
    last_seq: int
    tombstone_floor: int


_COLUMNS = "id, generation, last_seq, tombstone_floor"


def find(connection: sqlite3.Connection, scope: Scope) -> ScopeRow | None:
    """The scope's row, ``None`` when nothing was ever written to it."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM scopes WHERE tenant = ? AND user = ? AND agent = ?",
        (scope.tenant_id, scope.user_id, scope.agent_id),
    ).fetchone()
    return None if row is None else ScopeRow(*row)


def touch(connection: sqlite3.Connection, scope: Scope) -> ScopeRow:
    """The scope's row, made if need be, with its generation raised by one."""
    # A scope that was erased and comes back starts above whatever it had before, though its
    # row is gone: the floors are the highest generation and seq of all that were erased.
    row = connection.execute(
        "INSERT INTO scopes (tenant, user, agent, generation, last_seq, tombstone_floor)"
        " VALUES (?, ?, ?, ?, ?, 0)"
        " ON CONFLICT (tenant, user, agent) DO UPDATE SET generation = generation + 1"
        f" RETURNING {_COLUMNS}",
        (
            scope.tenant_id,
            scope.user_id,
            scope.agent_id,
            meta(connection, "erased_generation") + 1,
            meta(connection, "erased_seq"),
        ),
    ).fetchone()
    return ScopeRow(*row)


def ensure(connection: sqlite3.Connection, scope: Scope) -> ScopeRow:
    """The scope's row, made if need be, its generation left alone."""
    return find(connection, scope) or touch(connection, scope)


def erase(connection: sqlite3.Connection, row: ScopeRow) -> None:
    """Remove the scope's own row (names of a tenant, user and agent) once it holds nothing."""
    raise_meta(connection, "erased_generation", row.generation)
    raise_meta(connection, "erased_seq", row.last_seq)
    connection.execute("DELETE FROM scopes WHERE id = ?", (row.id,))


def meta(connection: sqlite3.Connection, key: str) -> int:
    """A store-wide number, 0 when it was never set."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return 0 if row is None else int(row[0])


def raise_meta(connection: sqlite3.Connection, key: str, value: int) -> None:
    """Set a store-wide number to ``value`` unless it is higher already."""
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
        (key, value),
    )


def chunks(values: Sequence[T]) -> Iterator[tuple[Sequence[T], str]]:
    """``values`` in parts small enough for one statement, each with its ``?, ?, …``."""
    for begin in range(0, len(values), _CHUNK):
        part = values[begin : begin + _CHUNK]
        yield part, ", ".join("?" * len(part))


def key_chunks(values: Sequence[int]) -> Iterator[str]:
    """Row keys in parts, each as the inside of an ``IN (…)``; keys are ours, so it is safe."""
    for begin in range(0, len(values), _CHUNK):
        yield ", ".join(str(int(value)) for value in values[begin : begin + _CHUNK])
