"""Training-free compression for any model: of each window, every head keeps the rows that matter.

Which rows those are says a :class:`Scorer`, without knowing any query, so that one memory serves
all. Each layer and head keeps rows of its own, the same number everywhere, in the order of the
history. Nothing is kept of a window but its own rows, and it is judged when it is full: any split
of the same tokens gives the same memory.
"""

from __future__ import annotations

from typing import Protocol

import torch

from memoryscope_rag.beacon.compressor import Kept, Window
from memoryscope_rag.beacon.state import Rows
from memoryscope_rag.errors import ConfigError


class Scorer(Protocol):
    """Says how much each row of a window matters."""

    @property
    def name(self) -> str:
        """What it is called, with the settings that change its scores."""
        ...

    def scores(self, window: Window) -> torch.Tensor:
        """float32 ``(layers, kv_heads, rows)`` of ``window.rows``; the highest are kept."""
        ...


class Select:
    """Keeps the rows with the highest scores in every layer and head.

    Args:
        scorer: says which rows matter.
        first: the first tokens of a history that are kept whatever their scores: attention sinks
            (arXiv 2309.17453, §3.1). A prefix that is never compressed takes their place.

    Raises:
        ConfigError: ``first`` is negative.
    """

    uses_beacons = False

    def __init__(self, scorer: Scorer, *, first: int = 4) -> None:
        if first < 0:
            raise ConfigError(f"first is {first}, must not be negative")
        self.scorer = scorer
        self.first = first

    @property
    def name(self) -> str:
        """See :class:`~memoryscope_rag.beacon.compressor.Compressor`."""
        return f"select-{self.scorer.name}-first{self.first}"

    def rows(self, tokens: int, ratio: int) -> int:
        """``tokens // ratio``, at least one; all of them for the ratio 0."""
        return max(1, tokens // ratio) if ratio else tokens

    def keep(self, window: Window) -> Kept:
        """The best rows; ``sources`` are counted in ``window.rows``, which may hold fewer rows
        than the window has tokens: then some had been evicted before."""
        count = self.rows(len(window.ids), window.ratio)
        if count >= len(window.rows):
            return Kept(window.rows)
        scores = self.scorer.scores(window).to(window.rows.keys.device)
        if window.start == 0:
            scores[:, :, : self.first] = torch.inf
        places = best_places(scores, count)
        return Kept(picked(window.rows, places), sources=places.int())


def best_places(scores: torch.Tensor, count: int) -> torch.Tensor:
    """int64 ``(…, count)``: where the highest of ``scores`` are, in order of place.

    Of equal scores the first ones are taken.
    """
    order = scores.argsort(dim=-1, descending=True, stable=True)
    return order[..., :count].sort(dim=-1).values


def picked(rows: Rows, places: torch.Tensor) -> Rows:
    """Of each layer and head the rows at its own ``places``, int64 ``(layers, kv_heads, n)``."""
    wide = places[..., None].expand(*places.shape, rows.keys.shape[-1])
    return Rows(rows.keys.gather(2, wide), rows.values.gather(2, wide))
