"""What is kept of a full window: one interface for all ways of choosing.

*beacon* keeps the beacon rows; *full* keeps every raw row. Others bring their own class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from memoryscope_rag.beacon.cache import Past
from memoryscope_rag.beacon.state import Rows


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A full window, just computed.

    Attributes:
        rows: all its rows, keys before RoPE, in the order of ``beacons``.
        beacons: bool ``(rows,)``, which of them are beacons.
        ids: int32 ``(tokens,)``, its raw tokens.
        start: how many tokens of the history lie before it.
        ratio: raw tokens a kept row that are asked for; 0: all are to be kept.
        model: the model, attached, for those who ask it again.
        past: the rows before the window and, behind them, those of the window, rotated; a
            compressor that lets the model add to it cuts it back.
    """

    rows: Rows
    beacons: torch.Tensor
    ids: torch.Tensor
    start: int
    ratio: int
    model: Any
    past: Past

    @property
    def memory_rows(self) -> int:
        """How many rows of ``past`` lie before the window."""
        return len(self.past) - len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """The rows to keep; see :class:`~memoryscope_rag.beacon.state.Block` for the others."""

    rows: Rows
    repeats: bool = False
    sources: torch.Tensor | None = None


class Compressor(Protocol):
    """Chooses the rows that a memory keeps of a full window."""

    @property
    def name(self) -> str:
        """What its blocks are marked with. Settings that change what is kept belong to it."""
        ...

    @property
    def uses_beacons(self) -> bool:
        """Whether beacons are to be placed among the raw tokens.

        Then several windows may be read in one call, and :attr:`Window.past` holds all of them.
        """
        ...

    def rows(self, tokens: int, ratio: int) -> int:
        """How many rows are kept of ``tokens`` raw tokens."""
        ...

    def keep(self, window: Window) -> Kept:
        """The rows to keep, ``rows(tokens, ratio)`` many in every layer and head."""
        ...


class Beacons:
    """Keeps the beacon rows, or every row of a window with the ratio 0."""

    name = "beacon"
    uses_beacons = True

    def rows(self, tokens: int, ratio: int) -> int:
        """See :class:`Compressor`."""
        return tokens // ratio if ratio else tokens

    def keep(self, window: Window) -> Kept:
        """See :class:`Compressor`."""
        if not window.ratio:
            return Kept(window.rows)
        return Kept(window.rows.select(window.beacons.nonzero().flatten()), repeats=True)


class Full:
    """Keeps every raw row: the model's own keys and values, for any model."""

    name = "full"
    uses_beacons = False

    def rows(self, tokens: int, ratio: int) -> int:
        """See :class:`Compressor`."""
        del ratio
        return tokens

    def keep(self, window: Window) -> Kept:
        """See :class:`Compressor`."""
        return Kept(window.rows)
