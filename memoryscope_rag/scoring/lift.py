"""Raising a turn by the facts that were drawn from it.

A long turn that answers in one sentence has a vector of all its sentences; the fact has one of its
own. As a clue does, it counts only as far as it beats what is there already. Ranked as nodes of
their own, facts take places that turns with their context fill better: on LoCoMo that costs one
to two points of recall@10, and this gains half a point to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.ports import FloatArray
from memoryscope_rag.scoring.matrix import SIGNALS

LIFT: Final[Mapping[str, float]] = MappingProxyType({"dense": 0.6, "lexical": 1.0})
"""Weights of the signals in which a fact beats its turn, set by hand on LoCoMo."""
_COLUMNS = [SIGNALS.index(name) for name in LIFT]
_WEIGHTS = np.array(list(LIFT.values()), dtype=np.float32)


def lift(turns: FloatArray, facts: FloatArray, source: NDArray[np.int64]) -> FloatArray:
    """By how much each signal of :data:`LIFT` raises each turn, ``(turns, 2)``, already weighted.

    ``turns`` and ``facts`` are matrices of :data:`SIGNALS`; ``source`` is the row of the turn that
    each fact was drawn from, -1 for none of these. Of several facts the one that raises most
    counts.
    """
    raised = np.zeros((len(turns), len(_COLUMNS)), dtype=np.float32)
    known = np.flatnonzero(source >= 0)
    rows = source[known]
    own = np.maximum(turns[rows][:, _COLUMNS], 0)
    gains = np.maximum(facts[known][:, _COLUMNS] - own, 0) * _WEIGHTS
    for place in np.argsort(gains.sum(axis=1)):  # the largest last: it stays
        raised[rows[place]] = gains[place]
    return raised
