"""Where beacons stand in a window, at which positions, and what they may attend to.

Pure: tensors of places, no model. Sources: Activation Beacon (arXiv 2401.03462), §3.1 and its
ablation of placements (Table 4); the three patterns of attention are those of UltraGist
(arXiv 2405.16635).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from memoryscope_rag.beacon.settings import BeaconSettings


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The rows of one window, of ``rows`` rows, in the order in which the model sees them.

    Attributes:
        tokens: int64 ``(rows,)``, the raw token of the window that a row holds; for a beacon, how
            many raw tokens of the window it closes.
        beacons: bool ``(rows,)``, which rows are beacons.
        positions: int64 ``(rows,)``, counted from the end of the memory.
        units: int64 ``(rows,)``, the unit of ``ratio`` raw tokens that a row belongs to.
        pattern: see :class:`~memoryscope_rag.beacon.settings.BeaconSettings`.
        attend_previous: see there.
    """

    tokens: torch.Tensor
    beacons: torch.Tensor
    positions: torch.Tensor
    units: torch.Tensor
    pattern: str
    attend_previous: bool

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def causal(self) -> bool:
        """Whether plain causal attention is what the pattern asks for."""
        everything = self.pattern == "full-coverage" and self.attend_previous
        return everything or not bool(self.beacons.any())

    def mask(self) -> torch.Tensor:
        """bool ``(rows, rows)``: which row (first) may attend to which (second)."""
        rows = torch.arange(len(self))
        before = rows[None, :] <= rows[:, None]
        unit, other = self.units[:, None], self.units[None, :]
        if self.pattern == "full-coverage":
            raw = torch.ones_like(before)
        else:
            raw = other <= unit if self.pattern == "step-expansion" else other == unit
        itself = rows[None, :] == rows[:, None]
        previous = torch.full_like(before, self.attend_previous) | itself
        of_beacon = torch.where(self.beacons[None, :], previous, raw)
        return before & torch.where(self.beacons[:, None], of_beacon, True)


def layout(settings: BeaconSettings, ratio: int, tokens: int) -> Layout:
    """The first ``tokens`` raw tokens of a window with the beacons that they bring.

    The rows of fewer tokens are the first rows of more, but for beacons that are appended.

    Args:
        ratio: raw tokens a beacon; 0 for none.
    """
    raw = torch.arange(tokens)
    count = tokens // ratio if ratio else 0
    if settings.placement == "append" and tokens < settings.window:
        count = 0
    closed = torch.arange(1, count + 1) * max(1, ratio)
    unit = max(1, ratio)
    # a beacon comes after the last token that it closes, or after all of them
    after = closed - 0.5 if settings.placement == "interleave" else torch.full((count,), tokens)
    order = torch.argsort(torch.cat([raw.double(), after.double()]), stable=True)
    all_tokens = torch.cat([raw, closed])[order]
    beacons = torch.cat([torch.zeros(tokens), torch.ones(count)]).bool()[order]
    positions = torch.arange(tokens + count)
    if settings.placement == "append" and settings.pattern != "full-coverage":
        # next to the last raw token that the beacon may attend to
        positions = torch.where(beacons, all_tokens, positions)
    units = torch.where(beacons, all_tokens // unit - 1, all_tokens // unit)
    return Layout(all_tokens, beacons, positions, units, settings.pattern, settings.attend_previous)
