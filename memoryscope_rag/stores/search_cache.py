"""The search indexes of the scopes searched last, each brought up to date before it answers.

A search reads its scope's generation and the rows changed since, in one read transaction, so it
sees every write that was durable when it began, also another process's. One lock a scope: two
searches of one scope take turns, those of two scopes do not meet.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from memoryscope_rag.errors import EmbeddingMismatch
from memoryscope_rag.ports import Candidates, EmbedderSpec, FloatArray, Query, SearchRequest
from memoryscope_rag.schema import Scope
from memoryscope_rag.stores import model_rows, node_rows, scope_rows
from memoryscope_rag.stores.columns import SEARCH_COLUMNS
from memoryscope_rag.stores.connections import Database
from memoryscope_rag.stores.encoding import TermHasher, unit_vectors
from memoryscope_rag.stores.model_rows import Model
from memoryscope_rag.stores.scope_index import ScopeIndex
from memoryscope_rag.stores.scope_rows import ScopeRow
from memoryscope_rag.stores.vector_index import VectorIndex

_BATCH = 4096


class _Entry:
    """A scope's place in the cache: its lock, its index, whether FAISS is at work for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.index: ScopeIndex | None = None
        self.building = False


class SearchCache:
    """Indexes by scope, at most ``cache_bytes`` of them (but always the one in use).

    ``background`` runs a job outside the search that asks for it; a FAISS index is built there
    while searches go on exactly.
    """

    def __init__(
        self,
        database: Database,
        cache_bytes: int,
        faiss_threshold: int,
        background: Callable[[Callable[[], None]], None],
    ) -> None:
        self._database = database
        self._cache_bytes = cache_bytes
        self._faiss_threshold = faiss_threshold
        self._background = background
        self._lock = threading.Lock()
        self._entries: OrderedDict[Scope, _Entry] = OrderedDict()
        self._sizes: dict[Scope, int] = {}

    def search(
        self,
        scope: Scope,
        requests: Sequence[SearchRequest],
        spec: EmbedderSpec | None,
        now: int,
    ) -> tuple[Candidates, ...]:
        """Answer ``requests`` on one state of the scope.

        ``spec`` is the model that made their vectors; ``now`` in microseconds. Requests in a
        row that share their queries are scored by words once.

        Raises:
            InvalidInput: a query's vector is none of ``spec``'s.
            EmbeddingMismatch: the store has vectors of another model.
        """
        hasher = TermHasher()
        asked = {request.queries: None for request in requests}
        terms = {queries: [hasher.array(q.terms) for q in queries] for queries in asked}
        vectors = {queries: query_vectors(queries, spec) for queries in asked}
        entry = self._entry(scope)
        with entry.lock:
            with self._database.read() as connection:
                active, _ = model_rows.models(connection)
                if (
                    spec is not None
                    and active is not None
                    and active.spec.fingerprint != spec.fingerprint
                    and any(v is not None for found in vectors.values() for v in found)
                ):
                    raise model_rows.mismatch(self._database.path, active.spec, spec)
                index = _refreshed(connection, scope, entry.index, active)
                named = [
                    node_rows.pieces_of(connection, index.scope_id, request.messages)
                    for request in requests
                ]
            if active is None:  # nothing to compare with yet
                vectors = {queries: [None for _ in queries] for queries in asked}
            entry.index = index
            self._consider_faiss(entry, index)
            found = []
            scored = None
            for request, keys in zip(requests, named, strict=True):
                if request.queries != scored:
                    scored = request.queries
                    lexical = index.lexical(terms[scored])
                found.append(index.search(request, lexical, vectors[scored], now, keys))
            size = index.nbytes
        self._account(scope, entry, size)
        return tuple(found)

    def drop(self, scope: Scope) -> None:
        """Let go of a scope's index, for what was forgotten must not stay in memory."""
        with self._lock:
            self._entries.pop(scope, None)
            self._sizes.pop(scope, None)

    def clear(self) -> None:
        """Let go of all indexes."""
        with self._lock:
            self._entries.clear()
            self._sizes.clear()

    @property
    def nbytes(self) -> int:
        """Bytes held by all indexes, about."""
        with self._lock:
            return sum(self._sizes.values())

    def peek(self, scope: Scope) -> ScopeIndex | None:
        """The index of a scope as it is, not brought up to date; for tests."""
        with self._lock:
            entry = self._entries.get(scope)
        return None if entry is None else entry.index

    def _entry(self, scope: Scope) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(scope, _Entry())
            self._entries.move_to_end(scope)
            return entry

    def _account(self, scope: Scope, entry: _Entry, size: int) -> None:
        with self._lock:
            if self._entries.get(scope) is not entry:
                return
            self._sizes[scope] = size
            held = sum(self._sizes.values())
            while len(self._entries) > 1 and held > self._cache_bytes:
                oldest, _ = self._entries.popitem(last=False)
                held -= self._sizes.pop(oldest, 0)

    def _consider_faiss(self, entry: _Entry, index: ScopeIndex) -> None:
        columns = index.columns
        if len(index) <= self._faiss_threshold or entry.building or not columns.dimension:
            return
        held = index.vector_index
        if held is not None and not held.stale(columns.count, columns.live):
            return
        entry.building = True
        # views: later slots are written past their end; deaths change ``alive``, so that is copied
        turn = columns.turn
        alive = columns.alive.copy()

        def build() -> None:
            built = VectorIndex.build(turn.rows, turn.has, alive)
            with entry.lock:
                if entry.index is index:  # not compacted meanwhile: slots mean the same
                    index.vector_index = built
            # not reached after a failure: that would be met again at every search
            entry.building = False

        self._background(build)


def query_vectors(queries: Sequence[Query], spec: EmbedderSpec | None) -> list[FloatArray | None]:
    """The queries' vectors at unit length; a store without an embedder takes none."""
    vectors = [query.vector for query in queries]
    if spec is not None:
        return unit_vectors("query vector", vectors, spec.dimension)
    if any(vector is not None for vector in vectors):
        raise EmbeddingMismatch(
            "the store was opened without an embedder, so it cannot compare vectors"
        )
    return vectors


def _refreshed(
    connection: sqlite3.Connection, scope: Scope, index: ScopeIndex | None, active: Model | None
) -> ScopeIndex:
    """``index`` brought to the state that ``connection`` sees, or a new one where that is due."""
    row = scope_rows.find(connection, scope)
    model, dimension = (active.id, active.spec.dimension) if active else (None, 0)
    if row is None:
        return ScopeIndex(-1, model, dimension)
    if (
        index is None
        or index.scope_id != row.id
        or index.model != model
        or index.generation < row.tombstone_floor
    ):
        index = ScopeIndex(row.id, model, dimension)
    if index.generation < row.generation:
        _load_changes(connection, row, index)
        if index.wasteful:
            index = ScopeIndex(row.id, model, dimension)
            _load_changes(connection, row, index)
    return index


def _load_changes(connection: sqlite3.Connection, row: ScopeRow, index: ScopeIndex) -> None:
    if index.generation:
        gone = connection.execute(
            "SELECT node FROM tombstones WHERE scope = ? AND generation > ?",
            (row.id, index.generation),
        )
        index.remove([key for (key,) in gone])
    cursor = connection.execute(
        f"SELECT {SEARCH_COLUMNS}, t.turn, t.context, v.turn, v.context FROM nodes n"
        " JOIN terms t ON t.node = n.key"
        " LEFT JOIN vectors v ON v.node = n.key AND v.model = ?"
        " WHERE n.scope = ? AND n.generation > ? ORDER BY n.generation, n.key",
        (index.model, row.id, index.generation),
    )
    while rows := cursor.fetchmany(_BATCH):
        index.append(
            [cells[:-4] for cells in rows],
            [(cells[-4], cells[-3]) for cells in rows],
            [(cells[-2], cells[-1]) for cells in rows],
        )
    index.generation = row.generation
