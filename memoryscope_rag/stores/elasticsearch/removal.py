"""Forgetting: what goes, taking it out everywhere, and looking for it afterwards.

Messages go after what rests on them, so that a removal which a crash interrupted finds them again
when it is repeated. Then everything is searched once more, for a fact that a model was still
drawing from them meanwhile: whoever writes one checks afterwards that its messages are there
still, so either that check or this search comes late enough to see the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.indexing import CONTEXT_TURNS
from memoryscope_rag.ports import Forgotten
from memoryscope_rag.schema import Scope
from memoryscope_rag.stores.elasticsearch import compaction, heads, nodes, turns, writing
from memoryscope_rag.stores.elasticsearch.cluster import (
    Cluster,
    Held,
    Index,
    Query,
    Ref,
    ScopedSearch,
    Write,
)
from memoryscope_rag.stores.elasticsearch.documents import (
    Source,
    message_ref,
    scope_key,
    set_terms,
    set_vectors,
)
from memoryscope_rag.stores.rows import without_successor

_TERMS = 1000
_SEARCHED: tuple[Index, ...] = ("messages", "nodes", "history")
_UNIQUE: Mapping[Index, Sequence[str]] = {
    "messages": ("id",),
    "nodes": ("id",),
    "history": ("node", "version"),
    "state": ("name",),
}
"""Fields by which the documents of a scope differ."""
_LIGHT = ("id", "session", "seq", "kind", "version", "sources")
"""What is known of documents that go: a whole scope of them must fit into memory."""
_INSIGHT: Query = {"term": {"kind": "insight"}}
_ROUNDS = 5


@dataclass(slots=True)
class _Gone:
    """What is removed: documents by id, nodes in the order in which they were found."""

    messages: dict[str, Held] = field(default_factory=dict)
    nodes: dict[str, Held] = field(default_factory=dict)


async def forget(
    cluster: Cluster,
    scope: Scope,
    message_ids: Sequence[str],
    session_id: str | None,
    everything: bool,
    compact: bool,
    now: int,
) -> Forgotten:
    """Take the chosen messages out, and every node of which any version rests on one of them.

    Which nodes go and what becomes of others is said in :mod:`memoryscope_rag.stores.removal`.
    """
    key = scope_key(scope)
    head, _, _ = await heads.read(cluster, scope)
    if head.held is None:
        return Forgotten(0, 0, (), True)
    gone = _Gone()
    proven = False
    for _ in range(_ROUNDS):
        await _refresh(cluster)
        new = _Gone()
        await _choose(cluster, key, gone, new, message_ids, session_id, everything)
        if not new.messages and not new.nodes:
            proven = True
            break
        await _remove(cluster, key, new, everything=everything)
        gone.messages |= new.messages
        gone.nodes |= new.nodes
    if everything:
        await _erase(cluster, scope)
    elif gone.messages or gone.nodes:
        await heads.touch(cluster, head, now)
    await _refresh(cluster)
    proven = proven and not await _remains(cluster, key, gone, everything=everything)
    if compact:
        await asyncio.gather(*[compaction.compact(cluster, index) for index in _SEARCHED])
    return Forgotten(len(gone.messages), len(gone.nodes), tuple(sorted(gone.nodes)), proven)


async def _choose(
    cluster: Cluster,
    key: str,
    gone: _Gone,
    new: _Gone,
    message_ids: Sequence[str],
    session_id: str | None,
    everything: bool,
) -> None:
    chosen: list[Query] = [] if everything else [{"term": {"session": session_id}}]
    if everything or session_id is not None:
        new.messages |= await _matching(cluster, key, "messages", chosen, _LIGHT)
        new.nodes |= await _matching(cluster, key, "nodes", chosen, _LIGHT)
    else:
        refs = [message_ref(key, name) for name in dict.fromkeys(message_ids)]
        held = [doc for doc in await cluster.get(refs) if doc is not None]
        new.messages |= {doc.source["id"]: doc for doc in held}
    if everything:
        return
    # those asked for by id, too, that a removal took out before it was interrupted
    resting = [*dict.fromkeys([*new.messages, *gone.messages, *message_ids])]
    for part in _parts(resting):
        resting_on: list[Query] = [{"terms": {"sources": part}}]
        new.nodes |= await _matching(cluster, key, "nodes", resting_on, _LIGHT)
    frontier = [*new.nodes, *gone.nodes]
    while frontier:
        deeper: dict[str, Held] = {}
        for part in _parts(frontier):
            filters = [{"terms": {"sources": part}}, _INSIGHT]
            deeper |= await _matching(cluster, key, "nodes", filters, _LIGHT)
        frontier = [name for name in deeper if name not in new.nodes]
        new.nodes |= {name: deeper[name] for name in frontier}


async def _remove(cluster: Cluster, key: str, gone: _Gone, *, everything: bool) -> None:
    if not everything:
        await _lose_context(cluster, key, gone)
        await _unlink(cluster, key, gone)
        await _free_ground(cluster, key, gone)
    # what rests on others before them: a repetition finds it by them
    await nodes.remove(cluster, key, list(gone.nodes.values())[::-1])
    await cluster.bulk([Write("delete", held.ref) for held in gone.messages.values()])


async def _lose_context(cluster: Cluster, key: str, gone: _Gone) -> None:
    """The turns right after a removed one had it in their context."""
    removed = [(held.source["session"], held.source["seq"]) for held in gone.messages.values()]
    near = await turns.around(
        cluster, "messages", key, removed, 0, CONTEXT_TURNS, fields=["id", "session", "seq"]
    )
    names = {
        (hit["_source"]["session"], hit["_source"]["seq"]): hit["_source"]["id"]
        for hit in near.hits
    }
    later = {
        names[session, seq]
        for session, start in removed
        for seq in near.after(session, start, CONTEXT_TURNS)
    }
    staying = sorted(later - gone.messages.keys())
    found: dict[str, Held] = {}
    for part in _parts(staying):
        filters: list[Query] = [{"terms": {"sources": part}}, {"term": {"kind": "conversation"}}]
        found |= await _matching(cluster, key, "nodes", filters)

    def edit(source: Source) -> Source:
        terms = source["terms"].split()
        kept = {
            model: {"turn": pair["turn"]}
            for model, pair in source["vectors"].items()
            if "turn" in pair
        }
        return set_vectors(set_terms(source, terms, terms), kept)

    await writing.change_all(cluster, _others(found, gone), edit)


async def _unlink(cluster: Cluster, key: str, gone: _Gone) -> None:
    """Nodes, and their old versions, lose a successor that is removed; they stay closed."""
    current: dict[str, Held] = {}
    older: dict[str, Held] = {}
    for part in _parts(list(gone.nodes)):
        filters = [{"terms": {"superseded_by": part}}]
        current |= await _matching(cluster, key, "nodes", filters)
        older |= await _matching(cluster, key, "history", filters)

    def edit(source: Source) -> Source:
        source["rest"] = without_successor(source["rest"], nested=False)
        return source | {"superseded_by": None}

    def edit_old(source: Source) -> Source:
        source["body"] = without_successor(source["body"], nested=True)
        return source | {"superseded_by": None}

    await writing.change_all(cluster, _others(current, gone), edit)
    await writing.change_all(cluster, list(older.values()), edit_old)


async def _free_ground(cluster: Cluster, key: str, gone: _Gone) -> None:
    """What removed insights rested on counts as not reflected."""
    ground = {
        source
        for held in gone.nodes.values()
        if held.source["kind"] == "insight"
        for source in held.source["sources"]
    }
    found: dict[str, Held] = {}
    for part in _parts(sorted(ground - gone.nodes.keys())):
        filters: list[Query] = [{"terms": {"id": part}}, {"term": {"reflected": True}}]
        found |= await _matching(cluster, key, "nodes", filters)
    await writing.change_all(
        cluster, _others(found, gone), lambda source: source | {"reflected": False}
    )


async def _erase(cluster: Cluster, scope: Scope) -> None:
    """Remove the scope's own documents (names of a tenant, user and agent)."""
    key = scope_key(scope)
    await cluster.refresh("state")
    found = await _matching(cluster, key, "state", [{"exists": {"field": "owner"}}])
    await cluster.bulk([Write("delete", held.ref) for held in found.values()])
    for _ in range(heads.TRIES):
        head, _, _ = await heads.read(cluster, scope)
        if head.held is None:
            return
        await heads.raise_floors(cluster, head.state["last_seq"], head.generation + 1)
        (outcome,) = await cluster.bulk([Write("delete", head.held.ref, None, head.held)])
        if outcome.done:
            return
    raise StoreUnavailable("the scope is written by too many at once; try again")


async def _remains(cluster: Cluster, key: str, gone: _Gone, *, everything: bool) -> bool:
    """Whether a search still finds one of the removed ids."""
    filters: list[tuple[Index, list[Query]]] = [(index, []) for index in _SEARCHED]
    if not everything:
        messages, found = list(gone.messages), list(gone.nodes)
        looked_for: Sequence[tuple[Index, str, list[str]]] = (
            ("messages", "id", messages),
            ("nodes", "sources", messages),
            ("nodes", "id", found),
            ("nodes", "superseded_by", found),
            ("history", "node", found),
            ("history", "superseded_by", found),
        )
        filters = [
            (index, [{"terms": {name: part}}])
            for index, name, ids in looked_for
            for part in _parts(ids)
        ]
    body = {"size": 0, "track_total_hits": True}
    answers = await cluster.searches(
        [ScopedSearch(index, key, chosen, body=body) for index, chosen in filters]
    )
    return any(answer["hits"]["total"]["value"] for answer in answers)


async def _refresh(cluster: Cluster) -> None:
    for index in _SEARCHED:
        await cluster.refresh(index)


async def _matching(
    cluster: Cluster,
    key: str,
    index: Index,
    filters: Sequence[Query],
    fields: Sequence[str] = (),
) -> dict[str, Held]:
    """Documents of the scope as they were at the last refresh, by our id where they have one.

    ``fields`` are those that are wanted; all by default.
    """
    body = {
        "sort": list(_UNIQUE[index]),
        "seq_no_primary_term": True,
        "_source": {"includes": fields} if fields else {"excludes": "dense"},
    }
    hits = await cluster.hits(ScopedSearch(index, key, filters, body=body))
    held = [
        Held(Ref(index, hit["_id"], key), hit["_source"], hit["_seq_no"], hit["_primary_term"])
        for hit in hits
    ]
    return {doc.source.get("id", doc.ref.id): doc for doc in held}


def _others(found: dict[str, Held], gone: _Gone) -> list[Held]:
    return [held for name, held in found.items() if name not in gone.nodes]


def _parts(names: Sequence[str]) -> Iterable[list[str]]:
    for begin in range(0, len(names), _TERMS):
        yield list(names[begin : begin + _TERMS])
