"""Appending messages with their nodes.

Three steps: take sequence numbers, create messages and nodes, finish. A message is created under
its id or not at all, so of two writers of one id one wins and the other is told what holds it; the
winner writes its nodes over the other's, who takes back those that it still finds as it wrote them.
After a crash some messages may lack nodes, or nodes their message; nobody was told that they are
stored, and appending them again, which finds their numbers still open, writes what is missing.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence, Set

from memoryscope_rag.errors import DuplicateId
from memoryscope_rag.ports import EmbedderSpec, LogEntry, Recorded
from memoryscope_rag.schema import Message, NewMessage, Scope
from memoryscope_rag.stores.elasticsearch import embedding, ground, heads, writing
from memoryscope_rag.stores.elasticsearch.cluster import Cluster, Held, Ref, ScopedSearch, Write
from memoryscope_rag.stores.elasticsearch.documents import (
    Prepared,
    Source,
    complete,
    merged_vectors,
    message_from,
    message_ref,
    message_source,
    node_ref,
    node_source,
    prepare,
    scope_key,
)
from memoryscope_rag.stores.elasticsearch.heads import Head
from memoryscope_rag.stores.rows import same_message

_KEPT_OPEN = 100
"""Unfinished appends that a scope remembers; only crashes leave any."""


async def append(
    cluster: Cluster,
    scope: Scope,
    entries: Sequence[LogEntry],
    spec: EmbedderSpec | None,
    now: int,
) -> tuple[Recorded, ...]:
    """Append what is new; one outcome an entry.

    Raises:
        DuplicateId: a node id is taken.
        UnknownId: a node rests on a message that is not in the scope.
    """
    prepared = _by_entry(entries, spec)
    key = scope_key(scope)
    ids = list(dict.fromkeys(entry.message.id for entry in entries))
    nodes = list(dict.fromkeys(item.node.id for pieces in prepared for item in pieces))
    head, found, probed = await heads.read(
        cluster,
        scope,
        [message_ref(key, name) for name in ids],
        [node_ref(key, name) for name in nodes],
    )
    model = embedding.key_of(cluster, head.models, spec)
    held = {name: message_from(scope, doc.source) for name, doc in _both(ids, found)}
    present = {name for name, _ in _both(nodes, probed)}
    head = await _heal(cluster, head, entries, prepared, held, present, model, now)

    new: dict[str, int] = {}
    for at, entry in enumerate(entries):
        if entry.message.id not in held:
            new.setdefault(entry.message.id, at)
    stored: dict[str, Message] = {}
    if new:
        wanted = [item for at in new.values() for item in prepared[at]]
        taken = present - await _orphans(cluster, key, present, new.keys())
        ground.check_free([item.node for item in wanted], taken)
        await ground.check_sources(cluster, key, [item.node for item in wanted], known=ids)
        token = uuid.uuid4().hex
        head = await _reserve(cluster, head, len(new), token, now)
        made = {
            name: _message(scope, entries[at].message, seq)
            for seq, (name, at) in enumerate(new.items(), _first(head, token))
        }
        stored, lost = await _create(cluster, head, made, {n: prepared[new[n]] for n in new}, model)
        await _finish(cluster, head, token, now)
        if lost:  # to another writer: its messages are known now, and their nodes may be due
            rest = [entries[new[name]] for name in lost]
            again = await append(cluster, scope, rest, spec, now)
            held |= {outcome.message.id: outcome.message for outcome in again}
    return _outcomes(entries, held, stored)


def _by_entry(entries: Sequence[LogEntry], spec: EmbedderSpec | None) -> list[list[Prepared]]:
    flat = [node for entry in entries for node in entry.nodes]
    ready = iter(prepare(flat, spec.dimension if spec else None))
    return [[next(ready) for _ in entry.nodes] for entry in entries]


def _both(names: Sequence[str], found: Sequence[Held | None]) -> list[tuple[str, Held]]:
    return [(name, held) for name, held in zip(names, found, strict=True) if held is not None]


def _message(scope: Scope, m: NewMessage, seq: int) -> Message:
    return Message(
        m.id, m.session_id, m.role, m.content, m.created_at, m.speaker, m.metadata,
        scope=scope, seq=seq,
    )  # fmt: skip


async def _orphans(cluster: Cluster, key: str, present: Set[str], new: Set[str]) -> set[str]:
    """Nodes that an append left which ended before it had written their message."""
    found = await cluster.get([node_ref(key, name) for name in sorted(present)]) if new else []
    return {
        held.source["id"]
        for held in found
        if held is not None and new >= set(held.source["provenance"] or [""])
    }


async def _reserve(cluster: Cluster, head: Head, count: int, token: str, now: int) -> Head:
    def edit(state: Source) -> None:
        first = state["last_seq"] + 1
        state["last_seq"] += count
        state["open"] = [*state["open"], [first, state["last_seq"], token]][-_KEPT_OPEN:]

    return await heads.change(cluster, head, edit, now=now, mark=token)


def _first(head: Head, token: str) -> int:
    return next(int(first) for first, _, name in head.state["open"] if name == token)


async def _finish(cluster: Cluster, head: Head, token: str, now: int) -> None:
    def edit(state: Source) -> None:
        state["open"] = [item for item in state["open"] if item[2] != token]
        state["generation"] += 1

    await heads.change(cluster, head, edit, now=now)


async def _create(
    cluster: Cluster,
    head: Head,
    made: Mapping[str, Message],
    pieces: Mapping[str, Sequence[Prepared]],
    model: str | None,
) -> tuple[dict[str, Message], list[str]]:
    """Write messages with their nodes; those that are ours, and ids that another writer took."""
    refs = {name: message_ref(head.key, name) for name in made}
    messages = [
        Write("create", refs[name], message_source(head.key, message))
        for name, message in made.items()
    ]
    nodes = [
        (name, _node_write(head, item, message.seq, model))
        for name, message in made.items()
        for item in pieces[name]
    ]
    outcomes = await cluster.bulk([*messages, *[write for _, write in nodes]])
    written = list(zip(nodes, outcomes[len(messages) :], strict=True))
    late = [name for name, outcome in zip(made, outcomes, strict=False) if not outcome.done]
    others = dict(_both(late, await cluster.get([refs[name] for name in late])))
    # our own number: the answer to a first attempt was lost on its way
    lost = [n for n in late if n not in others or others[n].source["seq"] != made[n].seq]
    stored = {name: message for name, message in made.items() if name not in lost}
    ours = [
        (write, Held(write.ref, {}, outcome.seq_no, outcome.term))
        for (name, write), outcome in written
        if name in lost and outcome.done
    ]
    await writing.take_back(cluster, ours)
    due = [(n, write) for (n, write), outcome in written if n in stored and not outcome.done]
    await _insist(cluster, due, list(stored), refs)
    return stored, lost


async def _insist(
    cluster: Cluster,
    due: Sequence[tuple[str, Write]],
    stored: Sequence[str],
    refs: Mapping[str, Ref],
) -> None:
    """Write the nodes of messages that are ours over those of a writer whose messages are not."""
    found = await cluster.get([write.ref for _, write in due])
    for (name, _), held in zip(due, found, strict=True):
        if held is not None and held.source["provenance"] != [name]:
            await cluster.bulk([Write("delete", refs[message]) for message in stored])
            raise DuplicateId("node id", f"{held.source['id']!r} is taken in this scope")
    await cluster.bulk([Write("index", write.ref, write.source) for _, write in due])


def _node_write(head: Head, item: Prepared, seq: int, model: str | None) -> Write:
    node = item.node.with_(seq=seq, version=1)
    vectors = merged_vectors({}, model, item)
    source = node_source(head.key, head.state["since"], item.item, node, vectors)
    return Write("create", node_ref(head.key, node.id), complete(source))


async def _heal(
    cluster: Cluster,
    head: Head,
    entries: Sequence[LogEntry],
    prepared: Sequence[Sequence[Prepared]],
    held: Mapping[str, Message],
    present: set[str],
    model: str | None,
    now: int,
) -> Head:
    """Write the nodes that known messages of unfinished appends lack."""
    writes = []
    whole: set[int] = set()
    for entry, pieces in zip(entries, prepared, strict=True):
        message = held.get(entry.message.id)
        if message is None or not same_message(message, entry.message):
            continue
        if any(first <= message.seq <= last for first, last, _ in head.state["open"]):
            missing = [item for item in pieces if item.node.id not in present]
            writes += [_node_write(head, item, message.seq, model) for item in missing]
            whole.add(message.seq)
    if not whole:
        return head
    await cluster.bulk(writes)
    await cluster.refresh("messages")
    done = []
    for first, last, token in head.state["open"]:
        ours = whole & {*range(first, last + 1)}
        if ours and await _count(cluster, head.key, first, last) == len(ours):
            done.append(token)

    def edit(state: Source) -> None:
        state["open"] = [item for item in state["open"] if item[2] not in done]
        state["generation"] += 1

    return await heads.change(cluster, head, edit, now=now)


async def _count(cluster: Cluster, key: str, first: int, last: int) -> int:
    """How many messages have these numbers."""
    numbers = {"range": {"seq": {"gte": first, "lte": last}}}
    body = {"size": 0, "track_total_hits": True}
    answer = await cluster.search(ScopedSearch("messages", key, [numbers], body=body))
    return int(answer["hits"]["total"]["value"])


def _outcomes(
    entries: Sequence[LogEntry], held: Mapping[str, Message], stored: Mapping[str, Message]
) -> tuple[Recorded, ...]:
    outcomes: list[Recorded] = []
    told: set[str] = set()
    for entry in entries:
        name = entry.message.id
        if name in stored and name not in told:
            told.add(name)
            outcomes.append(Recorded(stored[name], "stored"))
            continue
        message = stored.get(name) or held[name]
        known = same_message(message, entry.message)
        outcomes.append(Recorded(message, "known" if known else "refused"))
    return tuple(outcomes)
