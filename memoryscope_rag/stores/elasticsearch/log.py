"""The message log: reading in order, what stands around a turn, states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from memoryscope_rag.errors import UnknownId
from memoryscope_rag.ports import Changes
from memoryscope_rag.schema import Message, MessageState, Scope
from memoryscope_rag.stores.elasticsearch import heads, turns, writing
from memoryscope_rag.stores.elasticsearch.cluster import Cluster, Held, Query, ScopedSearch
from memoryscope_rag.stores.elasticsearch.documents import (
    Source,
    message_from,
    message_ref,
    scope_key,
    scope_ref,
)
from memoryscope_rag.stores.elasticsearch.freshness import Freshness

Edit = Callable[[Source], None]


async def by_ids(cluster: Cluster, scope: Scope, ids: Sequence[str]) -> tuple[Message, ...]:
    """Messages in the order of ``ids``; unknown ones are left out."""
    key = scope_key(scope)
    names = list(dict.fromkeys(ids))
    found = await cluster.get([message_ref(key, name) for name in names])
    known = {
        name: message_from(scope, held.source)
        for name, held in zip(names, found, strict=True)
        if held
    }
    return tuple([known[name] for name in ids if name in known])


async def after(
    cluster: Cluster,
    fresh: Freshness,
    scope: Scope,
    session_id: str | None,
    state: MessageState | None,
    seq: int,
    limit: int,
) -> tuple[Message, ...]:
    """Messages past ``seq`` in order."""
    filters: list[Query] = [{"range": {"seq": {"gt": seq}}}, *_session(session_id)]
    if state is not None:
        filters.append({"term": {"state": state}})
    return await _sorted(cluster, fresh, scope, filters, "asc", limit)


async def last(
    cluster: Cluster, fresh: Freshness, scope: Scope, limit: int, session_id: str | None
) -> tuple[Message, ...]:
    """The newest messages, oldest of them first."""
    found = await _sorted(cluster, fresh, scope, _session(session_id), "desc", limit)
    return found[::-1]


async def count(cluster: Cluster, fresh: Freshness, scope: Scope, up_to: int) -> int:
    """How many messages have ``seq <= up_to``."""
    head, _, _ = await heads.read(cluster, scope)
    if head.held is None:
        return 0
    await fresh.ensure("messages", head.key, head.generation)
    body = {"size": 0, "track_total_hits": True}
    filters: list[Query] = [{"range": {"seq": {"lte": up_to}}}]
    answer = await cluster.search(ScopedSearch("messages", head.key, filters, body=body))
    return int(answer["hits"]["total"]["value"])


async def around(
    cluster: Cluster,
    fresh: Freshness,
    scope: Scope,
    seqs: Sequence[int],
    before: int,
    after: int,
) -> Mapping[int, tuple[tuple[Message, ...], tuple[Message, ...]]]:
    """The turns before and after each ``seq`` in its session; unknown ones are left out."""
    if not seqs:
        return {}
    key = scope_key(scope)
    # a search that found the turns saw to it that the others' messages are seen, too
    await fresh.ensure_own("messages", key)
    wanted: Query = {"terms": {"seq": sorted(set(seqs))}}
    body = {"sort": ["seq"], "_source": ["seq", "session"]}
    found = await cluster.hits(ScopedSearch("messages", key, [wanted], body=body))
    asked = [(hit["_source"]["session"], hit["_source"]["seq"]) for hit in found]
    near = await turns.around(cluster, "messages", key, asked, before, after)
    known = {hit["_source"]["seq"]: hit["_source"] for hit in near.hits}

    def read(numbers: Sequence[int]) -> tuple[Message, ...]:
        return tuple([message_from(scope, known[number]) for number in numbers])

    return {
        seq: (read(near.before(session, seq, before)), read(near.after(session, seq, after)))
        for session, seq in asked
    }


async def mark(
    cluster: Cluster,
    scope: Scope,
    ids: Sequence[str],
    state: MessageState,
    reason: str | None,
    now: int,
) -> None:
    """Give messages a state; raises UnknownId, then nothing has changed."""
    key = scope_key(scope)
    names = list(dict.fromkeys(ids))
    head, found, _ = await heads.read(cluster, scope, [message_ref(key, name) for name in names])
    edits: dict[str, list[Edit]] = {name: [_state(state, reason)] for name in names}
    await conclude(cluster, check_known(names, found), edits)
    await heads.touch(cluster, head, now)


def check_known(names: Sequence[str], found: Sequence[Held | None]) -> list[Held]:
    """What was found under ``names``; raises UnknownId when a message is missing."""
    for name, held in zip(names, found, strict=True):
        if held is None:
            raise UnknownId("message id", f"no message {name!r} in this scope")
    return [held for held in found if held is not None]


def edits_of(changes: Changes) -> dict[str, list[Edit]]:
    """What ``changes`` do to messages, by id."""
    edits: dict[str, list[Edit]] = {}
    for name in changes.consolidated:
        edits.setdefault(name, []).append(_state("consolidated", None))
    for name, reason in changes.parked.items():
        edits.setdefault(name, []).append(_failed(reason, "parked"))
    for name, reason in changes.failed.items():
        edits.setdefault(name, []).append(_failed(reason, None))
    return edits


async def conclude(
    cluster: Cluster, found: Sequence[Held], edits: Mapping[str, Sequence[Edit]]
) -> None:
    """Carry out ``edits`` on the messages that were ``found``."""

    def edit(source: Source) -> Source:
        for change in edits[source["id"]]:
            change(source)
        return source

    await writing.change_all(cluster, found, edit)


async def pending(cluster: Cluster) -> dict[Scope, int]:
    """Counts of pending messages, of scopes that have any."""
    await cluster.refresh("messages")
    counts = await cluster.count_by("messages", "scope", {"term": {"state": "pending"}})
    scopes = heads.scopes_from(await cluster.get([scope_ref(key) for key in counts]))
    return {scope: counts[key] for key, scope in scopes.items()}


def _state(state: MessageState, reason: str | None) -> Edit:
    def edit(source: Source) -> None:
        source |= {"state": state, "state_reason": reason, "attempts": 0}

    return edit


def _failed(reason: str, state: MessageState | None) -> Edit:
    def edit(source: Source) -> None:
        source |= {"state_reason": reason, "attempts": source["attempts"] + 1}
        source["state"] = state or source["state"]

    return edit


def _session(session_id: str | None) -> list[Query]:
    return [] if session_id is None else [{"term": {"session": session_id}}]


async def _sorted(
    cluster: Cluster,
    fresh: Freshness,
    scope: Scope,
    filters: Sequence[Query],
    order: str,
    limit: int,
) -> tuple[Message, ...]:
    head, _, _ = await heads.read(cluster, scope)
    if head.held is None:
        return ()
    await fresh.ensure("messages", head.key, head.generation)
    search = ScopedSearch("messages", head.key, filters, body={"sort": [{"seq": order}]})
    found = await cluster.hits(search, limit)
    return tuple([message_from(scope, hit["_source"]) for hit in found])
