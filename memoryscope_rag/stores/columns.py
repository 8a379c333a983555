"""The nodes of one scope as columns: what search needs of each, slot by slot.

A slot is a row of these arrays. A changed node gets a new slot and its old one is dead, so
everything derived from a slot (vectors, postings, a FAISS index) only ever has to be appended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.ports import FloatArray
from memoryscope_rag.schema import KINDS
from memoryscope_rag.stores.encoding import vectors_from_blobs

OPEN_START = -(1 << 62)
OPEN_END = 1 << 62
"""Microseconds that stand for an interval's open sides; far outside the years 1 to 9999."""

KIND_CODES = {kind: code for code, kind in enumerate(KINDS)}

SEARCH_COLUMNS = (
    "n.key, n.id, n.kind, n.seq, n.session, n.speaker, n.question, n.length, n.said_at,"
    " n.event_start, n.event_end, n.valid_from, n.valid_to"
)
"""The cells of a node that :meth:`Columns.append` takes, in this order."""

_INTEGERS = (
    "key", "seq", "session", "speaker", "length", "said_at", "event_start", "event_end",
    "valid_from", "valid_to",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One vector field: rows ``(slots, dim)``, zero where ``has`` is false."""

    rows: FloatArray
    has: NDArray[np.bool_]


class Columns:
    """Growing arrays over slots; the properties give views of those in use."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.count = 0
        self.live = 0
        self.ids: list[str] = []
        self.slot_of: dict[int, int] = {}
        self.sessions: dict[str, int] = {}
        self.speakers: dict[str, int] = {}
        self._integers = {name: np.zeros(0, dtype=np.int64) for name in _INTEGERS}
        self._kind = np.zeros(0, dtype=np.int8)
        self._question = np.zeros(0, dtype=bool)
        self._alive = np.zeros(0, dtype=bool)
        self._vectors = [np.zeros((0, dimension), dtype=np.float32) for _ in range(2)]
        self._has = [np.zeros(0, dtype=bool) for _ in range(2)]

    def __getattr__(self, name: str) -> NDArray[np.int64]:
        try:
            return self.__dict__["_integers"][name][: self.count]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def kind(self) -> NDArray[np.int8]:
        """Codes of :data:`KIND_CODES`."""
        return self._kind[: self.count]

    @property
    def question(self) -> NDArray[np.bool_]:
        """Whether the node asks something."""
        return self._question[: self.count]

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Whether the slot holds a node's present state."""
        return self._alive[: self.count]

    @property
    def turn(self) -> Field:
        """The nodes' own vectors."""
        return Field(self._vectors[0][: self.count], self._has[0][: self.count])

    @property
    def context(self) -> Field:
        """The vectors of the nodes with their context."""
        return Field(self._vectors[1][: self.count], self._has[1][: self.count])

    @property
    def nbytes(self) -> int:
        """Bytes held, with an estimate of what Python's objects take."""
        arrays: list[NDArray[Any]] = [*self._integers.values(), *self._vectors, *self._has]
        arrays += [self._kind, self._question, self._alive]
        return sum(a.nbytes for a in arrays) + 320 * self.count

    def append(
        self,
        rows: Sequence[Sequence[Any]],
        turn: Sequence[bytes | None],
        context: Sequence[bytes | None],
    ) -> list[int]:
        """Add nodes (cells of :data:`SEARCH_COLUMNS`, vector BLOBs); returns slots that died."""
        begin, end = self.count, self.count + len(rows)
        self._reserve(end)
        (keys, ids, kinds, seqs, sessions, speakers, questions, lengths, said, *times) = zip(
            *rows, strict=True
        )
        dead = self.kill(keys)
        values: dict[str, Sequence[int]] = {
            "key": keys,
            "seq": seqs,
            "session": [_code(self.sessions, name) for name in sessions],
            "speaker": [_code(self.speakers, name) for name in speakers],
            "length": lengths,
            "said_at": said,
            # no event: an interval that overlaps nothing
            "event_start": [OPEN_END if value is None else value for value in times[0]],
            "event_end": [OPEN_START if value is None else value for value in times[1]],
            "valid_from": [s if v is None else v for v, s in zip(times[2], said, strict=True)],
            "valid_to": [OPEN_END if value is None else value for value in times[3]],
        }
        for name, column in values.items():
            self._integers[name][begin:end] = column
        self._kind[begin:end] = [KIND_CODES[kind] for kind in kinds]
        self._question[begin:end] = questions
        self._alive[begin:end] = True
        for field, blobs in enumerate((turn, context)):
            has = np.fromiter((blob is not None for blob in blobs), bool, len(blobs))
            self._has[field][begin:end] = has
            self._vectors[field][begin:end] = 0.0
            given = [blob for blob in blobs if blob is not None]
            if given:
                self._vectors[field][begin:end][has] = vectors_from_blobs(given, self.dimension)
        self.ids.extend(ids)
        self.slot_of.update(zip(keys, range(begin, end), strict=True))
        self.count = end
        self.live += len(rows)
        return dead

    def kill(self, keys: Sequence[int]) -> list[int]:
        """Mark the slots of these node keys dead; returns those that were alive."""
        dead = [slot for key in keys if (slot := self.slot_of.pop(key, None)) is not None]
        if dead:
            self._alive[dead] = False
            self.live -= len(dead)
            for slot in dead:
                self.ids[slot] = ""
        return dead

    def _reserve(self, size: int) -> None:
        if size <= len(self._alive):
            return
        # 1/4 more each time: appending stays linear, at most a fifth of the memory lies idle
        size = max(size, len(self._alive) * 5 // 4, 64)
        for name in _INTEGERS:
            self._integers[name] = _grown(self._integers[name], size, self.count)
        self._kind = _grown(self._kind, size, self.count)
        self._question = _grown(self._question, size, self.count)
        self._alive = _grown(self._alive, size, self.count)
        for field in range(2):
            self._vectors[field] = _grown(self._vectors[field], size, self.count)
            self._has[field] = _grown(self._has[field], size, self.count)


def _grown(array: NDArray[Any], size: int, used: int) -> NDArray[Any]:
    grown = np.zeros((size, *array.shape[1:]), dtype=array.dtype)
    grown[:used] = array[:used]
    return grown


def _code(codes: dict[str, int], name: str | None) -> int:
    return -1 if name is None else codes.setdefault(name, len(codes))
