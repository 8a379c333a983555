"""What every run is compared with: one search alone, and the two in the usual sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.ports import Candidates, FloatArray


def dense_only(candidates: Candidates) -> FloatArray:
    """The cosine of query and turn; what has no vector comes last."""
    return np.asarray(np.nan_to_num(candidates.dense[0], nan=-2.0), np.float32)


def lexical_only(candidates: Candidates) -> FloatArray:
    """BM25 of query and turn."""
    return np.asarray(candidates.lexical[0], np.float32)


def min_max_sum(candidates: Candidates) -> FloatArray:
    """Cosine and BM25, each stretched to 0..1 over the candidates, added."""
    return _stretched(dense_only(candidates)) + _stretched(lexical_only(candidates))


def _stretched(scores: NDArray[np.float32]) -> FloatArray:
    if not len(scores):
        return scores
    low, high = scores.min(), scores.max()
    return np.asarray((scores - low) / max(high - low, 1e-9), np.float32)


BASELINES: Mapping[str, Callable[[Candidates], FloatArray]] = {
    "dense": dense_only,
    "lexical": lexical_only,
    "min-max sum": min_max_sum,
}
