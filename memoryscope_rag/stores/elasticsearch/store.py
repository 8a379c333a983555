"""The store on Elasticsearch, for those who outgrow one machine. Make it with ``open``.

This file is the door: it checks arguments, lets the writes of a scope take turns, turns the
client's errors into ours, and calls the modules that know the documents.

The order in which things are written, and what a crash in between leaves, is told where it is
done: :mod:`~memoryscope_rag.stores.elasticsearch.append` for messages,
:func:`~memoryscope_rag.stores.elasticsearch.nodes.commit` for nodes and states,
:mod:`~memoryscope_rag.stores.elasticsearch.removal` for forgetting. In short: nothing that was
acknowledged is lost, and doing again what was interrupted sets it right.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from weakref import WeakValueDictionary

from memoryscope_rag.configs.model import ElasticsearchConfig
from memoryscope_rag.errors import InvalidInput, StoreUnavailable
from memoryscope_rag.ports import (
    Candidates,
    Changes,
    Clock,
    EmbedderSpec,
    FloatArray,
    Forgotten,
    IndexedNode,
    Lease,
    LogEntry,
    NodeFilter,
    Page,
    Recorded,
    SearchRequest,
    StoreStats,
)
from memoryscope_rag.schema import (
    MemoryNode,
    Message,
    MessageState,
    Scope,
    check_text,
    utc_now,
)
from memoryscope_rag.stores.arguments import (
    check_count,
    check_lease,
    check_selection,
    check_state,
)
from memoryscope_rag.stores.elasticsearch import append as appending
from memoryscope_rag.stores.elasticsearch import (
    embedding,
    heads,
    indices,
    inspection,
    leases,
    log,
    nodes,
    removal,
)
from memoryscope_rag.stores.elasticsearch import search as searching
from memoryscope_rag.stores.elasticsearch.cluster import Cluster
from memoryscope_rag.stores.elasticsearch.connection import check_server, connect
from memoryscope_rag.stores.elasticsearch.documents import encode_vectors, scope_key
from memoryscope_rag.stores.elasticsearch.failures import elasticsearch_errors
from memoryscope_rag.stores.elasticsearch.freshness import Freshness
from memoryscope_rag.stores.rows import micros


class ElasticsearchStore:
    """:class:`~memoryscope_rag.ports.MemoryStore` on a cluster. Make it with :meth:`open`.

    It belongs to the event loop that opened it.
    """

    def __init__(
        self,
        cluster: Cluster,
        embedder: EmbedderSpec | None,
        fresh: Freshness,
        clock: Clock | None,
    ) -> None:
        self._cluster = cluster
        self._spec = embedder
        self._target: EmbedderSpec | None = None
        self._fresh = fresh
        self._clock = clock
        self._closed = False
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._turns: WeakValueDictionary[Scope, asyncio.Lock] = WeakValueDictionary()

    @classmethod
    async def open(
        cls,
        config: ElasticsearchConfig,
        *,
        embedder: EmbedderSpec | None,
        reembedding: bool = False,
        clock: Clock | None = None,
    ) -> ElasticsearchStore:
        """Connect, and make or migrate the indices if need be.

        Args:
            embedder: whose vectors the store takes; ``None`` opens any store and takes none.
            reembedding: accept an ``embedder`` that is not the store's, to change over to it.
            clock: tells when leases and facts expire; the system's by default.

        Raises:
            ConfigError: the settings name no cluster, or a secret that is not set.
            StoreCorrupt: an index of that name is none of ours, or was deleted.
            SchemaTooNew: written by a later version.
            EmbeddingMismatch: the store holds another model's vectors.
            StoreUnavailable: the cluster does not answer, or is not ready.
            StoreError: it refuses the credentials or the rights, or is of another version.
        """
        client = connect(config)
        cluster = Cluster(client, config.prefix)
        try:
            await check_server(client, config.prefix)
            with elasticsearch_errors("opening the store"):
                await indices.prepare(cluster, config)
                await embedding.adopt(cluster, embedder, reembedding=reembedding)
        except BaseException:
            await client.close()
            raise
        fresh = Freshness(cluster, eventual=config.consistency == "eventual")
        return cls(cluster, embedder, fresh, clock)

    # ------------------------------------------------------------ the log

    async def append(self, scope: Scope, entries: Sequence[LogEntry]) -> tuple[Recorded, ...]:
        async with self._writing("appending messages", scope):
            if not entries:
                return ()
            return await appending.append(self._cluster, scope, entries, self._spec, self._now())

    async def messages(
        self,
        scope: Scope,
        *,
        session_id: str | None = None,
        state: MessageState | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> tuple[Message, ...]:
        check_count("limit", limit)
        if state is not None:
            check_state(state)
        async with self._doing("reading messages"):
            return await log.after(
                self._cluster, self._fresh, scope, session_id, state, after, limit
            )

    async def last_messages(
        self, scope: Scope, limit: int, *, session_id: str | None = None
    ) -> tuple[Message, ...]:
        check_count("limit", limit, least=0)
        async with self._doing("reading messages"):
            return await log.last(self._cluster, self._fresh, scope, limit, session_id)

    async def get_messages(self, scope: Scope, ids: Sequence[str]) -> tuple[Message, ...]:
        async with self._doing("reading messages"):
            return await log.by_ids(self._cluster, scope, ids)

    async def count(self, scope: Scope, up_to: int) -> int:
        async with self._doing("counting messages"):
            return await log.count(self._cluster, self._fresh, scope, up_to)

    async def around(
        self, scope: Scope, seqs: Sequence[int], before: int, after: int
    ) -> Mapping[int, tuple[tuple[Message, ...], tuple[Message, ...]]]:
        check_count("before", before, least=0)
        check_count("after", after, least=0)
        async with self._doing("reading messages"):
            return await log.around(self._cluster, self._fresh, scope, seqs, before, after)

    async def pending(self) -> Mapping[Scope, int]:
        async with self._doing("counting pending messages"):
            return await log.pending(self._cluster)

    async def mark(
        self, scope: Scope, ids: Sequence[str], state: MessageState, reason: str | None = None
    ) -> None:
        check_state(state)
        if reason is not None:
            check_text("reason", reason)
        async with self._writing("marking messages", scope):
            if ids:
                await log.mark(self._cluster, scope, ids, state, reason, self._now())

    # ------------------------------------------------------------ nodes

    async def add_nodes(self, scope: Scope, nodes: Sequence[IndexedNode]) -> None:
        if nodes:
            await self._commit("adding nodes", scope, Changes(add=tuple(nodes)), grounded=False)

    async def update_node(self, scope: Scope, node: IndexedNode, *, version: int) -> MemoryNode:
        changes = Changes(update=((node, version),))
        (updated,) = await self._commit("changing a node", scope, changes, grounded=False)
        return updated

    async def commit(self, scope: Scope, changes: Changes, lease: Lease | None = None) -> None:
        for reason in (*changes.parked.values(), *changes.failed.values()):
            check_text("reason", reason)
        await self._commit("committing changes", scope, changes, lease)

    async def _commit(
        self,
        doing: str,
        scope: Scope,
        changes: Changes,
        lease: Lease | None = None,
        *,
        grounded: bool = True,
    ) -> list[MemoryNode]:
        async with self._writing(doing, scope):
            return await nodes.commit(
                self._cluster, scope, changes, self._spec, self._now(), lease, grounded=grounded
            )

    async def nodes(self, scope: Scope, ids: Sequence[str]) -> tuple[MemoryNode, ...]:
        async with self._doing("reading nodes"):
            return await nodes.by_ids(self._cluster, scope, ids)

    async def drawn_from(
        self, scope: Scope, message_ids: Sequence[str]
    ) -> Mapping[str, tuple[MemoryNode, ...]]:
        async with self._doing("reading nodes"):
            return await nodes.drawn_from(self._cluster, self._fresh, scope, message_ids)

    async def list_nodes(
        self,
        scope: Scope,
        where: NodeFilter = NodeFilter(),
        *,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[MemoryNode]:
        check_count("limit", limit)
        async with self._doing("listing nodes"):
            return await nodes.page(
                self._cluster, self._fresh, scope, where, cursor, limit, self._now()
            )

    async def history(self, scope: Scope, node_id: str) -> tuple[MemoryNode, ...]:
        async with self._doing("reading a node's history"):
            return await nodes.history(self._cluster, scope, node_id)

    async def delete_nodes(self, scope: Scope, ids: Sequence[str]) -> tuple[str, ...]:
        async with self._writing("deleting nodes", scope):
            return await nodes.delete(self._cluster, scope, ids, self._now())

    # ------------------------------------------------------------ search

    async def search(
        self, scope: Scope, requests: Sequence[SearchRequest]
    ) -> tuple[Candidates, ...]:
        for request in requests:
            check_count("limit", request.limit)
            check_count("neighbours", request.neighbours, least=0)
        async with self._doing("searching"):
            if not requests:
                return ()
            return await searching.search(
                self._cluster, self._fresh, scope, requests, self._spec, self._now()
            )

    async def generation(self, scope: Scope) -> int:
        async with self._doing("reading a scope"):
            head, _, _ = await heads.read(self._cluster, scope)
            return head.generation

    # ------------------------------------------------------------ removal

    async def forget(
        self,
        scope: Scope,
        *,
        message_ids: Sequence[str] = (),
        session_id: str | None = None,
        everything: bool = False,
        compact: bool = False,
    ) -> Forgotten:
        # the files of the cluster's segments let go of what was deleted when they are merged; only
        # ``compact`` waits for that, half a minute and as long as the merge takes
        check_selection(message_ids, session_id, everything)
        async with self._writing("forgetting", scope):
            return await removal.forget(
                self._cluster, scope, message_ids, session_id, everything, compact, self._now()
            )

    # ------------------------------------------------------------ leases

    async def acquire(self, scope: Scope, name: str, owner: str, seconds: float) -> Lease | None:
        check_lease(name, owner, seconds)
        async with self._doing("acquiring a lease"):
            return await leases.acquire(self._cluster, scope, name, owner, seconds, self._moment())

    async def release(self, lease: Lease) -> None:
        async with self._doing("releasing a lease"):
            await leases.release(self._cluster, lease)

    # ------------------------------------------------------------ embedding

    async def vectors(
        self, scope: Scope, ids: Sequence[str]
    ) -> Mapping[str, tuple[FloatArray | None, FloatArray | None]]:
        async with self._doing("reading vectors"):
            return await embedding.read_vectors(self._cluster, scope, ids)

    async def unembedded(self, limit: int) -> tuple[tuple[Scope, MemoryNode], ...]:
        check_count("limit", limit)
        async with self._doing("looking for missing vectors"):
            return await embedding.missing(self._cluster, self._target or self._spec, limit)

    async def set_vectors(
        self, scope: Scope, vectors: Mapping[str, tuple[FloatArray, FloatArray]]
    ) -> int:
        spec = self._target or self._spec
        if spec is None:
            raise InvalidInput("vectors", "this store was opened without an embedder")
        encoded = encode_vectors(list(vectors.values()), spec.dimension)
        texts = {
            name: (first or "", second or "")
            for name, (first, second) in zip(vectors, encoded, strict=True)
        }
        async with self._writing("storing vectors", scope):
            if not texts:
                return 0
            return await embedding.put(self._cluster, scope, spec, texts, self._now())

    async def begin_reembed(self, spec: EmbedderSpec) -> None:
        async with self._doing("changing the embedder"):
            await embedding.begin(self._cluster, spec)
            self._target = spec

    async def finish_reembed(self) -> None:
        async with self._doing("changing the embedder"):
            await embedding.finish(self._cluster)
            if self._target is not None:
                self._spec, self._target = self._target, None

    # ------------------------------------------------------------ administration

    async def scopes(self) -> tuple[Scope, ...]:
        async with self._doing("listing scopes"):
            return await inspection.filled_scopes(self._cluster)

    async def stats(self, scope: Scope | None = None) -> StoreStats:
        async with self._doing("counting"):
            return await inspection.stats(self._cluster, scope)

    async def check(self) -> tuple[str, ...]:
        async with self._doing("checking the store"):
            return await inspection.check(self._cluster)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._idle.wait()
        await self._cluster.client.close()

    # ------------------------------------------------------------ turns, errors, time

    @contextlib.asynccontextmanager
    async def _doing(self, what: str) -> AsyncIterator[None]:
        if self._closed:
            raise StoreUnavailable(f"the store {self._cluster.prefix} on Elasticsearch is closed")
        self._running += 1
        self._idle.clear()
        try:
            with elasticsearch_errors(what):
                yield
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    @contextlib.asynccontextmanager
    async def _writing(self, what: str, scope: Scope) -> AsyncIterator[None]:
        # the writes of a scope would only be each other's conflicts
        turn = self._turns.setdefault(scope, asyncio.Lock())
        async with self._doing(what), turn:
            try:
                yield
            finally:
                self._fresh.wrote(scope_key(scope))

    def _moment(self) -> datetime:
        return utc_now() if self._clock is None else self._clock.now()

    def _now(self) -> int:
        return micros(self._moment())
