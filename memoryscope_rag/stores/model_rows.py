"""Which embedding model made the store's vectors, and changing it without a pause.

At most two models are known: the active one, which searches use, and during re-embedding the
next one, whose vectors are filled in beside.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from memoryscope_rag.errors import EmbeddingMismatch, StoreError
from memoryscope_rag.ports import EmbedderSpec, FloatArray
from memoryscope_rag.schema import MemoryNode, Scope
from memoryscope_rag.stores import node_rows, scope_rows
from memoryscope_rag.stores.encoding import vector_from_blob
from memoryscope_rag.stores.rows import NODE_COLUMNS, node_from_row


@dataclass(frozen=True, slots=True)
class Model:
    """A model's row."""

    id: int
    spec: EmbedderSpec
    state: Literal["active", "next"]


_MISSING = (
    " NOT EXISTS (SELECT 1 FROM vectors v WHERE v.node = n.key AND v.model = ?"
    " AND v.turn IS NOT NULL AND v.context IS NOT NULL)"
)


def models(connection: sqlite3.Connection) -> tuple[Model | None, Model | None]:
    """The active and the next model."""
    rows = {
        state: Model(key, EmbedderSpec(name, dimension, fingerprint, max_tokens), state)
        for key, name, dimension, fingerprint, max_tokens, state in connection.execute(
            "SELECT id, name, dimension, fingerprint, max_tokens, state FROM models"
        )
    }
    return rows.get("active"), rows.get("next")


def model_of(connection: sqlite3.Connection, spec: EmbedderSpec | None, path: Path) -> Model | None:
    """The row of ``spec``; raises EmbeddingMismatch when the store has gone over to another."""
    if spec is None:
        return None
    active, following = models(connection)
    for model in (active, following):
        if model is not None and model.spec.fingerprint == spec.fingerprint:
            return model
    raise mismatch(path, active.spec if active else None, spec)


def mismatch(
    place: Path | str, active: EmbedderSpec | None, spec: EmbedderSpec
) -> EmbeddingMismatch:
    """The error that names both models and the way out; ``place`` is what the store is called."""
    held = "no model" if active is None else f"{active.name} ({active.fingerprint})"
    return EmbeddingMismatch(
        f"{place} holds vectors of {held}, not of {spec.name} ({spec.fingerprint});"
        " open it with the first model, or run `memoryscope-rag reembed` to change over"
    )


def adopt(connection: sqlite3.Connection, spec: EmbedderSpec) -> None:
    """Record ``spec`` as the active model of a store that has none."""
    _insert(connection, spec, "active")


def begin(connection: sqlite3.Connection, spec: EmbedderSpec) -> None:
    """Make ``spec`` the next model; another one that was under way is dropped."""
    active, following = models(connection)
    if following is not None:
        if following.spec.fingerprint == spec.fingerprint:
            return
        _drop(connection, following)
    if active is None or active.spec.fingerprint != spec.fingerprint:
        _insert(connection, spec, "next")


def finish(connection: sqlite3.Connection) -> None:
    """Make the next model the active one; raises StoreError while a node lacks its vectors."""
    active, following = models(connection)
    target = following or active
    if target is None:
        raise StoreError("there is no model to finish with; begin_reembed comes first")
    if missing := count_missing(connection, target.id, None):
        raise StoreError(f"{missing} nodes have no vector of {target.spec.name} yet")
    if following is not None:
        if active is not None:
            _drop(connection, active)
        connection.execute("UPDATE models SET state = 'active' WHERE id = ?", (following.id,))


def count_missing(connection: sqlite3.Connection, model: int, scope_id: int | None) -> int:
    """How many nodes lack a vector of ``model``, in one scope or in all."""
    chosen, values = ("", [model]) if scope_id is None else (" AND n.scope = ?", [model, scope_id])
    (count,) = connection.execute(
        f"SELECT count(*) FROM nodes n WHERE {_MISSING}{chosen}", values
    ).fetchone()
    return int(count)


def missing(
    connection: sqlite3.Connection, model: int, limit: int
) -> tuple[tuple[Scope, MemoryNode], ...]:
    """Nodes without a vector of ``model``, oldest scope first."""
    columns = ", ".join(f"n.{name.strip()}" for name in NODE_COLUMNS.split(","))
    found = connection.execute(
        f"SELECT s.user, s.agent, s.tenant, {columns} FROM nodes n"
        f" JOIN scopes s ON s.id = n.scope WHERE {_MISSING} ORDER BY n.scope, n.key LIMIT ?",
        (model, limit),
    )
    return tuple([(Scope(*row[:3]), node_from_row(row[3:])) for row in found])


def put(
    connection: sqlite3.Connection,
    scope: Scope,
    vectors: Mapping[str, tuple[bytes, bytes]],
    model: Model,
) -> int:
    """Store vectors of nodes that are still there; returns how many were."""
    row = scope_rows.find(connection, scope)
    if row is None:
        return 0
    keys = node_rows.keys_of(connection, row.id, list(vectors))
    if not keys:
        return 0
    row = scope_rows.touch(connection, scope)
    for name, key in keys.items():
        node_rows.put_vectors(connection, key, model.id, *vectors[name])
    if model.state == "active":
        # the search indexes read these nodes again; vectors of the next model are not in them
        connection.executemany(
            "UPDATE nodes SET generation = ? WHERE key = ?",
            [(row.generation, key) for key in keys.values()],
        )
    return len(keys)


def read(
    connection: sqlite3.Connection, scope: Scope, ids: Sequence[str]
) -> dict[str, tuple[FloatArray | None, FloatArray | None]]:
    """Vectors (turn, context) of the active model by node id."""
    row = scope_rows.find(connection, scope)
    active, _ = models(connection)
    if row is None or active is None:
        return {}
    dimension = active.spec.dimension
    found: dict[str, tuple[FloatArray | None, FloatArray | None]] = {}
    for part, marks in scope_rows.chunks(list(dict.fromkeys(ids))):
        for name, turn, context in connection.execute(
            "SELECT n.id, v.turn, v.context FROM nodes n JOIN vectors v ON v.node = n.key"
            f" WHERE n.scope = ? AND n.id IN ({marks}) AND v.model = ?",
            (row.id, *part, active.id),
        ):
            if turn is not None or context is not None:
                found[name] = (
                    vector_from_blob(turn, dimension),
                    vector_from_blob(context, dimension),
                )
    return found


def _insert(connection: sqlite3.Connection, spec: EmbedderSpec, state: str) -> None:
    connection.execute(
        "INSERT INTO models (name, dimension, fingerprint, max_tokens, state)"
        " VALUES (?, ?, ?, ?, ?)",
        (spec.name, spec.dimension, spec.fingerprint, spec.max_tokens, state),
    )


def _drop(connection: sqlite3.Connection, model: Model) -> None:
    connection.execute("DELETE FROM models WHERE id = ?", (model.id,))
