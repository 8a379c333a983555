"""``bench fit``: calibration, weights and floor of one embedding model from judged questions.

Every data set has equal weight, whatever its size. For each set the fit *without* it is kept too:
a signal that helps where it was fitted and hurts elsewhere shows there.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.evaluation.floor import LEVEL, UNSPACED
from memoryscope_rag.evaluation.gather import Judged
from memoryscope_rag.scoring import (
    SIGNALS,
    Calibration,
    Group,
    LinearRanker,
    Scale,
    fit_listwise,
    signals,
)

L2 = 0.08
"""Penalty on a weight times the spread of its signal, so that the signal's unit does not matter."""
L2_UNSPACED = 0.003
L2_FEW = 0.003
"""Next to no penalty: a few weights beside a score, many questions."""
MIN_UNSPACED = 50
"""Questions in unspaced script from which their own weights are worth a second fit."""
PRUNED = 150
"""Candidates a question keeps for fitting; the rest has next to no probability."""
FOLDS = 5
HAND_SET: Mapping[str, float] = {
    "time_event": 3.0,
    "clue_dense": 0.4,
    "clue_lexical": 1.2,
    "clue_time": 0.5,
    "attention": 1.5,
    "observation": 0.5,
    "note": 1.0,
    "insight": 0.6,
}
"""Weights of signals that no data set here can teach.

An event that was read from the text dates it better than the day it was said; a clue counts half
of what the query itself does, and its dates little, since they may be made up; attention is the log
of how many times the usual a turn draws, and weighs what ``bench readout`` fits beside a score; a
fact is denser than a turn, an insight sums up several facts, and what the user wrote down matters.
"""


def calibrate(judged: Sequence[Judged]) -> tuple[Scale, Scale]:
    """Mean and deviation of the cosine of a query with what is not its evidence: turn, context."""
    turn, context = [], []
    for item in judged:
        other = ~np.isin(item.turns, list(gold_turns(item)))
        turn.append(item.candidates.dense[0, other])
        context.append(item.candidates.dense_context[0, other])
    return _scale(np.concatenate(turn)), _scale(np.concatenate(context))


def _scale(cosines: NDArray[np.float32]) -> Scale:
    known = cosines[~np.isnan(cosines)]
    if not len(known):
        return Scale(0.0, 1.0, 0.0)
    return Scale(round(float(known.mean()), 4), max(round(float(known.std()), 4), 0.001))


def calibration_of(
    datasets: Mapping[str, Sequence[Judged]], unspaced_trust: float = 1.0
) -> Calibration:
    """One Calibration for all data sets, those in unspaced scripts apart, each set counted alike.

    Where there is no set of one sort, the other's constants stand in.
    """
    parts: dict[bool, list[tuple[Scale, Scale]]] = {False: [], True: []}
    for judged in datasets.values():
        unspaced = sum(item.features.unspaced for item in judged) * 2 > len(judged)
        parts[unspaced].append(calibrate(judged))
    spaced = parts[False] or parts[True]
    other = parts[True] or parts[False]
    return Calibration(
        dense=_mean([pair[0] for pair in spaced]),
        context=_mean([pair[1] for pair in spaced]),
        unspaced_dense=_mean([pair[0] for pair in other], unspaced_trust),
        unspaced_context=_mean([pair[1] for pair in other], unspaced_trust),
    )


def _mean(scales: Sequence[Scale], trust: float = 1.0) -> Scale:
    return Scale(
        round(sum(scale.mean for scale in scales) / len(scales), 4),
        round(sum(scale.deviation for scale in scales) / len(scales), 4),
        trust * min(scale.trust for scale in scales),
    )


def gold_turns(item: Judged) -> frozenset[str]:
    """The turns that answer: those that are marked, or all of the gold sessions."""
    if item.question.turns:
        return item.question.turns
    return frozenset(t.id for t in item.history.turns if t.session in item.question.sessions)


def group_of(item: Judged, matrix: NDArray[np.float32], *, by_session: bool) -> Group:
    """The question as the fit wants it: an item a gold turn, or a gold session's marked turns."""
    wanted = item.question.turns
    rows: dict[str, list[int]] = {}
    session_of = item.session_of
    marked = {session_of[turn] for turn in wanted}
    for row, turn in enumerate(item.turns):
        session = session_of[turn]
        if by_session and session in item.question.sessions:
            # an assistant's answer may be all that is marked, and it is not indexed
            if turn in wanted or session not in marked:
                rows.setdefault(session, []).append(row)
        elif not by_session and turn in wanted:
            rows.setdefault(turn, []).append(row)
    return Group(
        np.asarray(matrix, dtype=np.float64),
        tuple(np.array(part, dtype=np.int64) for part in rows.values()),
    )


def pruned(group: Group, weights: NDArray[np.float64]) -> Group:
    """The group with its best candidates by ``weights`` and its gold alone."""
    best = np.argsort(-(group.signals @ weights), kind="stable")[:PRUNED]
    keep = np.union1d(best, np.concatenate(group.gold)) if group.gold else np.sort(best)
    gold = tuple(np.searchsorted(keep, item) for item in group.gold)
    return Group(np.ascontiguousarray(group.signals[keep]), gold, group.weight)


def rough_weights() -> NDArray[np.float64]:
    """Weights good enough to say which candidates matter at all."""
    rough = {"dense": 0.6, "dense_context": 0.6, "lexical": 2.0, "lexical_context": 2.0}
    return np.array([rough.get(name, 0.0) for name in SIGNALS])


def groups_of(
    datasets: Mapping[str, Sequence[Judged]], calibration: Calibration
) -> dict[str, list[Group]]:
    """The groups of every data set, each set weighing one in all."""
    result = {}
    for name, judged in datasets.items():
        by_session = any(len(item.question.sessions) for item in judged) and any(
            turn.marked for item in judged for turn in item.history.turns
        )
        result[name] = [
            Group(group.signals, group.gold, 1 / len(judged))
            for group in (
                group_of(
                    item,
                    signals(item.candidates, item.features, calibration),
                    by_session=by_session,
                )
                for item in judged
            )
        ]
    return result


def fit_weights(
    groups: Sequence[Group], l2: float = L2, without: Sequence[str] = ()
) -> NDArray[np.float64]:
    """Fitted weights in the order of ``SIGNALS``; hand-set ones and ``without`` stay zero.

    Twice: first all weights on all groups, so that every set has a say in what is shared; then
    the second weights of unspaced script alone, on the groups in it, drawn to the first result.
    """
    fixed = {*HAND_SET, LEVEL, UNSPACED, *without}
    free = np.array([name not in fixed for name in SIGNALS], dtype=np.bool_)
    rough = rough_weights()
    small = [pruned(group, rough) for group in groups]
    spread = spreads(small)
    scaled = [Group(group.signals / spread, group.gold, group.weight) for group in small]
    weights = fit_listwise(scaled, l2, free=free) / spread
    column = SIGNALS.index(UNSPACED)
    unspaced = [group for group in small if group.signals[0, column]]
    if len(unspaced) < MIN_UNSPACED:
        return weights
    second = np.array([name.startswith(f"{UNSPACED}_") for name in SIGNALS], dtype=np.bool_)
    return fit_listwise(unspaced, L2_UNSPACED, start=weights, free=free & second)


def spreads(groups: Sequence[Group]) -> NDArray[np.float64]:
    """The spread of each signal among a question's candidates; 1 for one that never varies.

    A second weight of unspaced script has the spread of its signal, however rare that script is.
    """
    total = sum(group.weight for group in groups)
    variance = sum(group.weight / total * group.signals.var(axis=0) for group in groups)
    spread = np.sqrt(np.where(variance > 0, np.maximum(variance, 1e-3), 1.0))
    own = dict(zip(SIGNALS, spread, strict=True))
    return np.array([own.get(name.removeprefix(f"{UNSPACED}_"), own[name]) for name in SIGNALS])


def named(weights: NDArray[np.float64], digits: int = 4) -> dict[str, float]:
    """Fitted weights by name, with the hand-set ones."""
    fitted = {
        name: round(float(weight), digits)
        for name, weight in zip(SIGNALS, weights, strict=True)
        if name not in HAND_SET and round(float(weight), digits)
    }
    return {
        name: {**fitted, **HAND_SET}[name] for name in SIGNALS if name in {**fitted, **HAND_SET}
    }


def fold_of(name: str, folds: int = FOLDS) -> int:
    """Which fold a history belongs to; the same on every machine."""
    return zlib.crc32(name.encode()) % folds


def leave_one_out(
    judged: Sequence[Judged],
    groups: Sequence[Group],
    others: Sequence[Group] = (),
    l2: float = L2,
) -> dict[str, NDArray[np.float64]]:
    """Weights by history id, each fitted without that history (or its fold, when there are many).

    ``others`` are groups of other data sets that every fit may use.
    """
    ids = list(dict.fromkeys(item.history.id for item in judged))
    few = len(ids) <= 2 * FOLDS
    fold = {name: place if few else fold_of(name) for place, name in enumerate(ids)}
    weights: dict[int, NDArray[np.float64]] = {}
    for number in sorted(set(fold.values())):
        kept = [
            group
            for item, group in zip(judged, groups, strict=True)
            if fold[item.history.id] != number
        ]
        if kept or others:
            weights[number] = fit_weights([*kept, *others], l2)
    return {name: weights[fold[name]] for name in ids if fold[name] in weights}


def fit_ranker(
    preset: str,
    datasets: Mapping[str, Sequence[Judged]],
    *,
    unspaced_trust: float = 1.0,
    l2: float = L2,
    day: date | None = None,
) -> LinearRanker:
    """The ranker of a preset, fitted on all data sets with equal weight, floor not yet set.

    ``fitted["without"]`` keeps the weights of the fits that left one set out.
    """
    calibration = calibration_of(datasets, unspaced_trust)
    groups = groups_of(datasets, calibration)
    flat = [group for part in groups.values() for group in part]
    without = {
        name: named(
            fit_weights(
                [group for other, part in groups.items() if other != name for group in part], l2
            )
        )
        for name in groups
        if len(groups) > 1
    }
    return LinearRanker(
        preset,
        calibration,
        named(fit_weights(flat, l2)),
        fitted={
            "how": "listwise softmax, Newton, data sets with equal weight",
            "l2": l2,
            "data": {name: len(judged) for name, judged in datasets.items()},
            "date": (day or date.today()).isoformat(),
            "hand_set": sorted(HAND_SET),
            "without": without,
        },
    )


def without_locomo(ranker: LinearRanker) -> tuple[LinearRanker, str]:
    """The fit of ``ranker`` that has not seen LoCoMo, where it has one, and a note on it."""
    without = ranker.fitted.get("without")
    note = f"the ranker is {ranker.preset!r}, "
    if isinstance(without, Mapping) and "locomo" in without:
        return replace(ranker, weights=without["locomo"]), note + "fitted without LoCoMo"
    return ranker, note + "whose fit has seen LoCoMo"
