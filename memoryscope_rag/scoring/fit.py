"""Fitting the weights: listwise softmax with an L2 penalty, by Newton's method.

The loss of a question is the mean over its gold items of ``-log P(item)``, where P is the softmax
of the scores over all candidates and an item may be several candidates (the turns of a session),
whose probabilities add up. See ListNet (Cao et al. 2007) for the single-candidate case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """One question: ``signals`` (n, S), ``gold`` (each an index array), its share ``weight``."""

    signals: Float64
    gold: tuple[NDArray[np.int64], ...]
    weight: float = 1.0


def fit_listwise(
    groups: Sequence[Group],
    l2: float,
    *,
    start: Float64 | None = None,
    free: NDArray[np.bool_] | None = None,
    steps: int = 30,
) -> Float64:
    """Weights (S,) that minimise the weighted mean loss plus ``l2 / 2 * |weights - start|²``.

    ``start`` defaults to zero and is also what the penalty draws towards; ``free`` marks the
    weights that may move. Groups without gold do not count. Signals should have similar spread,
    since the penalty treats all alike.
    """
    usable = [group for group in groups if group.gold]
    if not usable:
        raise ValueError("no group has gold")
    width = usable[0].signals.shape[1]
    origin = np.zeros(width) if start is None else np.asarray(start, dtype=np.float64)
    moving = np.ones(width, dtype=np.bool_) if free is None else free
    weights = origin.copy()
    value, gradient, hessian = _expand(usable, weights, origin, l2)
    for _ in range(steps):
        step = np.zeros(width)
        block = hessian[np.ix_(moving, moving)]
        step[moving] = np.linalg.solve(block, gradient[moving])
        size = 1.0
        while size > 1e-6:  # the loss of items of several candidates is not convex: look first
            trial = weights - size * step
            new_value, new_gradient, new_hessian = _expand(usable, trial, origin, l2)
            if new_value <= value:
                break
            size /= 2
        else:
            break
        gain = value - new_value
        weights, value, gradient, hessian = trial, new_value, new_gradient, new_hessian
        if gain < 1e-9:
            break
    return weights


def listwise_loss(
    groups: Sequence[Group], weights: Float64, l2: float = 0.0
) -> tuple[float, Float64]:
    """The fitted loss and its gradient (S,) at ``weights``, the penalty drawing towards zero."""
    usable = [group for group in groups if group.gold]
    value, gradient, _ = _expand(usable, weights, np.zeros_like(weights), l2)
    return value, gradient


def _expand(
    groups: Sequence[Group], weights: Float64, origin: Float64, l2: float
) -> tuple[float, Float64, Float64]:
    """Loss, gradient and a positive-definite bound of the Hessian at ``weights``.

    The bound leaves out the concave part that gold items of several candidates add, as the EM
    algorithm does; for single candidates it is the Hessian itself.
    """
    away = weights - origin
    total = sum(group.weight for group in groups)
    value = 0.5 * l2 * float(away @ away)
    gradient = l2 * away
    hessian = max(l2, 1e-9) * np.eye(len(weights))
    for group in groups:
        share = group.weight / total
        matrix = group.signals
        score = matrix @ weights
        score -= score.max()
        exponent = np.exp(score)
        norm = exponent.sum()
        chance = exponent / norm
        mean = chance @ matrix
        target = np.zeros_like(mean)
        for item in group.gold:
            part = exponent[item]
            value -= share / len(group.gold) * float(np.log(part.sum() / norm))
            target += part @ matrix[item] / part.sum() / len(group.gold)
        gradient += share * (mean - target)
        centred = matrix - mean
        hessian += share * (centred.T * chance) @ centred
    return value, gradient, hessian
