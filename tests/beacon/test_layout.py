"""Placements, masks and positions against their definition, row by row."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import get_args

import pytest
import torch

from memoryscope_rag.beacon.layout import layout
from memoryscope_rag.beacon.parallel import parallel_layout
from memoryscope_rag.beacon.settings import BeaconSettings, Pattern, Placement

WINDOW = 12
EVERY = list(
    itertools.product(get_args(Placement), get_args(Pattern), (True, False), (1, 2, 4, 12, 0))
)


@dataclass(frozen=True)
class Row:
    """A raw token with its number, or the beacon that closes the unit of its number."""

    beacon: bool
    number: int


def rows_of(placement: str, ratio: int, tokens: int) -> list[Row]:
    """The definition: raw tokens in order; a beacon after each unit, or all when it is full."""
    rows: list[Row] = []
    for token in range(tokens):
        rows.append(Row(False, token))
        if placement == "interleave" and ratio and (token + 1) % ratio == 0:
            rows.append(Row(True, token // ratio))
    if placement == "append" and ratio and tokens == WINDOW:
        rows += [Row(True, unit) for unit in range(WINDOW // ratio)]
    return rows


def may_attend(rows: list[Row], one: int, other: int, ratio: int, pattern: str, prev: bool) -> bool:
    """The definition of who attends to whom within a window."""
    if other > one:
        return False
    mine, its = rows[one], rows[other]
    if one == other or not mine.beacon:
        return True
    if its.beacon:
        return prev
    unit = its.number // ratio
    if pattern == "segmentation":
        return unit == mine.number
    return pattern == "full-coverage" or unit <= mine.number


@pytest.mark.parametrize(("placement", "pattern", "previous", "ratio"), EVERY)
def test_p4_masks_and_placements(
    placement: Placement, pattern: Pattern, previous: bool, ratio: int
) -> None:
    settings = BeaconSettings(
        window=WINDOW,
        ratios=(ratio,),
        placement=placement,
        pattern=pattern,
        attend_previous=previous,
    )
    for tokens in range(1, WINDOW + 1):
        found = layout(settings, ratio, tokens)
        rows = rows_of(placement, ratio, tokens)
        assert found.beacons.tolist() == [row.beacon for row in rows]
        assert [t for t, b in zip(found.tokens, found.beacons, strict=True) if not b] == list(
            range(tokens)
        )
        places = range(len(rows))
        expected = [
            [may_attend(rows, i, j, ratio, pattern, previous) for j in places] for i in places
        ]
        assert found.mask().tolist() == expected
        if found.causal:
            assert bool(found.mask().equal(torch.ones(len(rows), len(rows)).tril().bool()))


@pytest.mark.parametrize("pattern", get_args(Pattern))
def test_p4_positions(pattern: Pattern) -> None:
    interleaved = BeaconSettings(window=WINDOW, ratios=(4,), pattern=pattern)
    assert layout(interleaved, 4, WINDOW).positions.tolist() == list(range(15))
    appended = BeaconSettings(window=WINDOW, ratios=(4,), placement="append", pattern=pattern)
    beacons = layout(appended, 4, WINDOW).positions.tolist()[WINDOW:]
    # with the whole window before it: behind it; else right behind the last token it may see
    assert beacons == ([12, 13, 14] if pattern == "full-coverage" else [4, 8, 12])


@pytest.mark.parametrize("ratio", [2, 4, 8, 16, 32, 64])
def test_ratios_from_2_to_64(ratio: int) -> None:
    settings = BeaconSettings(window=128, ratios=(ratio,))
    assert int(layout(settings, ratio, 128).beacons.sum()) == 128 // ratio
    assert int(layout(settings, ratio, 100).beacons.sum()) == 100 // ratio


def test_p5_windows_see_the_copies_and_nothing_else_of_earlier_windows() -> None:
    settings = BeaconSettings(window=4, ratios=(2,))
    whole = parallel_layout([layout(settings, 2, 4)] * 3)
    # x x b x x b | c c | x x b x x b | c c | x x b x x b
    assert [rows.tolist() for rows in whole.windows] == [
        list(range(6)),
        list(range(8, 14)),
        list(range(16, 22)),
    ]
    assert whole.copies[0].tolist() == [6, 7, 14, 15]
    assert whole.copies[1].tolist() == [2, 5, 10, 13]
    assert whole.positions.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, *range(2, 8), 2, 3, *range(4, 10)]
    for row in range(16, 22):
        seen = whole.mask[row].nonzero().flatten().tolist()
        assert seen == [6, 7, 14, 15, *range(16, row + 1)]
