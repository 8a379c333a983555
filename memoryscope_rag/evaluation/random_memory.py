"""Memories of random rows, to measure what depends on how many they are, not on what they say."""

from __future__ import annotations

import torch

from memoryscope_rag.beacon.encode import Encoder
from memoryscope_rag.beacon.layout import layout
from memoryscope_rag.beacon.select import Select
from memoryscope_rag.beacon.state import Block, MemoryState, Rows, chained


def random_memory(encoder: Encoder, origin: str, tokens: int, seed: int = 0) -> MemoryState:
    """A memory of ``tokens`` tokens in the shape in which ``encoder`` would make it.

    Args:
        encoder: its settings have one ratio, and neither sinks nor a prefix.
        origin: the one that the engine expects.
    """
    settings, keeper = encoder.settings, encoder.compressor
    (ratio,) = settings.ratios
    source = torch.Generator().manual_seed(seed)
    state = encoder.empty(origin)
    vocabulary = encoder.model.stock.get_input_embeddings().weight.shape[0]
    ids = torch.randint(0, vocabulary, (tokens,), generator=source, dtype=torch.int32)
    digest, kept = state.digest, keeper.rows(settings.window, ratio)
    blocks: list[Block] = []
    for start in range(0, tokens - settings.window + 1, settings.window):
        some = ids[start : start + settings.window]
        digest = chained(digest, some, ratio, keeper.name)
        rows = _random_rows(encoder, kept, seed + len(blocks))
        repeats, sources = keeper.uses_beacons and ratio > 0, None
        if repeats:
            rows.keys[0], rows.values[0] = rows.keys[0, :, :1], rows.values[0, :, :1]
        if isinstance(keeper, Select) and kept < settings.window:
            places = torch.arange(kept, dtype=torch.int32) * settings.window // kept
            sources = places.expand(*rows.keys.shape[:3]).contiguous()
        blocks.append(Block(rows, some, start, ratio, keeper.name, digest, repeats, sources))
    rest = ids[len(blocks) * settings.window :]
    raw_and_beacons = layout(settings, ratio if keeper.uses_beacons else 0, len(rest))
    return MemoryState(
        origin=origin,
        sink=state.sink,
        prefix_ids=state.prefix_ids,
        blocks=tuple(blocks),
        tail=_random_rows(encoder, len(raw_and_beacons), seed + len(blocks)),
        tail_ids=rest,
        tail_ratio=ratio if len(rest) else None,
        fixed_ratio=ratio,
    )


def _random_rows(encoder: Encoder, rows: int, seed: int) -> Rows:
    model = encoder.model
    device, dtype = model.stock.device, model.stock.dtype
    source = torch.Generator(device).manual_seed(seed)
    shape = (model.layers, model.kv_heads, rows, model.head_dim)
    keys = torch.randn(shape, generator=source, device=device, dtype=dtype)
    values = torch.randn(shape, generator=source, device=device, dtype=dtype)
    return Rows(keys, values)
