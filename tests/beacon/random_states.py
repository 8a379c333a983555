"""Memories of random rows, for what does not ask where rows come from.

Block ``n`` depends on the seed and on ``n`` alone, as a model's blocks depend on the history.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from memoryscope_rag.beacon.state import Block, MemoryState, Rows, Span, chained

ORIGIN = "0123456789abcdef"


def random_rows(
    source: torch.Generator,
    rows: int,
    *,
    layers: int = 3,
    heads: int = 2,
    head_dim: int = 8,
    dtype: torch.dtype = torch.float32,
) -> Rows:
    """Like those of a model: some channels of the keys are large in every row."""
    shape = (layers, heads, rows, head_dim)
    keys, values = (torch.randn(shape, generator=source) for _ in range(2))
    keys += 6 * torch.randn(layers, heads, 1, head_dim, generator=source)
    return Rows(keys.to(dtype), values.to(dtype))


def empty_state(
    origin: str = ORIGIN,
    *,
    layers: int = 3,
    heads: int = 2,
    head_dim: int = 8,
    dtype: torch.dtype = torch.float32,
) -> MemoryState:
    """A memory of nothing."""
    nothing = torch.empty(layers, heads, 0, head_dim, dtype=dtype)
    ids = torch.empty(0, dtype=torch.int32)
    return MemoryState(origin, Rows(nothing, nothing), ids, (), Rows(nothing, nothing), ids)


def grown(
    state: MemoryState,
    blocks: int = 1,
    *,
    rows: int = 8,
    ratio: int = 4,
    tail: int = 5,
    seed: int = 0,
    compressor: str = "beacon",
    repeats: bool = True,
    sources: bool = False,
    message: str | None = None,
) -> MemoryState:
    """``state`` with so many more blocks, another tail, and a message for what is new."""
    layers, heads, _, head_dim = state.tail.keys.shape
    dtype = state.tail.keys.dtype
    made = list(state.blocks)
    for number in range(len(made), len(made) + blocks):
        source = torch.Generator().manual_seed(1000 * seed + number)
        some = random_rows(source, rows, layers=layers, heads=heads, head_dim=head_dim, dtype=dtype)
        if repeats:
            for tensor in (some.keys, some.values):
                tensor[0] = tensor[0, :, :1]
        tokens = rows * max(1, ratio)
        ids = torch.randint(0, 50_000, (tokens,), generator=source, dtype=torch.int32)
        before = made[-1] if made else None
        start = before.end if before else len(state.prefix_ids)
        digest = before.digest if before else replace(state, blocks=()).digest
        digest = chained(digest, ids, ratio, compressor)
        places = None
        if sources:
            places = torch.randint(
                0, tokens, (layers, heads, rows), generator=source, dtype=torch.int32
            )
        made.append(Block(some, ids, start, ratio, compressor, digest, repeats, places))
    source = torch.Generator().manual_seed(1000 * seed + 500 + len(made))
    longer = replace(
        state,
        blocks=tuple(made),
        tail=random_rows(source, tail, layers=layers, heads=heads, head_dim=head_dim, dtype=dtype),
        tail_ids=torch.randint(0, 50_000, (tail,), generator=source, dtype=torch.int32),
        tail_ratio=ratio if tail else None,
    )
    if message is None:
        message = f"message-{len(state.spans)}"
    first = state.spans[-1].end if state.spans else 0
    return replace(longer, spans=(*state.spans, Span(message, first, longer.tokens)))
