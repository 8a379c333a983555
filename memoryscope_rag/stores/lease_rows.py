"""Leases in SQL: one owner at a time, for a while, with a token that only ever rises."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from memoryscope_rag.errors import LeaseLost
from memoryscope_rag.ports import Lease
from memoryscope_rag.schema import Scope
from memoryscope_rag.stores import scope_rows
from memoryscope_rag.stores.rows import micros


def acquire(
    connection: sqlite3.Connection,
    scope: Scope,
    name: str,
    owner: str,
    seconds: float,
    now: datetime,
) -> Lease | None:
    """Take a lease that is free or expired, or renew one's own, which keeps its token."""
    row = scope_rows.ensure(connection, scope)
    held = connection.execute(
        "SELECT owner, token, expires_at FROM leases WHERE scope = ? AND name = ?", (row.id, name)
    ).fetchone()
    alive = held is not None and held[2] > micros(now)
    if alive and held[0] != owner:
        return None
    if alive:
        token = int(held[1])
    else:
        # also after one's own lease ran out: another may have worked in between
        token = scope_rows.meta(connection, "lease_token") + 1
        scope_rows.raise_meta(connection, "lease_token", token)
    expires = now + timedelta(seconds=seconds)
    connection.execute(
        "INSERT INTO leases (scope, name, owner, token, expires_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (scope, name) DO UPDATE SET owner = excluded.owner,"
        " token = excluded.token, expires_at = excluded.expires_at",
        (row.id, name, owner, token, micros(expires)),
    )
    return Lease(scope, name, owner, token, expires)


def check(connection: sqlite3.Connection, lease: Lease, now: datetime) -> None:
    """Raise LeaseLost unless ``lease`` is held still."""
    row = scope_rows.find(connection, lease.scope)
    held = (
        row
        and connection.execute(
            "SELECT 1 FROM leases WHERE scope = ? AND name = ? AND owner = ? AND token = ?"
            " AND expires_at > ?",
            (row.id, lease.name, lease.owner, lease.token, micros(now)),
        ).fetchone()
    )
    if not held:
        raise LeaseLost(f"the lease {lease.name!r} expired; another process may have taken it")


def release(connection: sqlite3.Connection, lease: Lease) -> None:
    """Give a lease back if it is still this one."""
    row = scope_rows.find(connection, lease.scope)
    if row is not None:
        connection.execute(
            "DELETE FROM leases WHERE scope = ? AND name = ? AND owner = ? AND token = ?",
            (row.id, lease.name, lease.owner, lease.token),
        )
