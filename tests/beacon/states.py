"""Comparing memories."""

from __future__ import annotations

import torch

from memoryscope_rag.beacon.state import MemoryState, Rows


def same(one: MemoryState, other: MemoryState) -> float:
    """The largest difference of two memories whose tokens and windows are the same."""
    assert len(one.blocks) == len(other.blocks)
    assert [block.digest for block in one.blocks] == [block.digest for block in other.blocks]
    assert torch.equal(one.token_ids(), other.token_ids())
    assert one.tail_ratio == other.tail_ratio
    pairs = [(one.sink, other.sink), (one.tail, other.tail)]
    pairs += [(mine.rows, its.rows) for mine, its in zip(one.blocks, other.blocks, strict=True)]
    return max(apart(mine, its) for mine, its in pairs)


def apart(one: Rows, other: Rows) -> float:
    """The largest difference of two sets of rows."""
    assert one.keys.shape == other.keys.shape
    if not len(one):
        return 0.0
    keys, values = (one.keys - other.keys).abs().max(), (one.values - other.values).abs().max()
    return float(torch.maximum(keys, values))
