"""Which turns stand near each other, against a search through all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from memoryscope_rag.stores.turn_order import Integers, TurnOrder

Piece = tuple[int, int]
"""Session and seq; its slot is its place in a list of all."""

pieces = st.lists(st.tuples(st.integers(-1, 2), st.integers(1, 12)), max_size=30)


def integers(values: Sequence[int]) -> Integers:
    return np.array(values, dtype=np.int64)


def naive(placed: dict[int, Piece], asked: Sequence[Piece], width: int) -> dict[int, int]:
    """Places by slot."""
    near = {}
    for session in {session for session, _ in asked if session >= 0}:
        turns = sorted({seq for where, seq in placed.values() if where == session})
        wanted = [turns.index(seq) for where, seq in asked if where == session]
        for slot, (where, seq) in placed.items():
            if where == session:
                place = turns.index(seq)
                if any(abs(place - other) <= width for other in wanted):
                    near[slot] = place
    return near


@settings(deadline=None)
@given(pieces, pieces, st.sets(st.integers(0, 59)), st.integers(0, 3))
def test_turns_around_others(
    first: list[Piece], then: list[Piece], gone: set[int], width: int
) -> None:
    order = TurnOrder()
    slots = np.arange(len(first) + len(then))
    for batch, begin in ((first, 0), (then, len(first))):
        sessions, seqs = (integers([piece[side] for piece in batch]) for side in (0, 1))
        order.add(sessions, seqs, slots[begin : begin + len(batch)])
        order.around(integers([]), integers([]), width)  # what that prepares must not go stale
    order.discard(sorted(gone))
    placed = {slot: p for slot, p in enumerate((*first, *then)) if p[0] >= 0 and slot not in gone}
    asked = [*list(placed.values())[::3], (-1, 5)]

    found, places = order.around(
        integers([session for session, _ in asked]), integers([seq for _, seq in asked]), width
    )

    assert len(set(found.tolist())) == len(found)
    assert dict(zip(found.tolist(), places.tolist(), strict=True)) == naive(placed, asked, width)
