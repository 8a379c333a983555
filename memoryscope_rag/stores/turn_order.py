"""Which turns of a conversation stand near each other, by sorted arrays that grow by insertion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SEQ_BITS = 40
"""Bits of a piece's key that are its ``seq``; those above are its session."""

Integers = NDArray[np.int64]


class TurnOrder:
    """Pieces of turns by session and ``seq``; what has no session stands near nothing.

    The pieces of a long message are one turn. Not safe for threads by itself.
    """

    def __init__(self) -> None:
        self._keys: Integers = np.zeros(0, dtype=np.int64)
        self._slots: Integers = np.zeros(0, dtype=np.int64)
        self._turns: _Turns | None = None

    def add(self, sessions: Integers, seqs: Integers, slots: Integers) -> None:
        """Place pieces; a session of -1 is none."""
        known = sessions >= 0
        if not known.any():
            return
        keys = (sessions[known] << _SEQ_BITS) | seqs[known]
        order = np.argsort(keys, kind="stable")
        places = np.searchsorted(self._keys, keys[order], side="right")
        self._keys = np.insert(self._keys, places, keys[order])
        self._slots = np.insert(self._slots, places, slots[known][order])
        self._turns = None

    def discard(self, slots: Sequence[int]) -> None:
        """Take pieces away, a turn with its last one; slots that were not placed do not matter."""
        kept = np.isin(self._slots, slots, invert=True)
        self._keys, self._slots = self._keys[kept], self._slots[kept]
        self._turns = None

    def around(self, sessions: Integers, seqs: Integers, width: int) -> tuple[Integers, Integers]:
        """Slots of the turns at most ``width`` away from any of these, and their places.

        A place is the number of the turn in its session, from 0. Every turn that is asked for and
        has a session must have been placed.
        """
        if self._turns is None:
            self._turns = _Turns(self._keys)
        turns = self._turns
        known = sessions >= 0
        at = np.searchsorted(turns.keys, (sessions[known] << _SEQ_BITS) | seqs[known])
        near = np.zeros(len(turns.keys), dtype=np.bool_)
        window = at[:, None] + np.arange(-width, width + 1)
        near[np.clip(window, turns.first[at][:, None], turns.last[at][:, None])] = True
        pieces = near[turns.of_piece]
        of_piece = turns.of_piece[pieces]
        return self._slots[pieces], of_piece - turns.first[of_piece]


class _Turns:
    """The distinct turns among sorted ``keys`` of pieces.

    ``keys`` (turns,); ``of_piece`` (pieces,), the number of each piece's turn; ``first`` and
    ``last`` (turns,), the numbers of the turns at the ends of each one's session.
    """

    def __init__(self, keys: Integers) -> None:
        begins = np.diff(keys, prepend=-1) != 0
        self.keys, self.of_piece = keys[begins], np.cumsum(begins) - 1
        first = np.flatnonzero(np.diff(self.keys >> _SEQ_BITS, prepend=-1))
        count = np.diff(first, append=len(self.keys))
        self.first = np.repeat(first, count)
        self.last = np.repeat(first + count - 1, count)
