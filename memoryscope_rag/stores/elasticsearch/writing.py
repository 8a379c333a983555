"""Changing several documents: all of them or none, or each whatever becomes of the others.

Elasticsearch has no transactions. Here everything is checked before anything is written, every
change names the state of the document that it replaces, and when another writer was first after
all, what was done is taken back the same way. A crash in between leaves a part of it; the order in
which the callers write sees to it that nothing of that was acknowledged, and that doing the same
again sets it right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.stores.elasticsearch.cluster import Cluster, Held, Outcome, Ref, Write
from memoryscope_rag.stores.elasticsearch.documents import Source, complete

TRIES = 8
"""How often a document is read again because another writer was first."""


def node_write(ref: Ref, source: Source, after: Held | None) -> Write:
    """The write of a new node, or of one that replaces ``after``."""
    return Write("create" if after is None else "index", ref, complete(source), after)


def plain_write(ref: Ref, source: Source, after: Held | None) -> Write:
    """The same for any other document."""
    return Write("create" if after is None else "index", ref, source, after)


async def all_or_none(cluster: Cluster, writes: Sequence[Write]) -> list[Held] | Ref:
    """Carry out ``writes``; what was written, or where another writer was first: then nothing was.

    A document that already says what it should counts as written: the answer to an attempt may
    have been lost on its way.
    """
    outcomes = await cluster.bulk(writes)
    late = [write for write, outcome in zip(writes, outcomes, strict=True) if not outcome.done]
    ours: dict[Ref, Held] = {}
    for write, held in zip(late, await cluster.get([write.ref for write in late]), strict=True):
        if held is not None and _same(held.source, write.source or {}):
            ours[write.ref] = held
    done = [
        (write, held)
        for write, outcome in zip(writes, outcomes, strict=True)
        if (held := _written(write, outcome) or ours.get(write.ref)) is not None
    ]
    if len(done) == len(writes):
        return [held for _, held in done]
    await take_back(cluster, done)
    return next(write.ref for write in late if write.ref not in ours)


async def take_back(cluster: Cluster, done: Sequence[tuple[Write, Held]]) -> None:
    """Undo writes, unless somebody has changed the documents since."""
    undo = []
    for write, held in done:
        if write.after is None:
            undo.append(Write("delete", write.ref, None, held))
        else:
            source = write.after.source
            sent = complete(source) if write.ref.index == "nodes" else source
            undo.append(Write("index", write.ref, sent, held))
    await cluster.bulk(undo)


async def change_all(
    cluster: Cluster, found: Sequence[Held | None], edit: Callable[[Source], Source]
) -> int:
    """Change each document by ``edit``, on what another writer left if need be.

    Returns how many were there.

    Raises:
        StoreUnavailable: others were first too many times.
    """
    left = [held for held in found if held is not None]
    count = 0
    for _ in range(TRIES):
        writes = []
        for held in left:
            source = edit(dict(held.source))
            sent = complete(source) if held.ref.index == "nodes" else source
            writes.append(Write("index", held.ref, sent, held))
        outcomes = await cluster.bulk(writes)
        again = [held.ref for held, done in zip(left, outcomes, strict=True) if not done.done]
        count += len(left) - len(again)
        if not again:
            return count
        left = [held for held in await cluster.get(again) if held is not None]
    raise StoreUnavailable("another writer was first too often; try again")


def _written(write: Write, outcome: Outcome) -> Held | None:
    if not outcome.done:
        return None
    return Held(write.ref, dict(write.source or {}), outcome.seq_no, outcome.term)


def _same(held: Source, written: object) -> bool:
    wanted = dict(written) if isinstance(written, dict) else {}
    wanted.pop("dense", None)
    return {name: value for name, value in held.items() if name != "dense"} == wanted
