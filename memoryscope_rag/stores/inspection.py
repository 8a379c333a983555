"""Counting what a store holds and checking that it hangs together (fsck)."""

from __future__ import annotations

import sqlite3

from memoryscope_rag.ports import StoreStats
from memoryscope_rag.schema import KINDS, Scope
from memoryscope_rag.stores import model_rows, removal, scope_rows


def filled_scopes(connection: sqlite3.Connection) -> tuple[Scope, ...]:
    """Scopes that hold a message or a node, oldest first."""
    return tuple(
        [
            Scope(*row)
            for row in connection.execute(
                "SELECT user, agent, tenant FROM scopes s"
                " WHERE EXISTS (SELECT 1 FROM messages WHERE scope = s.id)"
                " OR EXISTS (SELECT 1 FROM nodes WHERE scope = s.id) ORDER BY id"
            )
        ]
    )


def stats(connection: sqlite3.Connection, scope: Scope | None, size: int) -> StoreStats:
    """Counts of one scope or of all; ``generation`` of the whole store is the sum."""
    active, following = model_rows.models(connection)
    row = None if scope is None else scope_rows.find(connection, scope)
    chosen = "" if scope is None else f" WHERE scope = {row.id if row else -1}"
    both = f"{chosen} AND" if chosen else " WHERE"
    (messages,) = connection.execute(f"SELECT count(*) FROM messages{chosen}").fetchone()
    (pending,) = connection.execute(
        f"SELECT count(*) FROM messages{both} state = 'pending'"
    ).fetchone()
    kinds = dict(connection.execute(f"SELECT kind, count(*) FROM nodes{chosen} GROUP BY kind"))
    nodes: dict[str, int] = {kind: int(kinds.get(kind, 0)) for kind in KINDS}
    target = following or active
    if target is None:
        missing = sum(nodes.values())
    else:
        scope_id = None if scope is None else (row.id if row else -1)
        missing = model_rows.count_missing(connection, target.id, scope_id)
    if scope is None:
        (generation,) = connection.execute(
            "SELECT coalesce(sum(generation), 0) FROM scopes"
        ).fetchone()
        count = len(filled_scopes(connection))
    else:
        generation = row.generation if row else scope_rows.meta(connection, "erased_generation")
        count = 1 if messages or sum(nodes.values()) else 0
    detail = {"engine": "sqlite", "sqlite": sqlite3.sqlite_version}
    if following is not None:
        detail["reembedding"] = following.spec.name
    return StoreStats(
        scopes=count,
        messages=messages,
        pending=pending,
        nodes=nodes,
        missing_vectors=missing,
        generation=generation,
        bytes=size,
        embedder=None if active is None else active.spec,
        detail=detail,
    )


_COUNTED = (
    (
        "SELECT count(*) FROM nodes n WHERE NOT EXISTS"
        " (SELECT 1 FROM terms t WHERE t.node = n.key)",
        "nodes have no search terms",
    ),
    (
        "SELECT count(*) FROM terms WHERE length(turn) % 8 OR length(context) % 8",
        "term lists have a broken length",
    ),
    (
        "SELECT count(*) FROM vectors v JOIN models m ON m.id = v.model"
        " WHERE coalesce(length(v.turn), 2 * m.dimension) <> 2 * m.dimension"
        " OR coalesce(length(v.context), 2 * m.dimension) <> 2 * m.dimension",
        "vectors have another length than their model's",
    ),
    (
        "SELECT count(*) FROM vectors v WHERE NOT EXISTS"
        " (SELECT 1 FROM nodes n WHERE n.key = v.node)",
        "vectors belong to no node",
    ),
    (
        "SELECT count(*) FROM provenance p JOIN nodes n ON n.key = p.node"
        " WHERE n.kind <> 'insight' AND NOT EXISTS"
        " (SELECT 1 FROM messages m WHERE m.scope = p.scope AND m.id = p.source)",
        "sources of nodes are messages that are not there",
    ),
    (
        "SELECT count(*) FROM provenance p JOIN nodes n ON n.key = p.node WHERE n.scope <> p.scope",
        "sources belong to another scope than their node",
    ),
    (
        "SELECT count(*) FROM nodes n JOIN scopes s ON s.id = n.scope"
        " WHERE n.generation > s.generation",
        "nodes are newer than their scope",
    ),
    (
        "SELECT count(*) FROM messages m JOIN scopes s ON s.id = m.scope WHERE m.seq > s.last_seq",
        "messages are past their scope's last seq",
    ),
    (
        "SELECT count(*) FROM node_versions v JOIN nodes n ON n.key = v.node"
        " WHERE v.version >= n.version",
        "old versions are not older than their node",
    ),
    (
        "SELECT count(*) FROM (SELECT n.key FROM nodes n LEFT JOIN node_versions v"
        " ON v.node = n.key GROUP BY n.key HAVING count(v.key) <> n.version - 1)",
        "nodes lack a version in their history",
    ),
)


def check(connection: sqlite3.Connection) -> tuple[str, ...]:
    """What is wrong, a sentence each. Reads the whole file."""
    problems = [
        f"the file is damaged: {line}"
        for (line,) in connection.execute("PRAGMA integrity_check(20)")
        if line != "ok"
    ]
    if problems:
        return tuple(problems)
    broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        tables = ", ".join(sorted({row[0] for row in broken}))
        problems.append(f"{len(broken)} rows point to rows that are not there, in {tables}")
    for query, what in _COUNTED:
        (count,) = connection.execute(query).fetchone()
        if count:
            problems.append(f"{count} {what}")
    if removal.unscrubbed(connection):
        problems.append(
            "forgotten text may still stand in the files: a reader kept them from being cleaned;"
            " the next forget, open or close will finish it"
        )
    return tuple(problems)
