"""Search over one scope: columns, postings, turn order, and a FAISS index when it is large.

Pure numpy, no SQL and no clock. :mod:`memoryscope_rag.stores.search_cache` feeds it the rows that
changed and holds its lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.ports import Candidates, FloatArray, SearchRequest
from memoryscope_rag.schema import KINDS
from memoryscope_rag.stores.columns import KIND_CODES, OPEN_END, OPEN_START, Columns, Field
from memoryscope_rag.stores.encoding import TermArray
from memoryscope_rag.stores.postings import Collection, Postings
from memoryscope_rag.stores.rows import micros
from memoryscope_rag.stores.turn_order import TurnOrder
from memoryscope_rag.stores.vector_index import VectorIndex

COMPACT_ABOVE = 0.25
"""Share of dead slots from which an index is built anew."""

_BLOCK = 2048
_CONVERSATION = KIND_CODES["conversation"]
Slots = NDArray[np.int64]


class ScopeIndex:
    """What search needs of one scope's nodes, brought up to date by :meth:`apply`.

    ``generation`` is the scope's state that it shows, ``model`` the row of its vectors' model.
    Not safe for threads by itself.
    """

    def __init__(self, scope_id: int, model: int | None, dimension: int) -> None:
        self.scope_id = scope_id
        self.model = model
        self.generation = 0
        self.vector_index: VectorIndex | None = None
        self.columns = Columns(dimension)
        self._turn_terms = Postings()
        self._context_terms = Postings()
        self._turns = TurnOrder()

    def __len__(self) -> int:
        return self.columns.live

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        extra = 0 if self.vector_index is None else self.vector_index.nbytes
        terms = self._turn_terms.nbytes + self._context_terms.nbytes
        return self.columns.nbytes + terms + extra

    @property
    def wasteful(self) -> bool:
        """Whether so many slots are dead that building anew is worth it."""
        dead = self.columns.count - self.columns.live
        return dead > 64 and dead > COMPACT_ABOVE * self.columns.count

    def remove(self, keys: Sequence[int]) -> None:
        """Take nodes out by key; unknown keys are passed over."""
        self._died(self.columns.kill(keys))

    def append(
        self,
        rows: Sequence[Sequence[Any]],
        terms: Sequence[tuple[bytes, bytes]],
        vectors: Sequence[tuple[bytes | None, bytes | None]],
    ) -> None:
        """Add new nodes, and the new state of changed ones.

        ``rows`` are cells of :data:`columns.SEARCH_COLUMNS`; ``terms`` and ``vectors`` are BLOBs
        of turn and context.
        """
        if not rows:
            return
        columns = self.columns
        begin = columns.count
        self._died(columns.append(rows, [v[0] for v in vectors], [v[1] for v in vectors]))
        self._turn_terms.append(begin, [t[0] for t in terms], columns.alive)
        self._context_terms.append(begin, [t[1] for t in terms], columns.alive)
        conversation = np.flatnonzero(columns.kind[begin:] == _CONVERSATION) + begin
        self._turns.add(columns.session[conversation], columns.seq[conversation], conversation)

    def lexical(
        self,
        terms: Sequence[TermArray],
        turns: Collection | None = None,
        contexts: Collection | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """BM25 of each query for every slot, by turn and by context: ``(queries, slots)``.

        The collections say what the scope holds when this index is only a part of it.
        """
        alive = self.columns.alive
        return (
            self._turn_terms.scores(terms, alive, turns),
            self._context_terms.scores(terms, alive, contexts),
        )

    def search(
        self,
        request: SearchRequest,
        lexical: tuple[FloatArray, FloatArray],
        vectors: Sequence[FloatArray | None],
        now: int,
        named: Sequence[int] = (),
    ) -> Candidates:
        """Candidates of all queries.

        ``lexical`` is what :meth:`lexical` gave for the queries, ``vectors`` are theirs, of unit
        length. ``now`` in microseconds closes nodes when the request has no ``as_of``. ``named``
        are the keys of the conversation nodes of its ``messages``; unknown keys are passed over.
        """
        columns = self.columns
        mask = self._mask(request, now)
        passing = int(np.count_nonzero(mask))
        if not passing:
            return self._nothing(len(vectors))
        turn_scores, context_scores = lexical
        turn_hits = [_top(row, mask, passing, request.limit) for row in turn_scores]
        context_hits = [_top(row, mask, passing, request.limit) for row in context_scores]
        dense_hits, products = self._dense_hits(vectors, mask, passing, request.limit)
        found = np.zeros(len(mask), dtype=bool)
        for hits in (*turn_hits, *context_hits, *dense_hits):
            found[hits] = True
        called = [slot for key in named if (slot := columns.slot_of.get(key)) is not None]
        found[called] = mask[called]
        slots, places = self._with_neighbours(found, mask, request.neighbours)
        best = [
            row[hits].max(initial=0.0) for row, hits in zip(turn_scores, turn_hits, strict=True)
        ]
        return self._candidates(
            slots,
            places,
            found[slots],
            _dense(columns.turn, slots, vectors, products),
            _dense(columns.context, slots, vectors, None),
            np.ascontiguousarray(turn_scores[:, slots]),
            np.ascontiguousarray(context_scores[:, slots]),
            np.array(best, dtype=np.float32),
            passing,
        )

    def _mask(self, request: SearchRequest, now: int) -> NDArray[np.bool_]:
        c = self.columns
        mask = c.alive.copy()
        if request.kinds != frozenset(KINDS):
            wanted = np.zeros(len(KINDS), dtype=bool)
            wanted[[KIND_CODES[kind] for kind in request.kinds]] = True
            mask &= wanted[c.kind]
        if request.as_of is None:
            mask &= c.valid_to > now
        else:
            at = micros(request.as_of)
            mask &= (c.valid_from <= at) & (at < c.valid_to)
        if request.session_id is not None:
            mask &= c.session == c.sessions.get(request.session_id, -2)
        if request.during is not None:
            start, end = request.during.start, request.during.end
            low = OPEN_START if start is None else micros(start)
            high = OPEN_END if end is None else micros(end)
            said = (c.said_at >= low) & (c.said_at < high)
            mask &= said | ((c.event_start < high) & (low < c.event_end))
        return mask

    def _dense_hits(
        self,
        vectors: Sequence[FloatArray | None],
        mask: NDArray[np.bool_],
        passing: int,
        limit: int,
    ) -> tuple[list[Slots], FloatArray | None]:
        """Hits of each query, and the products of all rows if they were computed."""
        given = [vector for vector in vectors if vector is not None]
        if not given:
            return [], None
        queries = np.stack(given)
        field = self.columns.turn
        wanted = mask & field.has
        index = self.vector_index
        if index is not None and index.serves(passing):
            newer = np.flatnonzero(wanted[index.end :]) + index.end
            hits = []
            for vector, near in zip(given, index.candidates(queries, wanted, limit), strict=True):
                slots = np.concatenate([near, newer])
                hits.append(slots[_top_positions(_products([vector], field.rows[slots])[0], limit)])
            return hits, None
        slots = np.flatnonzero(wanted)
        if 3 * len(slots) < len(mask):
            few = _products(queries, field.rows[slots])
            return [slots[_top_positions(row, limit)] for row in few], None
        # gathering most rows costs more than multiplying with all of them
        products = _products(queries, field.rows)
        scores = products if len(slots) == len(mask) else products[:, slots]
        return [slots[_top_positions(row, limit)] for row in scores], products

    def _with_neighbours(
        self, found: NDArray[np.bool_], mask: NDArray[np.bool_], width: int
    ) -> tuple[Slots, NDArray[np.int64]]:
        """What is ``found`` with the turns around it, in order, and places in their sessions."""
        c = self.columns
        talk = np.flatnonzero(found & (c.kind == _CONVERSATION))
        near, turns = self._turns.around(c.session[talk], c.seq[talk], width)
        places = np.full(len(mask), -1)
        places[near] = turns
        slots = np.flatnonzero(found | ((places >= 0) & mask))
        slots = slots[np.lexsort((c.key[slots], c.seq[slots], c.kind[slots]))]
        return slots, places[slots]

    def _nothing(self, queries: int) -> Candidates:
        none = np.zeros(0, dtype=np.int64)
        scores = np.zeros((queries, 0), dtype=np.float32)
        best = np.zeros(queries, dtype=np.float32)
        flags = np.zeros(0, dtype=np.bool_)
        return self._candidates(none, none, flags, scores, scores, scores, scores, best)

    def _candidates(
        self,
        slots: Slots,
        places: NDArray[np.int64],
        found: NDArray[np.bool_],
        dense: FloatArray,
        dense_context: FloatArray,
        lexical: FloatArray,
        lexical_context: FloatArray,
        lexical_best: FloatArray,
        population: int = 0,
    ) -> Candidates:
        c = self.columns
        names = list(c.speakers)
        # only names that occur here: others may belong to turns that were forgotten
        used, speaker = np.unique(c.speaker[slots], return_inverse=True)
        speaker = speaker.reshape(-1) - (1 if len(used) and used[0] == -1 else 0)
        return Candidates(
            ids=tuple([c.ids[slot] for slot in slots.tolist()]),
            kinds=tuple([KINDS[code] for code in c.kind[slots].tolist()]),
            dense=dense,
            dense_context=dense_context,
            lexical=lexical,
            lexical_context=lexical_context,
            lexical_best=lexical_best,
            vectors=c.turn.rows[slots],
            session=c.session[slots],
            seq=c.seq[slots],
            turn=places,
            speaker=speaker.astype(np.int64),
            speakers=tuple([names[code] for code in used.tolist() if code >= 0]),
            said_at=_seconds(c.said_at[slots]),
            event_start=_seconds(c.event_start[slots]),
            event_end=_seconds(c.event_end[slots]),
            length=c.length[slots],
            question=c.question[slots],
            found=found,
            population=population,
        )

    def _died(self, slots: Sequence[int]) -> None:
        if slots:
            self._turns.discard(slots)


def _products(queries: Sequence[FloatArray] | FloatArray, rows: FloatArray) -> FloatArray:
    """Dot products ``(queries, rows)``, in this thread.

    Not by matrix product: BLAS splits one over all cores and waits for the last, however busy that
    core is (10 000 rows, two busy cores: 11 ms, and 1 ms so; 100 000 rows, two idle ones: 8 and
    12). Memory is what bounds it: a block of rows meets all queries while it is in the cache.
    """
    columns = np.asarray(queries)[:, None]
    out = np.empty((len(columns), len(rows)), dtype=np.float32)
    for begin in range(0, len(rows), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        np.vecdot(rows[None, block], columns, out=out[:, block])
    return out


def _top(row: FloatArray, mask: NDArray[np.bool_], passing: int, limit: int) -> Slots:
    """The best ``limit`` slots of those that ``mask`` lets through and that score at all."""
    slots = np.flatnonzero(row > 0.0 if passing == len(row) else (row > 0.0) & mask)
    return slots[_top_positions(row[slots], limit)]


def _top_positions(scores: FloatArray, limit: int) -> Slots:
    if len(scores) <= limit:
        return np.arange(len(scores))
    return np.argpartition(scores, len(scores) - limit)[len(scores) - limit :]


def _dense(
    field: Field,
    slots: Slots,
    vectors: Sequence[FloatArray | None],
    products: FloatArray | None,
) -> FloatArray:
    """Cosines ``(queries, slots)``; ``products`` has a row for each query with a vector."""
    out = np.full((len(vectors), len(slots)), np.nan, dtype=np.float32)
    given = [position for position, vector in enumerate(vectors) if vector is not None]
    if not given:
        return out
    if products is None:
        products = _products([v for v in vectors if v is not None], field.rows[slots])
    else:
        products = products[:, slots]
    out[given] = np.where(field.has[slots], products, np.float32(np.nan))
    return out


def _seconds(micro: NDArray[np.int64]) -> NDArray[np.float64]:
    seconds = micro / 1e6
    seconds[(micro == OPEN_START) | (micro == OPEN_END)] = np.nan
    return seconds
