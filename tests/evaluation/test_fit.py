"""The fit of a preset's weights."""

from __future__ import annotations

import numpy as np
import pytest

from memoryscope_rag.evaluation.fit import fit_weights, spreads
from memoryscope_rag.scoring import SIGNALS, Group

WIDTH = len(SIGNALS)
DENSE = SIGNALS.index("dense")
LEXICAL = SIGNALS.index("lexical")


def questions(unit: float = 1.0) -> list[Group]:
    """Two signals that say something; ``unit`` is what the second is measured in."""
    rng = np.random.default_rng(3)
    groups = []
    for _ in range(40):
        matrix = np.zeros((30, WIDTH))
        matrix[:, DENSE] = rng.normal(size=30)
        matrix[:, LEXICAL] = rng.normal(size=30)
        gold = int(np.argmax(matrix[:, DENSE] + matrix[:, LEXICAL] + rng.normal(size=30)))
        matrix[:, LEXICAL] *= unit
        groups.append(Group(matrix, (np.array([gold]),)))
    return groups


def test_the_unit_of_a_signal_does_not_change_what_it_adds() -> None:
    plain, small = fit_weights(questions()), fit_weights(questions(0.1))
    assert plain[LEXICAL] > 0.5
    assert small[LEXICAL] * 0.1 == pytest.approx(plain[LEXICAL], rel=1e-3)
    assert small[DENSE] == pytest.approx(plain[DENSE], rel=1e-3)


def test_spread_is_within_questions_and_one_where_nothing_varies() -> None:
    groups = questions()
    for number, group in enumerate(groups):
        group.signals[:, DENSE] += 100 * number  # the same for all candidates: orders nothing
    spread = spreads(groups)
    assert spread[DENSE] == pytest.approx(1.0, abs=0.1)
    assert spread[SIGNALS.index("unspaced_dense")] == spread[DENSE]
    assert spread[SIGNALS.index("note")] == 1.0
