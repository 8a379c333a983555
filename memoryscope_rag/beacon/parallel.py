"""Several full windows in one call of the model.

The windows follow each other in one sequence, each but the last followed by copies of the rows
that are kept of it. A copy has, in every layer, the projections of the row it copies, but the
position that this row takes as memory; later windows attend to the copies and to no other row of
earlier windows. So the result is that of reading one after the other (Activation Beacon's option
``beacon_parallel_window``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from memoryscope_rag.beacon.layout import Layout


@dataclass(frozen=True, slots=True, eq=False)
class ParallelLayout:
    """The rows of several windows and of the copies between them.

    Attributes:
        windows: int64 tensors, for each window the places of its rows.
        raw: int64, the places of raw tokens, in order.
        beacons: int64, the places of beacons and of copies, which begin as beacons do.
        copies: (places, originals), int64.
        positions: int64 ``(rows,)``, counted from the end of the memory.
        mask: bool ``(rows, rows)``.
    """

    windows: tuple[torch.Tensor, ...]
    raw: torch.Tensor
    beacons: torch.Tensor
    copies: tuple[torch.Tensor, torch.Tensor]
    positions: torch.Tensor
    mask: torch.Tensor


def parallel_layout(layouts: Sequence[Layout]) -> ParallelLayout:
    """Full windows, to be read in one call. One without beacons is kept whole."""
    windows: list[torch.Tensor] = []
    copies: list[torch.Tensor] = []
    originals: list[torch.Tensor] = []
    positions: list[torch.Tensor] = []
    place = memory = 0
    for number, one in enumerate(layouts):
        windows.append(torch.arange(place, place + len(one)))
        positions.append(memory + one.positions)
        place += len(one)
        kept = windows[-1][one.beacons] if one.beacons.any() else windows[-1]
        if number < len(layouts) - 1:
            originals.append(kept)
            copies.append(torch.arange(place, place + len(kept)))
            positions.append(memory + torch.arange(len(kept)))
            place += len(kept)
            memory += len(kept)
    mask = torch.eye(place, dtype=torch.bool)
    for number, (rows, one) in enumerate(zip(windows, layouts, strict=True)):
        mask[rows[0] : rows[-1] + 1, rows[0] : rows[-1] + 1] = one.mask()
        for earlier in copies[:number]:
            mask[rows[0] : rows[-1] + 1, earlier[0] : earlier[-1] + 1] = True
    raw = torch.cat([rows[~one.beacons] for rows, one in zip(windows, layouts, strict=True)])
    is_raw = torch.zeros(place, dtype=torch.bool)
    is_raw[raw] = True
    nothing = torch.empty(0, dtype=torch.long)
    return ParallelLayout(
        tuple(windows),
        raw,
        (~is_raw).nonzero().flatten(),
        (torch.cat([nothing, *copies]), torch.cat([nothing, *originals])),
        torch.cat(positions),
        mask,
    )
