"""BM25 over one scope: an inverted index in numpy that grows by appending.

Statistics are the scope's own: ``N`` and the mean length count its live nodes of every kind, and
``df`` the live nodes that hold the term. Nothing of another scope, and nothing that was deleted,
moves a score. Formula: Robertson and Zaragoza, *The Probabilistic Relevance Framework* (2009),
with the idf ``ln(1 + (N - df + .5) / (df + .5))``, which is never negative. A term that stands
twice in the query counts twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.ports import FloatArray
from memoryscope_rag.stores.encoding import TermArray

K1 = 1.2
"""How soon repeating a term stops to help."""
B = 0.75
"""How much a long text is held against it, 0 to 1."""

SlotArray = NDArray[np.int32]


def bm25_idf(documents: int, holding: int) -> float:
    """The weight of a term that ``holding`` of ``documents`` hold."""
    return float(np.log1p((documents - holding + 0.5) / (holding + 0.5)))


def bm25_norm(
    lengths: FloatArray, mean_length: float, *, k1: float = K1, b: float = B
) -> FloatArray:
    """What is added to the term frequency in BM25's denominator, one value a document."""
    scale = b / mean_length if mean_length > 0 else 0.0
    return (k1 * ((1.0 - b) + scale * lengths)).astype(np.float32)


def bm25_part(tf: FloatArray, norm: FloatArray, idf: float, *, k1: float = K1) -> FloatArray:
    """One term's share in the score of the documents that hold it ``tf`` times."""
    return (np.float32(idf * (k1 + 1.0)) * tf) / (tf + norm)


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """What BM25 asks of all documents, for postings that hold only some of them.

    ``documents`` and their ``length`` in tokens altogether; how many are ``holding`` each term.
    """

    documents: int
    length: float
    holding: Mapping[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Segment:
    """Postings of some consecutive slots: ``slots[start[i]:start[i+1]]`` hold ``terms[i]``."""

    terms: TermArray
    start: NDArray[np.int64]
    slots: SlotArray
    tf: FloatArray

    @property
    def nbytes(self) -> int:
        return self.terms.nbytes + self.start.nbytes + self.slots.nbytes + self.tf.nbytes


class Postings:
    """Terms to slots of one field (turn or context).

    Segments are merged as in a log-structured tree, so a slot is sorted anew O(log n) times and
    one appended turn costs no more than its own terms.
    """

    def __init__(self) -> None:
        self._segments: list[_Segment] = []
        self._lengths = np.zeros(0, dtype=np.float32)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._lengths.nbytes + sum(segment.nbytes for segment in self._segments)

    def append(self, first_slot: int, blobs: Sequence[bytes], alive: NDArray[np.bool_]) -> None:
        """Add the term BLOBs of the slots from ``first_slot`` on; ``alive`` covers all slots."""
        sizes = np.fromiter((len(blob) // 8 for blob in blobs), np.int64, len(blobs))
        end = first_slot + len(blobs)
        if end > len(self._lengths):
            grown = np.zeros(max(end, len(self._lengths) * 5 // 4, 64), dtype=np.float32)
            grown[:first_slot] = self._lengths[:first_slot]
            self._lengths = grown
        self._lengths[first_slot:end] = sizes
        terms = np.frombuffer(b"".join(blobs), dtype="<u8").astype(np.uint64)
        slots = np.repeat(np.arange(first_slot, end, dtype=np.int32), sizes)
        order = np.argsort(terms, kind="stable")
        terms, slots = terms[order], slots[order]
        first = np.ones(len(terms), dtype=bool)
        first[1:] = (terms[1:] != terms[:-1]) | (slots[1:] != slots[:-1])
        begin = np.flatnonzero(first)
        tf = np.diff(begin, append=len(terms)).astype(np.float32)
        self._segments.append(_segment(terms[begin], slots[begin], tf))
        while len(self._segments) > 1 and (
            len(self._segments[-2].slots) < 2 * len(self._segments[-1].slots) + 64
        ):
            newer, older = self._segments.pop(), self._segments.pop()
            self._segments.append(_merge(older, newer, alive))

    def total_length(self, alive: NDArray[np.bool_]) -> float:
        """Tokens in all live slots."""
        return float((self._lengths[: len(alive)] * alive).sum(dtype=np.float64))

    def scores(
        self,
        queries: Sequence[TermArray],
        alive: NDArray[np.bool_],
        collection: Collection | None = None,
    ) -> FloatArray:
        """BM25 of each query for every slot, shape ``(queries, slots)``; 0 for dead slots.

        ``collection`` is what the live slots are a part of; they are all of it by default.
        """
        slots_count = len(alive)
        out = np.zeros((len(queries), slots_count), dtype=np.float32)
        here = int(np.count_nonzero(alive))
        documents, length = here, 0.0
        if collection is not None:
            documents, length = collection.documents, collection.length
        elif here:
            length = self.total_length(alive)
        if not documents:
            return out
        mean_length = length / documents
        any_dead = here < slots_count
        shares: dict[int, tuple[SlotArray, FloatArray]] = {}
        for row, query in zip(out, queries, strict=True):
            for term, count in sorted(Counter(query.tolist()).items()):
                share = shares.get(term)
                if share is None:
                    slots, tf = self._holding(np.uint64(term))
                    if any_dead:
                        live = alive[slots]
                        slots, tf = slots[live], tf[live]
                    norm = bm25_norm(self._lengths[slots], mean_length)
                    holding = len(slots)
                    if collection is not None:
                        holding = max(collection.holding.get(term, 0), holding)
                    part = bm25_part(tf, norm, bm25_idf(documents, holding))
                    share = shares[term] = (slots, part)
                # a slot stands once in a term's postings, so plain indexing adds correctly
                row[share[0]] += share[1] * np.float32(count)
        return out

    def _holding(self, term: np.uint64) -> tuple[SlotArray, FloatArray]:
        found = []
        for segment in self._segments:
            at = int(segment.terms.searchsorted(term))
            if at < len(segment.terms) and segment.terms[at] == term:
                begin, end = segment.start[at], segment.start[at + 1]
                found.append((segment.slots[begin:end], segment.tf[begin:end]))
        if not found:
            return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32)
        if len(found) == 1:
            return found[0]
        slots, tf = zip(*found, strict=True)
        return np.concatenate(slots), np.concatenate(tf)


def _segment(terms: TermArray, slots: SlotArray, tf: FloatArray) -> _Segment:
    first = np.ones(len(terms), dtype=bool)
    first[1:] = terms[1:] != terms[:-1]
    start = np.flatnonzero(first)
    return _Segment(terms[start], np.append(start, len(terms)), slots, tf)


def _merge(older: _Segment, newer: _Segment, alive: NDArray[np.bool_]) -> _Segment:
    terms = np.concatenate([np.repeat(s.terms, np.diff(s.start)) for s in (older, newer)])
    slots = np.concatenate([older.slots, newer.slots])
    tf = np.concatenate([older.tf, newer.tf])
    live = alive[slots]
    if not live.all():
        terms, slots, tf = terms[live], slots[live], tf[live]
    order = np.argsort(terms, kind="stable")
    return _segment(terms[order], slots[order], tf[order])
