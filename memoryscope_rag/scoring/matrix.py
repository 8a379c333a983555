"""Candidates as a matrix of named signals.

A signal of one candidate depends on no other candidate, except through the best BM25 of a query,
what a turn's neighbours and its session say about it, ``unspaced_hop`` and the mean attention. So a
score means the same in a small and a large scope, and a floor can be put under it. Missing vectors
and missing neighbours count as average.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.ports import Candidates, FloatArray
from memoryscope_rag.scoring.calibration import Calibration, Scale
from memoryscope_rag.scoring.features import QueryFeatures

UNSPACED: Final[tuple[str, ...]] = (
    "dense",
    "dense_parts",
    "dense_context",
    "dense_window",
    "lexical",
    "lexical_parts",
    "lexical_context",
    "lexical_window",
    "answers_dense",
    "answers_lexical",
    "next_dense",
    "next_lexical",
    "length",
    "lexical_length",
)
"""Signals with a second weight that is added for queries in Chinese, Japanese and the like.

Pairs of characters are not words, and an English model knows little of them: the mix differs.
"""

SIGNALS: Final[tuple[str, ...]] = (
    "dense",
    "dense_parts",
    "dense_context",
    "dense_window",
    "lexical",
    "lexical_parts",
    "lexical_context",
    "lexical_window",
    "lexical_level",
    "session_context",
    "session_lexical",
    "answers_dense",
    "answers_lexical",
    "next_dense",
    "next_lexical",
    "speaker",
    "length",
    "lexical_length",
    "time_said",
    "time_event",
    "clue_dense",
    "clue_lexical",
    "observation",
    "note",
    "insight",
    "unspaced",
    *(f"unspaced_{name}" for name in UNSPACED),
    "unspaced_hop",
    "attention",
    "clue_time",
)
"""The columns of :func:`signals`, in order. Appending one keeps older ranker files valid."""

GOOD_HIT = 1.5
"""BM25 that counts as 1, in idfs of a word that one candidate holds, a root of the query's words.

Only a better hit lowers the scale. So the best hit of a query that finds but "advice" or "tips"
is worth little, and its nearness in meaning decides.
"""

CLEAR_LEAD = 2.0
"""How far the best hit must lead for ``unspaced_hop`` to go all the way from it.

It is what a lexical score of 1 is worth there: words that the second best hit lacks altogether.
"""

TIME_DECAY = 14 * 86_400.0
"""Seconds in which nearness in time falls to 1/e."""

_NONE: Final = -1
_NEAR: Final = (-2, -1, 1, 2)
Seconds = NDArray[np.float64]
Column = NDArray[np.float64]
Intervals = Sequence[tuple[float, float]]


def signals(candidates: Candidates, query: QueryFeatures, calibration: Calibration) -> FloatArray:
    """The matrix ``(len(candidates), len(SIGNALS))``, finite everywhere.

    Row 0 of the scores in ``candidates`` is the query, the next ``query.parts`` rows its parts
    (:func:`~memoryscope_rag.lexical.query_parts`): of these the best counts. Further rows are
    clues, which count as far as they beat it; so do the times that they name.
    """
    count = len(candidates)
    if count == 0 or candidates.dense.shape[0] == 0:
        return np.zeros((count, len(SIGNALS)), dtype=np.float32)
    turn_scale = calibration.unspaced_dense if query.unspaced else calibration.dense
    context_scale = calibration.unspaced_context if query.unspaced else calibration.context
    best = _lexical_scale(candidates, query)
    asked = 1 + query.parts  # the rows after these are clues
    all_dense = _standardise(candidates.dense, turn_scale)
    all_lexical = candidates.lexical / best
    own_dense, own_lexical = all_dense[0], all_lexical[0]
    dense, lexical = all_dense[:asked].max(axis=0), all_lexical[:asked].max(axis=0)
    context = _standardise(candidates.dense_context[:asked], context_scale).max(axis=0)
    lexical_context = (candidates.lexical_context[:asked] / best[:asked]).max(axis=0)

    turns = _Turns(candidates)
    near_dense = dict(zip(_NEAR, turns.near(dense, _NEAR), strict=True))
    near_lexical = dict(zip(_NEAR, turns.near(lexical, _NEAR), strict=True))
    (after_question,) = turns.near(candidates.question.astype(np.float64), (-1,))
    kinds = np.asarray(candidates.kinds)
    time_said, time_event = _times(candidates, query.intervals)
    # 0 at a hundred letters; a character of an unspaced script says as much as three
    length = np.log1p(candidates.length * (3 if query.unspaced else 1)) - 4.6

    columns: dict[str, Column] = {
        "dense": own_dense,
        "dense_parts": dense - own_dense,
        "dense_context": context,
        "dense_window": sum(near_dense.values(), dense) / 5,
        "lexical": own_lexical,
        "lexical_parts": lexical - own_lexical,
        "lexical_context": lexical_context,
        "lexical_window": sum(near_lexical.values(), lexical) / 5,
        "lexical_level": np.full(count, _level(candidates, query)),
        "session_context": turns.best_of_session(context),
        "session_lexical": turns.best_of_session(lexical),
        "answers_dense": after_question * np.maximum(near_dense[-1], 0),
        "answers_lexical": after_question * near_lexical[-1],
        "next_dense": near_dense[1],
        "next_lexical": near_lexical[1],
        "speaker": _speaker(candidates, query),
        "length": length,
        "lexical_length": lexical * length,
        "time_said": time_said,
        "time_event": time_event,
        "clue_dense": _beyond(all_dense[asked:], dense),
        "clue_lexical": _beyond(all_lexical[asked:], lexical),
        "observation": (kinds == "observation").astype(np.float64),
        "note": (kinds == "note").astype(np.float64),
        "insight": (kinds == "insight").astype(np.float64),
        "unspaced": np.full(count, float(query.unspaced)),
        "attention": _attention(candidates, query),
        "clue_time": _beyond(
            np.stack(_times(candidates, query.clue_intervals)), np.maximum(time_said, time_event)
        ),
    }
    for name in UNSPACED:
        columns[f"unspaced_{name}"] = columns[name] * query.unspaced
    columns["unspaced_hop"] = np.zeros(count)
    if query.unspaced:
        searched = slice(min(query.parts, 1), asked)  # the parts, or the query that has none
        strength = 0.5 * all_dense[searched] + 2 * all_lexical[searched]
        columns["unspaced_hop"] = _hop(candidates, strength, turn_scale)
    return np.stack([columns[name] for name in SIGNALS], axis=1).astype(np.float32)


def _standardise(cosine: FloatArray, scale: Scale) -> Column:
    """Cosines in standard deviations above an unrelated turn; 0 where the vector is missing."""
    value: Column = (cosine.astype(np.float64) - scale.mean) / scale.deviation * scale.trust
    return np.nan_to_num(value, nan=0.0)


def _lexical_scale(candidates: Candidates, query: QueryFeatures) -> Column:
    """What BM25 is divided by, (queries, 1): the query's best hit, if that is a good one.

    In unspaced script it is the best hit whatever it is: pairs overlap, so they are no count of
    words. There, a query whose words stand only in contexts (a speaker's name, say) has no best
    turn, and the best context serves.
    """
    best = candidates.lexical_best[:, None].astype(np.float64)
    if not query.unspaced:
        return np.maximum(best, GOOD_HIT * _rare(candidates) * math.sqrt(query.terms))
    in_context = candidates.lexical_context.max(axis=1, keepdims=True)
    return np.where(best > 0, best, np.maximum(in_context, 1.0))


def _rare(candidates: Candidates) -> float:
    """The idf of a word that one candidate holds."""
    return math.log(1 + (len(candidates) - 0.5) / 1.5)


def _hop(candidates: Candidates, strength: NDArray[np.float64], scale: Scale) -> Column:
    """How like the candidate is to the best hit of a query or of its parts (rows), the likest.

    "Where does the one work whose birthday is in May?" finds the birthday, and the next step goes
    from there to what else is said of the same person. It goes as far as the best hit leads the
    second (:data:`CLEAR_LEAD`): where many are as good, none says where to go on. The best hit
    itself is as like as the next one, so nothing overtakes it by being like it.
    """
    if len(candidates) == 1:
        return np.zeros(1)
    second, first = np.partition(strength, (-2, -1), axis=1)[:, -2:].T
    lead = np.minimum((first - second) / CLEAR_LEAD, 1.0)
    likeness = np.full((len(strength), len(candidates)), np.nan)
    known: NDArray[np.bool_] = np.any(candidates.vectors, axis=1)
    for row, place in enumerate(strength.argmax(axis=1)):
        cosine = candidates.vectors @ candidates.vectors[place]
        cosine[place] = np.delete(cosine, place).max()
        likeness[row] = np.where(known & known[place], cosine, np.nan)
    best: Column = (_standardise(likeness, scale) * lead[:, None]).max(axis=0)
    return best


def _level(candidates: Candidates, query: QueryFeatures) -> float:
    """About how many of the query's rarest words the best hit holds, for a query of its length.

    The same for all candidates: it orders nothing, but tells a query that finds its words from
    one whose best hit is a stranger. BM25 grows with the scope through the idf, so it is divided
    by the idf of a word that one candidate holds; else every small scope would be below a floor.
    """
    best = float(candidates.lexical_best[0]) / _rare(candidates)
    return math.log1p(best) - 0.5 * math.log(query.words)


def _beyond(clues: NDArray[np.float64], own: Column) -> Column:
    """How far the best of ``clues`` (rows) beats the query's ``own``; 0 where it does not."""
    best: Column = clues.max(axis=0, initial=-np.inf)
    return np.maximum(best - own, 0.0)


class _Turns:
    """Neighbourhood among the candidates: who stands how far from whom in the same session."""

    def __init__(self, candidates: Candidates) -> None:
        self._session = candidates.session
        self._known = (candidates.session != _NONE) & (candidates.turn != _NONE)
        # one integer a turn: the pieces of a long message share it, sessions lie far apart
        span = int(candidates.turn.max(initial=0)) + 8
        # what is no turn must not be taken for the one before the first turn of session 0
        key = candidates.session * span + candidates.turn
        self._key = np.where(self._known, key, -span)
        self._keys, self._turn = np.unique(self._key, return_inverse=True)
        self._places: dict[int, tuple[NDArray[np.int64], NDArray[np.bool_]]] = {}

    def near(self, score: Column, offsets: Sequence[int]) -> list[Column]:
        """Each candidate's neighbour's ``score``, so many turns on; 0 where there is none."""
        best = np.full(len(self._keys), -np.inf)
        np.maximum.at(best, self._turn, score)
        found = []
        for place, there in map(self._place, offsets):
            found.append(np.where(there, best[place], 0.0))
        return found

    def _place(self, offset: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        if offset not in self._places:
            wanted = self._key + offset
            place = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
            self._places[offset] = place, self._known & (self._keys[place] == wanted)
        return self._places[offset]

    def best_of_session(self, score: Column) -> Column:
        """The best ``score`` among the candidates of the same session; its own without one."""
        best = np.full(int(self._session.max(initial=_NONE)) + 2, -np.inf)
        np.maximum.at(best, self._session, score)  # -1 counts from the end: a place of its own
        return np.where(self._session == _NONE, score, best[self._session])


def _speaker(candidates: Candidates, query: QueryFeatures) -> Column:
    """1 for a turn of somebody whom the query names, -1 for another's, 0 if it names no one."""
    named: NDArray[np.bool_] = np.array(
        [name in query.names for name in candidates.speakers], dtype=np.bool_
    )
    if not named.any() or named.all():
        return np.zeros(len(candidates))
    known = candidates.speaker != _NONE
    match: Column = np.where(named[candidates.speaker], 1.0, -1.0)
    return np.where(known, match, 0.0)


def _attention(candidates: Candidates, query: QueryFeatures) -> Column:
    """What each candidate draws of it; 0 without a beacon memory."""
    if not query.attention:
        return np.zeros(len(candidates))
    return np.array([query.attention.get(name, 0.0) for name in candidates.ids])


def _times(candidates: Candidates, intervals: Intervals) -> tuple[Column, Column]:
    """How near to ``intervals`` a candidate was said, and happens."""
    said = _nearness(candidates.said_at, candidates.said_at, intervals)
    return said, _nearness(candidates.event_start, candidates.event_end, intervals)


def _nearness(start: Seconds, end: Seconds, intervals: Intervals) -> Column:
    """1 where ``[start, end]`` meets one of ``intervals``, less with the distance.

    People tell what happened days later and date it roughly, so it falls off by e in two weeks.
    NaN bounds (of an event: open ones) reach as far as the other, no bounds at all give 0.
    """
    value = np.zeros(len(start))
    if not intervals:
        return value
    start, end = np.where(np.isnan(start), end, start), np.where(np.isnan(end), start, end)
    for low, high in intervals:
        gap = np.maximum(0.0, np.maximum(low - end, start - high))
        value = np.fmax(value, np.exp(-gap / TIME_DECAY))
    return value
