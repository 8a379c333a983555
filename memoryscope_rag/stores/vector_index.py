"""A FAISS index over one scope's vectors, for scopes too large to multiply through.

It only proposes: what it returns is scored exactly again, rows that came after it was built are
always searched exactly, and a request that few rows pass is answered without it. So it can cost
recall, measured and bounded when it is built, but never a wrong score.
"""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.ports import FloatArray

RECALL = 0.985
"""Share of the exact best that the probe width is raised to reach, on sampled queries."""
OVERFETCH = 2
"""Candidates asked for per one wanted; the index holds vectors at 8 bits a dimension."""
STALE_ABOVE = 0.2
"""Share of changed rows from which an index is built anew."""
MIN_PASSING = 0.1
"""Share of rows a filter must let through; below, multiplying with those is cheaper and exact."""

_SAMPLE = 64
_SAMPLE_TOP = 100
_TRAIN_PER_LIST = 64


class VectorIndex:
    """Inverted lists over the turn vectors of the slots ``0..end``.

    Immutable after :meth:`build`, which may run in another thread: it reads rows that never
    change once written.
    """

    def __init__(self, end: int, live: int, lists: _Lists) -> None:
        self.end = end
        self._live = live
        self._lists = lists

    @classmethod
    def build(
        cls, rows: FloatArray, has: NDArray[np.bool_], alive: NDArray[np.bool_]
    ) -> VectorIndex:
        """Index the rows ``(slots, dim)`` that are alive and present."""
        lists = _Lists(rows, np.flatnonzero(has & alive))
        return cls(len(alive), int(np.count_nonzero(alive)), lists)

    @property
    def nbytes(self) -> int:
        """Bytes held by FAISS, about."""
        return self._lists.nbytes

    def serves(self, passing: int) -> bool:
        """Whether a request that ``passing`` slots match is better answered by this index."""
        return passing >= MIN_PASSING * self._live

    def stale(self, count: int, live: int) -> bool:
        """Whether, with ``count`` slots of which ``live`` are alive, too much has changed."""
        added = count - self.end
        died = self._live + added - live
        return added + max(died, 0) > STALE_ABOVE * max(self._live, 1)

    def candidates(
        self, queries: FloatArray, wanted: NDArray[np.bool_], limit: int
    ) -> list[NDArray[np.int64]]:
        """Slots near each query among ``wanted``, at most ``OVERFETCH * limit`` each, unscored."""
        return self._lists.search(queries, wanted[: self.end], OVERFETCH * limit)


class _Lists:
    def __init__(self, rows: FloatArray, slots: NDArray[np.int64]) -> None:
        faiss = import_faiss()
        self._faiss = faiss
        self._index: Any = None
        self.nbytes = 0
        if not len(slots):
            return
        dimension = rows.shape[1]
        # 4 sqrt(n) lists is FAISS's own advice below a million vectors
        lists = max(1, min(int(4 * len(slots) ** 0.5), len(slots) // 40))
        quantizer = faiss.IndexFlatIP(dimension)
        index = faiss.IndexIVFScalarQuantizer(
            quantizer,
            dimension,
            lists,
            faiss.ScalarQuantizer.QT_8bit,
            faiss.METRIC_INNER_PRODUCT,
            True,
        )
        index.cp.seed = 1  # the same rows give the same index
        chosen = _spread(slots, lists * _TRAIN_PER_LIST)
        index.train(np.ascontiguousarray(rows[chosen]))
        for begin in range(0, len(slots), 65_536):
            part = slots[begin : begin + 65_536]
            index.add_with_ids(np.ascontiguousarray(rows[part]), part)
        self._index = index
        self._lists = lists
        self._probe = 1
        self.nbytes = len(slots) * (dimension + 8) + lists * dimension * 4
        self._calibrate(rows, slots)

    def search(
        self, queries: FloatArray, wanted: NDArray[np.bool_], count: int
    ) -> list[NDArray[np.int64]]:
        if self._index is None:
            return [np.zeros(0, dtype=np.int64) for _ in queries]
        faiss = self._faiss
        bits = np.packbits(wanted, bitorder="little")
        # FAISS keeps a pointer to the bits, so the array outlives the call by this name
        selector = faiss.IDSelectorBitmap(len(wanted), faiss.swig_ptr(bits))
        # the best of a third of the rows reach three times as far down the order of all
        share = max(int(np.count_nonzero(wanted)), 1) / self._index.ntotal
        probe = min(self._lists, int(self._probe / min(share, 1.0)) + 1)
        options = faiss.SearchParametersIVF(sel=selector, nprobe=probe)
        _, ids = self._index.search(np.ascontiguousarray(queries), count, params=options)
        return [row[row >= 0] for row in ids]

    def _calibrate(self, rows: FloatArray, slots: NDArray[np.int64]) -> None:
        """Widen the probe until a sample finds its exact best."""
        top = min(_SAMPLE_TOP, len(slots))
        chosen = _spread(slots, _SAMPLE)
        # half way to a stranger: a query lies near rows, but it is none of them
        queries = rows[chosen] + np.roll(rows[chosen], len(chosen) // 2, axis=0)
        queries /= np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), np.float32(1e-6))
        exact = np.empty((len(chosen), top), dtype=np.int64)
        for position, query in enumerate(queries):
            scores = (rows @ query)[slots]
            exact[position] = slots[np.argpartition(scores, len(slots) - top)[-top:]]
        everything = np.zeros(len(rows), dtype=bool)
        everything[slots] = True
        while True:
            near = self.search(queries, everything, OVERFETCH * top)
            shares = [np.isin(e, n).mean() for e, n in zip(exact, near, strict=True)]
            if float(np.mean(shares)) >= RECALL or self._probe >= self._lists:
                return
            self._probe = min(self._lists, self._probe + max(1, self._probe // 2))


def import_faiss() -> ModuleType:
    """FAISS, imported when first needed: it takes a quarter of a second."""
    with warnings.catch_warnings():
        # SWIG's types carry no __module__, which Python 3.12 and later complain of
        warnings.filterwarnings("ignore", "builtin type .*", DeprecationWarning)
        import faiss
    return faiss


def _spread(slots: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most ``count`` of ``slots``, evenly spread."""
    if len(slots) <= count:
        return slots
    return slots[np.linspace(0, len(slots) - 1, count).astype(np.int64)]
