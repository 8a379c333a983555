"""Constants of an embedding model that turn its cosines into scores of one meaning."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and standard deviation of the cosine of a query and a random, unrelated turn.

    ``trust`` (0 to 1) is how far the model can be believed on such queries at all: 0 for a
    script that it has not learnt, where its cosines are noise.
    """

    mean: float
    deviation: float
    trust: float = 1.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """How one embedding model's cosines are standardised.

    ``dense`` is for turns, ``context`` for turns with those before them; ``unspaced_dense`` and
    ``unspaced_context`` are the same for queries in Chinese, Japanese and the like."""

    dense: Scale
    context: Scale
    unspaced_dense: Scale
    unspaced_context: Scale
