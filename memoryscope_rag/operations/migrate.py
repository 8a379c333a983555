"""Migrate: all that one store keeps into another, and the proof that it arrived.

It goes through the port alone, so any two stores will do. Messages come with their states, nodes
with all their versions, provenance and vectors. What is there already is left alone, so a second
run goes on where the first was stopped. Search terms are made anew from the texts. Sequence
numbers keep their order, not the gaps that forgetting left; leases stay behind. Nobody may write
to either store meanwhile: the digests at the end would differ, and the next run would mend it as
long as nothing but additions was made.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from memoryscope_rag import lexical
from memoryscope_rag.errors import DuplicateId, EmbeddingMismatch, StoreError, StoreUnavailable
from memoryscope_rag.operations.digest import PAGE, REFLECTED, Advance, Digest, digest, pages
from memoryscope_rag.operations.record import context_texts
from memoryscope_rag.ports import (
    Changes,
    EmbedderSpec,
    FloatArray,
    IndexedNode,
    LogEntry,
    MemoryStore,
    NodeFilter,
)
from memoryscope_rag.schema import MemoryNode, Message, MessageState, NewMessage, Scope
from memoryscope_rag.temporal import is_question

Progress = Callable[[int, int], None]

VECTOR_TOLERANCE = 2e-3
"""What two roundings of a component of a unit vector to half precision may add up to."""

_Vectors = tuple[FloatArray | None, FloatArray | None]
_NONE: _Vectors = (None, None)


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What both stores hold now; ``sha256`` is over the digests of all scopes.

    ``added`` counts the messages and nodes that the target did not have before this run.
    """

    scopes: int
    messages: int
    nodes: int
    added: int
    sha256: str


async def migrate(
    source: MemoryStore, target: MemoryStore, *, progress: Progress | None = None
) -> MigrationReport:
    """Copy every scope of ``source`` into ``target`` and compare the two.

    ``target`` must have been opened for the embedder that ``source`` names in its ``stats``.

    Raises:
        EmbeddingMismatch: the stores name different embedders.
        DuplicateId: the target holds other content under an id of the source.
        StoreError: a store failed, or the two differ at the end.
    """
    held = await source.stats()
    _check_embedders(held.embedder, (await target.stats()).embedder)
    total, done = 3 * (held.messages + sum(held.nodes.values())), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(min(done, total), total)

    digests: dict[Scope, Digest] = {}
    added = 0
    for scope in await source.scopes():
        added += await _Copy(source, target, scope, advance).run()
        digests[scope] = await digest(source, scope, advance)
        other = await digest(target, scope, advance)
        if other != digests[scope]:
            raise StoreError(_difference(scope, digests[scope], other))
        if apart := await _vectors_apart(source, target, scope):
            raise StoreError(f"the vectors of {apart} nodes of {scope} differ in the target")
    whole = hashlib.sha256()
    for scope, one in sorted(digests.items()):
        whole.update(f"{scope!r} {one.sha256}\n".encode())
    return MigrationReport(
        len(digests),
        sum(one.messages for one in digests.values()),
        sum(one.nodes for one in digests.values()),
        added,
        whole.hexdigest(),
    )


def _difference(scope: Scope, source: Digest, target: Digest) -> str:
    return (
        f"the copy of {scope} differs: {source.messages} messages and {source.nodes} nodes in the "
        f"source, {target.messages} and {target.nodes} in the target; was one of them written "
        "to meanwhile, or did the target hold something of this user before?"
    )


def _check_embedders(source: EmbedderSpec | None, target: EmbedderSpec | None) -> None:
    if source is not None and (target is None or target.fingerprint != source.fingerprint):
        held = "none" if target is None else f"{target.name} ({target.fingerprint})"
        raise EmbeddingMismatch(
            f"the source holds vectors of {source.name} ({source.fingerprint}), the target's "
            f"embedder is {held}; run `memoryscope-rag reembed` on one of them first"
        )


async def _vectors_apart(source: MemoryStore, target: MemoryStore, scope: Scope) -> int:
    """How many nodes have other vectors in one store than in the other, or lack one."""
    apart = 0
    async for nodes in pages(source, scope, NodeFilter(closed=True)):
        ids = [node.id for node in nodes]
        here, there = await source.vectors(scope, ids), await target.vectors(scope, ids)
        for name in ids:
            pairs = zip(here.get(name, _NONE), there.get(name, _NONE), strict=True)
            apart += not all(_close(one, other) for one, other in pairs)
    return apart


def _close(one: FloatArray | None, other: FloatArray | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and bool(np.abs(one - other).max() < VECTOR_TOLERANCE)


class _Copy:
    """One scope on its way."""

    def __init__(
        self, source: MemoryStore, target: MemoryStore, scope: Scope, advance: Advance
    ) -> None:
        self._source, self._target = source, target
        self._scope = scope
        self._advance = advance
        self._from: list[int] = []
        self._to: list[int] = []
        self._added = 0

    async def run(self) -> int:
        """Copy what is not there yet; how many messages and nodes that was."""
        while batch := await self._source.messages(
            self._scope, after=self._from[-1] if self._from else 0, limit=PAGE
        ):
            await self._messages(batch)
            self._advance(len(batch))
        async for nodes in pages(self._source, self._scope, NodeFilter(closed=True)):
            await self._nodes(nodes)
            self._advance(len(nodes))
        async for nodes in pages(self._source, self._scope, REFLECTED):
            if ids := tuple([node.id for node in nodes]):
                await self._target.commit(self._scope, Changes(reflected=ids))
        return self._added

    # ------------------------------------------------------------ messages

    async def _messages(self, batch: Sequence[Message]) -> None:
        outcome = await self._target.append(
            self._scope, [LogEntry(_bare(message), ()) for message in batch]
        )
        for message, one in zip(batch, outcome, strict=True):
            if one.status == "refused":
                raise DuplicateId(
                    "message id", f"{message.id!r} is other content in the target; {self._scope}"
                )
            if one.status == "waiting":
                raise StoreUnavailable("the target is away: what it cannot take now is not copied")
            self._added += one.status == "stored"
            self._from.append(message.seq)
            self._to.append(one.message.seq)
        await self._states(batch, [one.message for one in outcome])

    async def _states(self, wanted: Sequence[Message], held: Sequence[Message]) -> None:
        """Give messages their states; failed attempts are failed once more, for want of a count."""
        states: dict[tuple[MessageState, str | None], list[str]] = defaultdict(list)
        tried: list[Message] = []
        for want, have in zip(wanted, held, strict=True):
            if _state(want) == _state(have):
                continue
            if want.attempts:
                tried.append(want)
                states["pending", None].append(want.id)
            else:
                states[want.state, want.state_reason].append(want.id)
        for (state, reason), ids in states.items():
            await self._target.mark(self._scope, ids, state, reason)
        for attempt in range(1, max((message.attempts for message in tried), default=0) + 1):
            due = [message for message in tried if message.attempts >= attempt]
            parked = [m for m in due if m.state == "parked" and m.attempts == attempt]
            failed = [m for m in due if m not in parked]
            await self._target.commit(
                self._scope,
                Changes(
                    failed={m.id: m.state_reason or "" for m in failed},
                    parked={m.id: m.state_reason or "" for m in parked},
                ),
            )

    # ------------------------------------------------------------ nodes

    async def _nodes(self, nodes: Sequence[MemoryNode]) -> None:
        ids = [node.id for node in nodes]
        there = {node.id: node for node in await self._target.nodes(self._scope, ids)}
        missing = [node for node in nodes if node.id not in there]
        changed = [
            node for node in nodes if node.id in there and there[node.id].version < node.version
        ]
        wanted = [*missing, *changed]
        if not wanted:
            return
        vectors = await self._source.vectors(self._scope, [node.id for node in wanted])
        contexts = await self._contexts(wanted)
        first: list[IndexedNode] = []
        later: list[IndexedNode] = []
        for node in wanted:
            here = there[node.id].version if node.id in there else 0
            versions = await self._versions(node, contexts.get(node.id), vectors.get(node.id))
            if not here:
                first.append(versions[0])
            later += versions[max(here, 1) :]
        await self._target.add_nodes(self._scope, first)
        for indexed in later:
            before = indexed.node.version - 1
            await self._target.update_node(self._scope, indexed, version=before)
        self._added += len(wanted)

    async def _versions(
        self, node: MemoryNode, context: str | None, vectors: _Vectors | None
    ) -> list[IndexedNode]:
        """Every version of ``node``, the vectors with the last."""
        if node.version == 1:
            return [self._indexed(node, context, vectors)]
        *older, newest = await self._source.history(self._scope, node.id)
        return [
            *[self._indexed(version, context, None) for version in older],
            self._indexed(newest, context, vectors),
        ]

    async def _contexts(self, nodes: Sequence[MemoryNode]) -> Mapping[str, str]:
        turns = [node for node in nodes if node.kind == "conversation"]
        texts = await context_texts(self._source, self._scope, turns)
        return {node.id: text for node, text in zip(turns, texts, strict=True)}

    def _indexed(
        self,
        node: MemoryNode,
        context: str | None,
        vectors: _Vectors | None,
    ) -> IndexedNode:
        terms = tuple(lexical.analyze(node.content))
        rank = bisect_right(self._from, node.seq)
        return IndexedNode(
            node.with_(seq=self._to[rank - 1] if rank else 0),
            terms,
            terms if context is None else tuple(lexical.analyze(context)),
            *(vectors or (None, None)),
            question=node.kind == "conversation" and is_question(node.content),
        )


def _bare(message: Message) -> NewMessage:
    return NewMessage(
        message.id,
        message.session_id,
        message.role,
        message.content,
        message.created_at,
        message.speaker,
        message.metadata,
    )


def _state(message: Message) -> tuple[MessageState, str | None, int]:
    return message.state, message.state_reason, message.attempts
