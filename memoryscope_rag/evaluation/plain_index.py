"""The store's search once more, the plain way: arrays in, :class:`Candidates` out.

The slow twin of ``MemoryStore.search`` for fitting and for tests: every node of one scope is a
candidate, every score is computed for it. Where a store's limits bind, it finds fewer.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.ports import Candidates, FloatArray, IndexedNode, Query

BM25_K1 = 1.2
BM25_B = 0.75


class BM25:
    """Okapi BM25 over token lists, with Lucene's never-negative idf.

    A term that stands twice in a query counts twice. Robertson & Zaragoza, *The Probabilistic
    Relevance Framework*, 2009.
    """

    def __init__(
        self, documents: Sequence[Sequence[str]], k1: float = BM25_K1, b: float = BM25_B
    ) -> None:
        self._count = len(documents)
        self._length = np.array([len(terms) for terms in documents], dtype=np.float64)
        mean = float(self._length.mean()) if self._count and self._length.any() else 1.0
        self._k1 = k1
        self._norm = k1 * (1 - b + b * self._length / mean)
        self._postings: dict[str, tuple[list[int], list[int]]] = {}
        for index, terms in enumerate(documents):
            for term, times in Counter(terms).items():
                where, often = self._postings.setdefault(term, ([], []))
                where.append(index)
                often.append(times)

    def scores(self, terms: Sequence[str]) -> FloatArray:
        """The score of every document, shape ``(documents,)``."""
        total = np.zeros(self._count)
        for term in terms:
            if term not in self._postings:
                continue
            where, often = (np.asarray(part) for part in self._postings[term])
            idf = math.log(1 + (self._count - len(where) + 0.5) / (len(where) + 0.5))
            total[where] += idf * often * (self._k1 + 1) / (often + self._norm[where])
        return total.astype(np.float32)


class PlainIndex:
    """All nodes of one scope in memory."""

    def __init__(self, nodes: Sequence[IndexedNode], dimension: int) -> None:
        self._nodes = tuple(nodes)
        self._turn = BM25([item.terms for item in nodes])
        self._context = BM25([item.context_terms for item in nodes])
        self._vectors = _stack([item.vector for item in nodes], dimension)
        self._contexts = _stack([item.context_vector for item in nodes], dimension)
        sessions = _codes([item.node.session_id for item in nodes])
        speakers = _codes([item.node.speaker for item in nodes])
        self._session = np.array([sessions.get(i.node.session_id or "", -1) for i in nodes])
        self._speaker = np.array([speakers.get(i.node.speaker or "", -1) for i in nodes])
        self._speakers = tuple(speakers)

    def search(self, queries: Sequence[Query]) -> Candidates:
        """Every node with its scores for every query."""
        nodes = self._nodes
        count = len(nodes)
        lexical = np.zeros((len(queries), count), np.float32)
        lexical_context = np.zeros_like(lexical)
        dense = np.full_like(lexical, np.nan)
        dense_context = np.full_like(lexical, np.nan)
        for row, query in enumerate(queries):
            lexical[row] = self._turn.scores(query.terms)
            lexical_context[row] = self._context.scores(query.terms)
            if query.vector is not None:
                dense[row] = _cosine(self._vectors, query.vector)
                dense_context[row] = _cosine(self._contexts, query.vector)
        events = [item.node.event for item in nodes]
        return Candidates(
            population=count,
            ids=tuple(item.node.id for item in nodes),
            kinds=tuple(item.node.kind for item in nodes),
            dense=dense,
            dense_context=dense_context,
            lexical=lexical,
            lexical_context=lexical_context,
            lexical_best=lexical.max(axis=1, initial=0.0),
            vectors=self._vectors,
            session=self._session,
            seq=np.array([item.node.seq for item in nodes], dtype=np.int64),
            turn=_places([(item.node.session_id, item.node.seq) for item in nodes]),
            speaker=self._speaker,
            speakers=self._speakers,
            said_at=np.array([item.node.said_at.timestamp() for item in nodes]),
            event_start=np.array(
                [
                    event.interval.start.timestamp()
                    if event is not None and event.interval.start is not None
                    else math.nan
                    for event in events
                ]
            ),
            event_end=np.array(
                [
                    event.interval.end.timestamp()
                    if event is not None and event.interval.end is not None
                    else math.nan
                    for event in events
                ]
            ),
            length=np.array([len(item.node.content) for item in nodes], dtype=np.int64),
            question=np.array([item.question for item in nodes], dtype=np.bool_),
            found=np.ones(count, dtype=np.bool_),
        )


def _codes(values: Sequence[str | None]) -> dict[str, int]:
    return {name: code for code, name in enumerate(dict.fromkeys(v for v in values if v))}


def _places(turns: Sequence[tuple[str | None, int]]) -> NDArray[np.int64]:
    """The place of each (session, seq) among the turns of its session, -1 without a session."""
    order: dict[str | None, list[int]] = {}
    for session, seq in sorted(set(turns), key=lambda turn: turn[1]):
        order.setdefault(session, []).append(seq)
    return np.array(
        [-1 if session is None else order[session].index(seq) for session, seq in turns],
        dtype=np.int64,
    )


def _stack(vectors: Sequence[FloatArray | None], dimension: int) -> FloatArray:
    stacked = np.zeros((len(vectors), dimension), np.float32)
    for row, vector in enumerate(vectors):
        if vector is not None:
            stacked[row] = vector
    return stacked


def _cosine(vectors: FloatArray, query: FloatArray) -> FloatArray:
    return np.where(vectors.any(axis=1), vectors @ query, np.float32(np.nan)).astype(np.float32)
