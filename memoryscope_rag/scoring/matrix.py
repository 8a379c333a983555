"""Candidates as a matrix of named signals.

A signal of one candidate depends on no other candidate, except through what a turn's neighbours,
its session and the first few hits say about it. So a score means the same in a small and a large
scope, and a floor can be put under it. Missing vectors and missing neighbours count as average.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.ports import Candidates, FloatArray
from memoryscope_rag.scoring.calibration import Calibration, Scale
from memoryscope_rag.scoring.features import QueryFeatures

SIGNALS: Final[tuple[str, ...]] = (
    "dense",
    "dense_context",
    "dense_window",
    "lexical",
    "lexical_context",
    "lexical_window",
    "both",
    "session_dense",
    "session_lexical",
    "answers_dense",
    "answers_lexical",
    "next_dense",
    "next_lexical",
    "speaker",
    "length",
    "question",
    "feedback",
    "time_said",
    "time_event",
    "clue_dense",
    "clue_lexical",
    "observation",
    "note",
    "insight",
)
"""The columns of :func:`signals`, in order. Appending one keeps older ranker files valid."""

FEEDBACK_HITS = 3
"""How many first hits make the mean vector of pseudo-relevance feedback."""

_NONE: Final = -1
Column = NDArray[np.float64]


def signals(candidates: Candidates, query: QueryFeatures, calibration: Calibration) -> FloatArray:
    """The matrix ``(len(candidates), len(SIGNALS))``, finite everywhere.

    Row 0 of the scores in ``candidates`` is the query, further rows are clues.
    """
    count = len(candidates)
    if count == 0 or candidates.dense.shape[0] == 0:
        return np.zeros((count, len(SIGNALS)), dtype=np.float32)
    turn_scale = calibration.unspaced_dense if query.unspaced else calibration.dense
    context_scale = calibration.unspaced_context if query.unspaced else calibration.context
    dense = _standardise(candidates.dense, turn_scale)
    context = _standardise(candidates.dense_context[0], context_scale)
    best = candidates.lexical_best.astype(np.float64)
    # a query whose words stand only in contexts (a speaker's name, say) has no best turn
    best = np.where(best > 0, best, np.maximum(candidates.lexical_context.max(axis=1), 1e-6))
    lexical = candidates.lexical / best[:, None]
    lexical_context = candidates.lexical_context[0] / best[0]

    turns = _Turns(candidates)
    near_dense = {k: turns.at(dense[0], k) for k in (-2, -1, 1, 2)}
    near_lexical = {k: turns.at(lexical[0], k) for k in (-2, -1, 1, 2)}
    asked = turns.at(candidates.question.astype(np.float64), -1)
    kinds = np.asarray(candidates.kinds)

    columns: dict[str, Column] = {
        "dense": dense[0],
        "dense_context": context,
        "dense_window": sum(near_dense.values(), dense[0]) / 5,
        "lexical": lexical[0],
        "lexical_context": lexical_context,
        "lexical_window": sum(near_lexical.values(), lexical[0]) / 5,
        "both": np.maximum(dense[0], 0) * lexical[0],
        "session_dense": turns.best_of_session(dense[0]),
        "session_lexical": turns.best_of_session(lexical[0]),
        "answers_dense": asked * np.maximum(near_dense[-1], 0),
        "answers_lexical": asked * near_lexical[-1],
        "next_dense": near_dense[1],
        "next_lexical": near_lexical[1],
        "speaker": _speaker(candidates, query),
        "length": np.log1p(candidates.length) - 4.6,  # 0 at a hundred characters
        "question": candidates.question.astype(np.float64),
        "feedback": _feedback(candidates, dense[0] + 4 * lexical[0], calibration.related)
        * turn_scale.trust,
        "time_said": _inside(candidates.said_at, candidates.said_at, query),
        "time_event": _inside(candidates.event_start, candidates.event_end, query),
        "clue_dense": dense[1:].max(axis=0, initial=0.0),
        "clue_lexical": lexical[1:].max(axis=0, initial=0.0),
        "observation": (kinds == "observation").astype(np.float64),
        "note": (kinds == "note").astype(np.float64),
        "insight": (kinds == "insight").astype(np.float64),
    }
    return np.stack([columns[name] for name in SIGNALS], axis=1).astype(np.float32)


def _standardise(cosine: FloatArray, scale: Scale) -> Column:
    """Cosines in standard deviations above an unrelated turn; 0 where the vector is missing."""
    value = (cosine.astype(np.float64) - scale.mean) / scale.deviation * scale.trust
    return np.nan_to_num(value, nan=0.0)


class _Turns:
    """Neighbourhood among the candidates: who stands how far from whom in the same session."""

    def __init__(self, candidates: Candidates) -> None:
        chat = np.asarray([kind == "conversation" for kind in candidates.kinds], dtype=np.bool_)
        self._chat = chat & (candidates.session != _NONE)
        self._session = candidates.session
        # one integer a turn: the pieces of a long message share it, sessions lie far apart
        span = int(candidates.seq.max(initial=0)) + 8
        self._key = np.where(self._chat, candidates.session * span + candidates.seq, _NONE)
        self._keys, self._turn = np.unique(self._key, return_inverse=True)

    def at(self, score: Column, offset: int) -> Column:
        """Each candidate's neighbour's ``score``, ``offset`` turns on; 0 where there is none."""
        best = np.full(len(self._keys), -np.inf)
        np.maximum.at(best, self._turn, score)
        wanted = self._key + offset
        place = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        there = self._chat & (self._keys[place] == wanted)
        return np.where(there, best[place], 0.0)

    def best_of_session(self, score: Column) -> Column:
        """The best ``score`` among the candidates of the same session; its own without one."""
        best = np.full(int(self._session.max(initial=_NONE)) + 2, -np.inf)
        np.maximum.at(best, self._session, score)  # -1 counts from the end: a place of its own
        return np.where(self._session == _NONE, score, best[self._session])


def _speaker(candidates: Candidates, query: QueryFeatures) -> Column:
    """1 for a turn of somebody whom the query names, -1 for another's, 0 if it names no one."""
    named = np.asarray([name in query.names for name in candidates.speakers], dtype=np.bool_)
    if not named.any() or named.all():
        return np.zeros(len(candidates))
    known = candidates.speaker != _NONE
    return np.where(known, np.where(named[candidates.speaker], 1.0, -1.0), 0.0)


def _feedback(candidates: Candidates, first: Column, scale: Scale) -> Column:
    """Standardised cosine to the mean vector of the first few hits (leaving itself out)."""
    vectors = candidates.vectors
    there = vectors.any(axis=1)
    if not there.any():
        return np.zeros(len(candidates))
    order = np.argsort(-np.where(there, first, -np.inf), kind="stable")[:FEEDBACK_HITS]
    order = order[there[order]]
    similar = vectors @ vectors[order].T
    own = np.arange(len(candidates))[:, None] == order[None, :]
    count = len(order) - own.sum(axis=1)
    mean = np.where(own, 0.0, similar).sum(axis=1) / np.maximum(count, 1)
    value = np.where((count > 0) & there, (mean - scale.mean) / scale.deviation, 0.0)
    return value.astype(np.float64)


def _inside(start: NDArray[np.float64], end: NDArray[np.float64], query: QueryFeatures) -> Column:
    """1 where ``[start, end]`` overlaps an interval that the query means, else 0."""
    value = np.zeros(len(start))
    for low, high in query.intervals:
        with np.errstate(invalid="ignore"):
            value = np.maximum(value, (start < high) & ((end > low) | (start >= low)))
    return value
