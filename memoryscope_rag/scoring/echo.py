"""How strongly memory echoes a clue: whether its words or its meaning stand in any candidate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.lexical import analyze
from memoryscope_rag.ports import Candidates
from memoryscope_rag.scoring.calibration import Calibration
from memoryscope_rag.scoring.features import is_unspaced


def echo_strength(
    candidates: Candidates, texts: Sequence[str], first: int, calibration: Calibration
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each of ``texts``, whose scores are the rows from ``first`` on, its best candidate.

    Returns, each of shape ``(len(texts),)``, about which share of the text's words it holds, as if
    every word were one that a single node holds; and its cosine in standard deviations above an
    unrelated turn, minus infinity without vectors.
    """
    shares, deviations = np.zeros(len(texts)), np.full(len(texts), -np.inf)
    rarest = math.log(1 + max(candidates.population - 0.5, 0.5) / 1.5)
    for place, text in enumerate(texts):
        row = first + place
        words = len(set(analyze(text)))
        best = float(candidates.lexical[row].max(initial=0.0))
        shares[place] = best / (rarest * words) if words else 0.0
        cosine = candidates.dense[row]
        if known := cosine[~np.isnan(cosine)].tolist():
            scale = calibration.unspaced_dense if is_unspaced(text) else calibration.dense
            deviations[place] = (max(known) - scale.mean) / scale.deviation * scale.trust
    return shares, deviations
