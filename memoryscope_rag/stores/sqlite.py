"""The embedded store: one SQLite file, safe for threads, tasks and several processes.

This file is the door: it checks arguments, picks the thread, opens the transaction and calls the
modules that know the SQL (``*_rows``, ``removal``, ``inspection``) or search (``search_cache``).
Writes take turns in one thread, reads run in a few; the event loop never waits on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from memoryscope_rag.errors import InvalidInput, StoreError, StoreUnavailable
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
from memoryscope_rag.stores import (
    inspection,
    lease_rows,
    log_rows,
    model_rows,
    node_rows,
    removal,
    residue,
    scope_rows,
)
from memoryscope_rag.stores.arguments import (
    check_count,
    check_lease,
    check_selection,
    check_state,
)
from memoryscope_rag.stores.connections import Database
from memoryscope_rag.stores.encoding import vector_blobs
from memoryscope_rag.stores.rows import micros
from memoryscope_rag.stores.search_cache import SearchCache
from memoryscope_rag.stores.threads import WarmThreads

T = TypeVar("T")
_log = logging.getLogger(__name__)

READERS = 4
"""Reading threads; numpy and SQLite let go of the interpreter lock while they work."""
SCRUB_SECONDS = 2.0
"""How long ``forget`` waits for readers of other processes before it reports ``proven=False``."""
SCAN_LIMIT = 1 << 30
"""Largest file whose unused bytes are read for traces; a larger one is rewritten at once."""


class _SystemClock:
    def now(self) -> datetime:
        return utc_now()


class SQLiteStore:
    """:class:`~memoryscope_rag.ports.MemoryStore` in one file. Make it with :meth:`open`."""

    def __init__(
        self,
        database: Database,
        embedder: EmbedderSpec | None,
        cache_bytes: int,
        faiss_threshold: int,
        clock: Clock | None,
    ) -> None:
        self._database = database
        self._spec = embedder
        self._target: EmbedderSpec | None = None
        self._clock: Clock = clock or _SystemClock()
        self._closed = False
        self._readers = WarmThreads(READERS, "memoryscope-read")
        # apart from the readers: four searches waiting for a large index must not stop the log
        self._searchers = WarmThreads(READERS, "memoryscope-search")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="memoryscope-write")
        self._builder = ThreadPoolExecutor(1, thread_name_prefix="memoryscope-index")
        self._cache = SearchCache(database, cache_bytes, faiss_threshold, self._later)

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        embedder: EmbedderSpec | None,
        cache_bytes: int = 1 << 30,
        faiss_threshold: int = 200_000,
        reembedding: bool = False,
        clock: Clock | None = None,
    ) -> SQLiteStore:
        """Open the store file ``path``, made with its folders if need be. Blocks; no event loop.

        Args:
            embedder: whose vectors the store takes; ``None`` opens any store and takes none.
            cache_bytes: for search indexes in memory; one of 100 000 nodes takes about 450 MB.
            faiss_threshold: nodes of a scope above which FAISS proposes dense candidates.
            reembedding: accept an ``embedder`` that is not the store's, to change over to it.
            clock: tells when leases and facts expire; the system's by default.

        Raises:
            StoreCorrupt: damaged, or no store of this package.
            SchemaTooNew: written by a later version.
            EmbeddingMismatch: the store holds another model's vectors.
            StoreUnavailable: the file cannot be made, read or written.
        """
        database = Database(Path(path))
        try:
            with database.write() as connection:
                active, _ = model_rows.models(connection)
                if embedder is not None and active is None and not reembedding:
                    model_rows.adopt(connection, embedder)
                elif (
                    embedder is not None
                    and active is not None
                    and active.spec.fingerprint != embedder.fingerprint
                    and not reembedding
                ):
                    raise model_rows.mismatch(database.path, active.spec, embedder)
            _scrub(database, 0.0)
        except BaseException:
            database.close()
            raise
        return cls(database, embedder, cache_bytes, faiss_threshold, clock)

    @property
    def path(self) -> Path:
        """The database file."""
        return self._database.path

    # ------------------------------------------------------------ the log

    async def append(self, scope: Scope, entries: Sequence[LogEntry]) -> tuple[Recorded, ...]:
        spec = self._spec

        def job() -> tuple[Recorded, ...]:
            flat = [node for entry in entries for node in entry.nodes]
            ready = iter(node_rows.prepare(flat, spec.dimension if spec else None))
            prepared = [[next(ready) for _ in entry.nodes] for entry in entries]
            with self._database.write() as connection:
                model = model_rows.model_of(connection, spec, self.path)
                return log_rows.append(
                    connection, scope, entries, prepared, model.id if model else None
                )

        return await self._run(self._writer, job) if entries else ()

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

        def job() -> tuple[Message, ...]:
            with self._database.read() as connection:
                return log_rows.after(connection, scope, session_id, state, after, limit)

        return await self._run(self._readers, job)

    async def last_messages(
        self, scope: Scope, limit: int, *, session_id: str | None = None
    ) -> tuple[Message, ...]:
        check_count("limit", limit, least=0)

        def job() -> tuple[Message, ...]:
            with self._database.read() as connection:
                return log_rows.last(connection, scope, limit, session_id)

        return await self._run(self._readers, job)

    async def get_messages(self, scope: Scope, ids: Sequence[str]) -> tuple[Message, ...]:
        def job() -> tuple[Message, ...]:
            with self._database.read() as connection:
                row = scope_rows.find(connection, scope)
                found = [] if row is None else log_rows.by_ids(connection, scope, row.id, ids)
            known = {message.id: message for message in found}
            return tuple([known[name] for name in ids if name in known])

        return await self._run(self._readers, job)

    async def count(self, scope: Scope, up_to: int) -> int:
        def job() -> int:
            with self._database.read() as connection:
                return log_rows.count(connection, scope, up_to)

        return await self._run(self._readers, job)

    async def around(
        self, scope: Scope, seqs: Sequence[int], before: int, after: int
    ) -> Mapping[int, tuple[tuple[Message, ...], tuple[Message, ...]]]:
        check_count("before", before, least=0)
        check_count("after", after, least=0)

        def job() -> Mapping[int, tuple[tuple[Message, ...], tuple[Message, ...]]]:
            with self._database.read() as connection:
                return log_rows.around(connection, scope, seqs, before, after)

        return await self._run(self._readers, job)

    async def pending(self) -> Mapping[Scope, int]:
        def job() -> Mapping[Scope, int]:
            with self._database.read() as connection:
                return log_rows.pending(connection)

        return await self._run(self._readers, job)

    async def mark(
        self, scope: Scope, ids: Sequence[str], state: MessageState, reason: str | None = None
    ) -> None:
        check_state(state)
        if reason is not None:
            check_text("reason", reason)

        def job() -> None:
            with self._database.write() as connection:
                log_rows.mark(connection, scope, ids, state, reason)

        if ids:
            await self._run(self._writer, job)

    # ------------------------------------------------------------ nodes

    async def add_nodes(self, scope: Scope, nodes: Sequence[IndexedNode]) -> None:
        spec = self._spec

        def job() -> None:
            prepared = node_rows.prepare(nodes, spec.dimension if spec else None)
            with self._database.write() as connection:
                model = model_rows.model_of(connection, spec, self.path)
                node_rows.insert(
                    connection,
                    scope_rows.touch(connection, scope),
                    [(item, item.node.seq) for item in prepared],
                    model.id if model else None,
                )

        if nodes:
            await self._run(self._writer, job)

    async def update_node(self, scope: Scope, node: IndexedNode, *, version: int) -> MemoryNode:
        spec = self._spec

        def job() -> MemoryNode:
            (prepared,) = node_rows.prepare([node], spec.dimension if spec else None)
            with self._database.write() as connection:
                model = model_rows.model_of(connection, spec, self.path)
                return node_rows.update(
                    connection, scope, prepared, version, model.id if model else None
                )

        return await self._run(self._writer, job)

    async def commit(self, scope: Scope, changes: Changes, lease: Lease | None = None) -> None:
        spec = self._spec
        for reason in (*changes.parked.values(), *changes.failed.values()):
            check_text("reason", reason)

        def job() -> None:
            nodes = [*changes.add, *(node for node, _ in changes.update)]
            prepared = node_rows.prepare(nodes, spec.dimension if spec else None)
            new, changed = prepared[: len(changes.add)], prepared[len(changes.add) :]
            with self._database.write() as connection:
                if lease is not None:
                    lease_rows.check(connection, lease, self._clock.now())
                row = model_rows.model_of(connection, spec, self.path)
                model = row.id if row else None
                if new:
                    node_rows.insert(
                        connection,
                        scope_rows.touch(connection, scope),
                        [(item, item.node.seq) for item in new],
                        model,
                    )
                for item, (_, version) in zip(changed, changes.update, strict=True):
                    node_rows.update(connection, scope, item, version, model)
                node_rows.check_ground(connection, scope, [item.node for item in nodes])
                node_rows.mark_reflected(connection, scope, changes.reflected)
                log_rows.conclude(connection, scope, changes)

        await self._run(self._writer, job)

    async def nodes(self, scope: Scope, ids: Sequence[str]) -> tuple[MemoryNode, ...]:
        def job() -> tuple[MemoryNode, ...]:
            with self._database.read() as connection:
                return node_rows.by_ids(connection, scope, ids)

        return await self._run(self._readers, job)

    async def drawn_from(
        self, scope: Scope, message_ids: Sequence[str]
    ) -> Mapping[str, tuple[MemoryNode, ...]]:
        def job() -> Mapping[str, tuple[MemoryNode, ...]]:
            with self._database.read() as connection:
                return node_rows.drawn_from(connection, scope, message_ids)

        return await self._run(self._readers, job) if message_ids else {}

    async def list_nodes(
        self,
        scope: Scope,
        where: NodeFilter = NodeFilter(),
        *,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[MemoryNode]:
        check_count("limit", limit)

        def job() -> Page[MemoryNode]:
            with self._database.read() as connection:
                return node_rows.page(connection, scope, where, cursor, limit, self._now())

        return await self._run(self._readers, job)

    async def history(self, scope: Scope, node_id: str) -> tuple[MemoryNode, ...]:
        def job() -> tuple[MemoryNode, ...]:
            with self._database.read() as connection:
                return node_rows.history(connection, scope, node_id)

        return await self._run(self._readers, job)

    async def delete_nodes(self, scope: Scope, ids: Sequence[str]) -> tuple[str, ...]:
        def job() -> tuple[str, ...]:
            with self._database.write() as connection:
                return node_rows.delete(connection, scope, ids)

        return await self._run(self._writer, job)

    # ------------------------------------------------------------ search

    async def search(
        self, scope: Scope, requests: Sequence[SearchRequest]
    ) -> tuple[Candidates, ...]:
        for request in requests:
            check_count("limit", request.limit)
            check_count("neighbours", request.neighbours, least=0)
        spec = self._spec

        def job() -> tuple[Candidates, ...]:
            return self._cache.search(scope, requests, spec, self._now())

        return await self._run(self._searchers, job) if requests else ()

    async def generation(self, scope: Scope) -> int:
        def job() -> int:
            with self._database.read() as connection:
                row = scope_rows.find(connection, scope)
                if row is not None:
                    return row.generation
                return scope_rows.meta(connection, "erased_generation")

        return await self._run(self._readers, job)

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
        check_selection(message_ids, session_id, everything)

        def job() -> Forgotten:
            with self._database.write() as connection:
                gone = removal.remove(connection, scope, message_ids, session_id, everything)
            self._cache.drop(scope)
            clean = _scrub(self._database, SCRUB_SECONDS, gone, compact=compact)
            with self._database.read() as connection:
                clean = clean and not removal.remains(connection, gone)
            return Forgotten(len(gone.message_ids), len(gone.node_ids), tuple(gone.node_ids), clean)

        return await self._run(self._writer, job)

    # ------------------------------------------------------------ leases

    async def acquire(self, scope: Scope, name: str, owner: str, seconds: float) -> Lease | None:
        check_lease(name, owner, seconds)

        def job() -> Lease | None:
            with self._database.write() as connection:
                return lease_rows.acquire(
                    connection, scope, name, owner, seconds, self._clock.now()
                )

        return await self._run(self._writer, job)

    async def release(self, lease: Lease) -> None:
        def job() -> None:
            with self._database.write() as connection:
                lease_rows.release(connection, lease)

        await self._run(self._writer, job)

    # ------------------------------------------------------------ embedding

    async def vectors(
        self, scope: Scope, ids: Sequence[str]
    ) -> Mapping[str, tuple[FloatArray | None, FloatArray | None]]:
        def job() -> Mapping[str, tuple[FloatArray | None, FloatArray | None]]:
            with self._database.read() as connection:
                return model_rows.read(connection, scope, ids)

        return await self._run(self._readers, job) if ids else {}

    async def unembedded(self, limit: int) -> tuple[tuple[Scope, MemoryNode], ...]:
        check_count("limit", limit)
        spec = self._target or self._spec

        def job() -> tuple[tuple[Scope, MemoryNode], ...]:
            with self._database.read() as connection:
                active, following = model_rows.models(connection)
                model = model_rows.model_of(connection, spec, self.path) or following or active
                return model_rows.missing(connection, model.id if model else -1, limit)

        return await self._run(self._readers, job)

    async def set_vectors(
        self, scope: Scope, vectors: Mapping[str, tuple[FloatArray, FloatArray]]
    ) -> int:
        spec = self._target or self._spec
        if spec is None:
            raise InvalidInput("vectors", "this store was opened without an embedder")

        def job() -> int:
            encoded = vector_blobs(list(vectors.values()), spec.dimension)
            blobs = {
                name: (first or b"", second or b"")
                for name, (first, second) in zip(vectors, encoded, strict=True)
            }
            with self._database.write() as connection:
                model = model_rows.model_of(connection, spec, self.path)
                assert model is not None  # model_of raised for a spec that is not recorded
                return model_rows.put(connection, scope, blobs, model)

        return await self._run(self._writer, job) if vectors else 0

    async def begin_reembed(self, spec: EmbedderSpec) -> None:
        def job() -> None:
            with self._database.write() as connection:
                model_rows.begin(connection, spec)
            self._target = spec

        await self._run(self._writer, job)

    async def finish_reembed(self) -> None:
        def job() -> None:
            with self._database.write() as connection:
                model_rows.finish(connection)
            if self._target is not None:
                self._spec, self._target = self._target, None
            self._cache.clear()

        await self._run(self._writer, job)

    # ------------------------------------------------------------ administration

    async def scopes(self) -> tuple[Scope, ...]:
        def job() -> tuple[Scope, ...]:
            with self._database.read() as connection:
                return inspection.filled_scopes(connection)

        return await self._run(self._readers, job)

    async def stats(self, scope: Scope | None = None) -> StoreStats:
        def job() -> StoreStats:
            with self._database.read() as connection:
                return inspection.stats(connection, scope, self._database.size())

        return await self._run(self._readers, job)

    async def check(self) -> tuple[str, ...]:
        def job() -> tuple[str, ...]:
            with self._database.read() as connection:
                return inspection.check(connection)

        return await self._run(self._readers, job)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True

        def job() -> None:
            self._readers.shutdown()
            self._searchers.shutdown()
            self._builder.shutdown(wait=True, cancel_futures=True)
            try:
                # all writes are durable; tidying up that fails is done by the next open or close
                with contextlib.suppress(StoreError):
                    _scrub(self._database, SCRUB_SECONDS)
                    self._database.truncate_log(0.0)
            finally:
                self._cache.clear()
                self._database.close()

        # the writer's queue ends with this job, so every write that was accepted runs before it
        try:
            await asyncio.shield(asyncio.wrap_future(self._writer.submit(job)))
        except BaseException:
            self._writer.shutdown(wait=False)  # the job may still run
            raise
        self._writer.shutdown()  # nothing is left to do: its thread ends at once

    # ------------------------------------------------------------ threads

    async def _run(self, pool: ThreadPoolExecutor | WarmThreads, job: Callable[[], T]) -> T:
        if self._closed:
            raise StoreUnavailable(f"{self.path} is closed")
        try:
            future = pool.submit(job)
        except RuntimeError:  # another thread closed the store since
            raise StoreUnavailable(f"{self.path} is closed") from None
        return await asyncio.wrap_future(future)

    def _later(self, job: Callable[[], None]) -> None:
        # when the store is being closed the job is dropped, as those still waiting are
        with contextlib.suppress(RuntimeError):
            self._builder.submit(job).add_done_callback(_report)

    def _now(self) -> int:
        return micros(self._clock.now())


def _report(done: Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        _log.warning("no FAISS index, searching exactly: %s", type(error).__name__)


def _scrub(
    database: Database,
    seconds: float,
    gone: removal.Removed | None = None,
    *,
    compact: bool = False,
) -> bool:
    """Free the files of what was forgotten, now and earlier; whether that is certain.

    The traces of ``gone`` are known and looked for; an earlier removal that could not be finished
    left none, so that the file is rewritten.
    """
    with database.read() as connection:
        due = removal.unscrubbed(connection)
    if not due and not compact:
        return True
    try:
        if not database.truncate_log(seconds):
            return False
        only_ours = gone is not None and due == {gone.scrub} and not compact
        image = database.image(SCAN_LIMIT) if only_ours else None
        if image is None or gone is None or residue.left_behind(image, gone.traces):
            database.vacuum()
            if not database.truncate_log(seconds):
                return False
    except StoreUnavailable:
        # what was chosen is deleted; that the files could not be cleaned now is no failure of it
        return False
    with database.write() as connection:
        removal.scrubbed(connection, due)
    return True
