"""How sure the ranker is that what was asked for is among its first few."""

from __future__ import annotations

from typing import Final

import numpy as np

from memoryscope_rag.ports import FloatArray

FIRST: Final = 5
"""Items that count as the first few."""


def confidence(scores: FloatArray) -> float:
    """The probability, 0 to 1, that one of the best :data:`FIRST` of ``scores`` (n,) answers.

    The weights are fitted as a listwise softmax, so the softmax of scores is what the ranker holds
    for likely. On 632 questions of LoCoMo (MiniLM) evidence was among the first five for 60 % of
    those with .07 to .31, 85 % up to .52, 92 % up to .88 and 98 % above; questions about other
    people's conversations have .15 in the median. Adding the lead of the best, its score and
    ``lexical_level`` tells hits from misses hardly better (area under the curve .781 for .772).
    """
    if not len(scores):
        return 0.0
    shares = np.exp(scores.astype(np.float64) - scores.max())
    best = np.partition(shares, -FIRST)[-FIRST:] if len(shares) > FIRST else shares
    return float(best.sum() / shares.sum())
