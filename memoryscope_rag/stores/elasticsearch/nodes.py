"""Nodes: adding, changing, listing and deleting them, and what one backend run commits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from memoryscope_rag.errors import DuplicateId, MemoryScopeError, StoreUnavailable, UnknownId
from memoryscope_rag.ports import Changes, EmbedderSpec, IndexedNode, Lease, NodeFilter, Page
from memoryscope_rag.schema import MemoryNode, Scope
from memoryscope_rag.stores.elasticsearch import embedding, ground, heads, leases, log, writing
from memoryscope_rag.stores.elasticsearch.cluster import (
    Cluster,
    Held,
    Query,
    Ref,
    ScopedSearch,
    Write,
)
from memoryscope_rag.stores.elasticsearch.documents import (
    Prepared,
    Source,
    merged_vectors,
    message_ref,
    node_cells,
    node_from,
    node_ref,
    node_source,
    prepare,
    scope_key,
    version_ref,
)
from memoryscope_rag.stores.elasticsearch.filters import validity
from memoryscope_rag.stores.elasticsearch.freshness import Freshness
from memoryscope_rag.stores.elasticsearch.heads import Head
from memoryscope_rag.stores.node_rows import make_cursor, read_cursor
from memoryscope_rag.stores.rows import NODE_COLUMNS, micros, node_from_body, version_body

_TERMS = 1000
_LISTED = {"sort": ["said_at", "id"], "_source": [name.strip() for name in NODE_COLUMNS.split(",")]}


@dataclass(slots=True)
class _Draft:
    """What nodes become: drafts by id over what is held, and old versions for the history."""

    head: Head
    model: str | None
    held: dict[str, Held]
    drafts: dict[str, Source] = field(default_factory=dict)
    history: list[Write] = field(default_factory=list)

    def add(self, new: Prepared) -> None:
        """A node as version 1; its id must be free."""
        name = new.node.id
        if name in self.held or name in self.drafts:
            raise DuplicateId("node id", f"{name!r} is taken in this scope")
        vectors = merged_vectors({}, self.model, new)
        self.drafts[name] = self._source(new.item, new.node.with_(version=1), vectors)

    def update(self, new: Prepared, version: int) -> MemoryNode:
        """The next version of a node, which must be at ``version``."""
        name = new.node.id
        old = self.drafts.get(name) or (self.held[name].source if name in self.held else None)
        if old is None:
            raise UnknownId("node id", f"no node {name!r} in this scope")
        if old["version"] != version:
            raise StoreUnavailable(
                f"node {name!r} is at version {old['version']}, not {version}:"
                " another writer was first; read it again"
            )
        node = new.node.with_(version=version + 1)
        same = old["content"] == node.content
        vectors = merged_vectors(old["vectors"] if same else {}, self.model, new)
        self.drafts[name] = self._source(
            new.item,
            node,
            vectors,
            sources=old["sources"],
            reflected=same and old["reflected"],
        )
        self.history.append(old_version(self.head.key, old))
        return node

    def reflect(self, name: str) -> None:
        """Mark a node as dealt with; one that is gone does not matter."""
        source = self.drafts.get(name) or (self.held[name].source if name in self.held else None)
        if source is not None:
            self.drafts[name] = source | {"reflected": True}

    async def write(self, cluster: Cluster) -> list[tuple[Write, Held]]:
        """Write all of it or none. Raises StoreUnavailable when another writer was first.

        The history comes first: a version in it that is not older than the node counts for nothing.
        """
        writes = [
            writing.node_write(node_ref(self.head.key, name), source, self.held.get(name))
            for name, source in self.drafts.items()
        ]
        await cluster.bulk(self.history)
        done = await writing.all_or_none(cluster, writes)
        if isinstance(done, Ref):
            name = next(w.source["id"] for w in writes if w.ref == done and w.source)
            if name in self.held:
                raise StoreUnavailable(
                    f"node {name!r} was changed meanwhile: another writer was first; read it again"
                )
            raise DuplicateId("node id", f"{name!r} is taken in this scope")
        return list(zip(writes, done, strict=True))

    def _source(
        self,
        item: IndexedNode,
        node: MemoryNode,
        vectors: dict[str, dict[str, str]],
        *,
        sources: Sequence[str] = (),
        reflected: bool = False,
    ) -> Source:
        since = self.head.state["since"]
        return node_source(
            self.head.key, since, item, node, vectors, sources=sources, reflected=reflected
        )


def old_version(key: str, source: Source) -> Write:
    """What keeps a node's present version in its history."""
    body = version_body(node_cells(source))
    ref = version_ref(key, source["id"], source["version"])
    kept = {name: source[name] for name in ("scope", "version", "superseded_by")}
    return Write("index", ref, {**kept, "node": source["id"], "body": body})


async def commit(
    cluster: Cluster,
    scope: Scope,
    changes: Changes,
    spec: EmbedderSpec | None,
    now: int,
    lease: Lease | None = None,
    *,
    grounded: bool = True,
) -> list[MemoryNode]:
    """Carry out ``changes``; the nodes as they are after ``update``.

    Everything is checked first. Then nodes are written, and only when what they rest on is still
    there and the lease still held, the states of messages: a crash before that leaves the messages
    to be consolidated again. ``grounded``: an open insight must rest on what is there.
    """
    key = scope_key(scope)
    ready = prepare(
        [*changes.add, *[n for n, _ in changes.update]], spec.dimension if spec else None
    )
    new, changed = ready[: len(changes.add)], ready[len(changes.add) :]
    names = list(dict.fromkeys([*[item.node.id for item in ready], *changes.reflected]))
    edits = log.edits_of(changes)
    refs = [node_ref(key, name) for name in names]
    refs += [message_ref(key, name) for name in edits]
    head, found, _ = await heads.read(cluster, scope, refs)
    if lease is not None:
        await leases.check(cluster, lease, now)
    if head.held is None:  # a node carries the age of its scope
        head = await heads.touch(cluster, head, now)
    held = {name: doc for name, doc in zip(names, found, strict=False) if doc is not None}
    draft = _Draft(head, embedding.key_of(cluster, head.models, spec), held)
    for item in new:
        draft.add(item)
    updated = [
        draft.update(item, version)
        for item, (_, version) in zip(changed, changes.update, strict=True)
    ]
    nodes = [item.node for item in ready]
    await _check_ground(cluster, key, nodes, draft, grounded=grounded)
    for name in changes.reflected:
        draft.reflect(name)
    messages = log.check_known(list(edits), found[len(names) :])

    done = await draft.write(cluster)
    try:
        await _check_ground(cluster, key, nodes, draft, grounded=grounded)
        if lease is not None and edits:
            await leases.check(cluster, lease, now)
    except MemoryScopeError:
        await writing.take_back(cluster, done)
        raise
    await log.conclude(cluster, messages, edits)
    await heads.touch(cluster, head, now)
    return updated


async def _check_ground(
    cluster: Cluster, key: str, nodes: Sequence[MemoryNode], draft: _Draft, *, grounded: bool
) -> None:
    await ground.check_sources(cluster, key, nodes)
    if grounded:
        await ground.check_insights(cluster, key, nodes, draft.drafts.keys())


async def by_ids(cluster: Cluster, scope: Scope, ids: Sequence[str]) -> tuple[MemoryNode, ...]:
    """Nodes in the order of ``ids``; unknown ones are left out."""
    key = scope_key(scope)
    names = list(dict.fromkeys(ids))
    found = await cluster.get([node_ref(key, name) for name in names])
    known = {held.source["id"]: node_from(held.source) for held in found if held is not None}
    return tuple([known[name] for name in ids if name in known])


async def drawn_from(
    cluster: Cluster, fresh: Freshness, scope: Scope, message_ids: Sequence[str]
) -> dict[str, tuple[MemoryNode, ...]]:
    """Observations by the message that they rest on."""
    filters: list[Query] = [{"term": {"kind": "observation"}}]
    drawn: dict[str, tuple[MemoryNode, ...]] = {}
    wanted = list(dict.fromkeys(message_ids))
    head, _, _ = await heads.read(cluster, scope)
    if head.held is None:
        return drawn
    await fresh.ensure("nodes", head.key, head.generation)
    found: dict[str, Source] = {}
    for begin in range(0, len(wanted), _TERMS):
        part = {"terms": {"provenance": wanted[begin : begin + _TERMS]}}
        search = ScopedSearch("nodes", head.key, [*filters, part], body=_LISTED)
        found |= {hit["_id"]: hit["_source"] for hit in await cluster.hits(search)}
    asked = set(wanted)
    for source in found.values():
        node = node_from(source)
        for name in dict.fromkeys(node.provenance):
            if name in asked:
                drawn[name] = (*drawn.get(name, ()), node)
    return drawn


async def page(
    cluster: Cluster,
    fresh: Freshness,
    scope: Scope,
    where: NodeFilter,
    cursor: str | None,
    limit: int,
    now: int,
) -> Page[MemoryNode]:
    """Nodes by ``said_at``, then id, after the place that ``cursor`` names."""
    after = None if cursor is None else read_cursor(cursor)
    head, _, _ = await heads.read(cluster, scope)
    if head.held is None:
        return Page((), None)
    await fresh.ensure("nodes", head.key, head.generation)
    filters: list[Query] = []
    for name, value in (("session", where.session_id), ("provenance", where.message_id)):
        if value is not None:
            filters.append({"term": {name: value}})
    if where.kinds is not None:
        filters.append({"terms": {"kind": sorted(where.kinds)}})
    if where.reflected is not None:
        filters.append({"term": {"reflected": where.reflected}})
    if where.as_of is not None or not where.closed:
        filters.append(validity(where.as_of, now))
    body: dict[str, Any] = dict(_LISTED)
    if after is not None:
        body["search_after"] = list(after)
    found = await cluster.hits(ScopedSearch("nodes", head.key, filters, body=body), limit + 1)
    items = tuple([node_from(hit["_source"]) for hit in found[:limit]])
    if len(found) <= limit:
        return Page(items, None)
    return Page(items, make_cursor(micros(items[-1].said_at), items[-1].id))


async def history(cluster: Cluster, scope: Scope, node_id: str) -> tuple[MemoryNode, ...]:
    """All versions, the present one last. Raises UnknownId."""
    key = scope_key(scope)
    (held,) = await cluster.get([node_ref(key, node_id)])
    if held is None:
        raise UnknownId("node id", f"no node {node_id!r} in this scope")
    older = await cluster.get(
        [version_ref(key, node_id, number) for number in range(1, held.source["version"])]
    )
    bodies = [doc.source["body"] for doc in older if doc is not None]
    return (*[node_from_body(body) for body in bodies], node_from(held.source))


async def delete(cluster: Cluster, scope: Scope, ids: Sequence[str], now: int) -> tuple[str, ...]:
    """Remove nodes and their history; returns the ids that were there, in order."""
    key = scope_key(scope)
    names = list(dict.fromkeys(ids))
    head, found, _ = await heads.read(cluster, scope, [node_ref(key, name) for name in names])
    held = [doc for doc in found if doc is not None]
    if not held:
        return ()
    await remove(cluster, key, held)
    await heads.touch(cluster, head, now)
    return tuple([doc.source["id"] for doc in held])


async def remove(cluster: Cluster, key: str, held: Sequence[Held]) -> None:
    """Delete nodes in this order, each after its history."""
    writes = []
    for doc in held:
        # one more than the node tells of: a change that was not carried out left it
        versions = range(1, doc.source["version"] + 1)
        writes += [Write("delete", version_ref(key, doc.source["id"], n)) for n in versions]
        writes.append(Write("delete", doc.ref))
    await cluster.bulk(writes)
