"""Making a memory smaller: what is old is kept at a higher ratio, what is recent stays as it is.

With *select* heads let go of further rows of old windows; every other row stays, and nothing is
read again but by scorers that ask the model. With *beacon* old windows are read again with fewer
beacons, and so is what follows them, since it has seen them: the result is the memory that would
have been made so in the first place. (Beacons of beacons are nothing that a model was trained for.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

import torch

from memoryscope_rag.beacon.compressor import Window
from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.ratios import higher
from memoryscope_rag.beacon.select import Select
from memoryscope_rag.beacon.state import Block, MemoryState, Rows, chained
from memoryscope_rag.errors import InvalidInput

HIGHEST_RATIO = 64
"""The most tokens that a row is made to stand for."""


Size = Callable[[Block], int]
"""Says how many bytes a block takes."""


def fit(
    engine: BeaconEngine,
    state: MemoryState,
    budget_bytes: int,
    recent_tokens: int,
    size: Size = lambda block: block.nbytes,
) -> MemoryState:
    """``state`` within ``budget_bytes``, as large as that allows.

    Ratios rise window by window from the oldest on, and no further before all old windows have
    the same, so the largest step is that of one window. Windows that hold any of the last
    ``recent_tokens`` tokens keep the ratio that they have. The old state stays as it was.

    Args:
        budget_bytes: for :attr:`~memoryscope_rag.beacon.state.MemoryState.nbytes`.
        size: of a block, where it is another one than that, such as that in a file.

    Raises:
        InvalidInput: the state is another engine's, its compressor can make nothing smaller, or
            the ratio of 64 is not enough.
        ModelError: as for :meth:`~memoryscope_rag.beacon.engine.BeaconEngine.append_ids`.
    """
    compressor = engine.encoder.compressor
    if state.origin != engine.origin:
        raise InvalidInput("state", "was made by another model, settings or compressor")
    if not (compressor.uses_beacons or isinstance(compressor, Select)):
        raise InvalidInput(
            "engine", f"its compressor {compressor.name} keeps every row; use select or beacons"
        )
    ratios = _ratios(engine, state, budget_bytes, recent_tokens, size)
    if ratios == [block.ratio for block in state.blocks]:
        return state
    if isinstance(compressor, Select):
        return _evicted(engine, compressor, state, ratios)
    return _read_again(engine, state, ratios)


def _ratios(
    engine: BeaconEngine, state: MemoryState, budget: int, recent_tokens: int, size: Size
) -> list[int]:
    """The ratio that each block is to have."""
    ratios = [block.ratio for block in state.blocks]
    old = [
        number
        for number, block in enumerate(state.blocks)
        if block.end <= state.tokens - recent_tokens
    ]
    total = replace(state, blocks=()).nbytes + sum(map(size, state.blocks))
    for level in _levels(engine):
        for number in old:
            if total <= budget:
                return ratios
            if ratios[number] < level:
                now, then = (
                    size(_at(engine, state.blocks[number], ratio))
                    for ratio in (ratios[number], level)
                )
                total -= now - then
                ratios[number] = level
    if total > budget:
        raise InvalidInput(
            "budget_bytes",
            f"is {budget}, but with its last {recent_tokens} tokens as they are this memory takes "
            f"at least {total}",
        )
    return ratios


def _levels(engine: BeaconEngine) -> Sequence[int]:
    """The ratios that a window can be brought to, lowest first."""
    settings = engine.encoder.settings
    highest = min(HIGHEST_RATIO, settings.window)
    if engine.encoder.compressor.uses_beacons:
        return [ratio for ratio in higher(settings, 1) if ratio <= highest]
    # of ratios with the same number of rows the one that is true
    every = range(2, highest + 1)
    return [ratio for ratio in every if settings.window // ratio > settings.window // (ratio + 1)]


def _at(engine: BeaconEngine, block: Block, ratio: int) -> Block:
    """``block`` as it would be with ``ratio``, without content."""
    if ratio == block.ratio:
        return block
    compressor = engine.encoder.compressor
    layers, heads, _, width = block.rows.keys.shape
    count = compressor.rows(block.tokens, ratio)
    rows = block.rows.keys.new_empty((layers, heads, count, width), device="meta")
    sources = None
    if not compressor.uses_beacons:
        sources = torch.empty((layers, heads, count), dtype=torch.int32, device="meta")
    repeats = compressor.uses_beacons
    return replace(block, rows=Rows(rows, rows), ratio=ratio, repeats=repeats, sources=sources)


# ---------------------------------------------------------------- beacon


def _read_again(engine: BeaconEngine, state: MemoryState, ratios: Sequence[int]) -> MemoryState:
    """The memory that windows of ``ratios`` make; what comes before the first change is kept."""
    first = next(n for n, block in enumerate(state.blocks) if block.ratio != ratios[n])
    found = state.rollback(first)
    later = zip(ratios[first:], state.blocks[first:], strict=True)
    for ratio, group in groupby(later, key=lambda pair: pair[0]):
        ids = torch.cat([block.ids for _, block in group])
        found = engine.append_ids(replace(found, fixed_ratio=ratio), ids.tolist())
    if len(state.tail_ids):
        found = replace(found, fixed_ratio=state.tail_ratio)
        found = engine.append_ids(found, state.tail_ids.tolist())
    return replace(found, fixed_ratio=state.fixed_ratio, spans=state.spans)


# ---------------------------------------------------------------- select


def _evicted(
    engine: BeaconEngine, select: Select, state: MemoryState, ratios: Sequence[int]
) -> MemoryState:
    """The memory with further rows of its blocks gone."""
    past, nothing = engine.model.past(), engine.model.no_rows()
    blocks: list[Block] = []
    digest = replace(state, blocks=()).digest
    changed = False
    with engine.alone(), torch.no_grad():
        for block, ratio in zip(state.blocks, ratios, strict=True):
            if ratio != block.ratio:
                changed = True
                past.attach(replace(state, blocks=(*blocks, block), tail=nothing).parts())
                every = torch.zeros(len(block.rows), dtype=torch.bool)
                window = Window(
                    block.rows, every, block.ids, block.start, ratio, engine.model.stock, past
                )
                kept = select.keep(window)
                block = replace(
                    block, rows=kept.rows, ratio=ratio, sources=_composed(block, kept.sources)
                )
            if changed:
                # later blocks have seen what is gone, so they, too, are not those of any new memory
                name = f"{select.name} after {block.digest[:16]}"
                digest = chained(digest, block.ids, block.ratio, name)
                block = replace(block, compressor=name, digest=digest)
            digest = block.digest
            blocks.append(block)
    return replace(state, blocks=tuple(blocks))


def _composed(block: Block, sources: torch.Tensor | None) -> torch.Tensor | None:
    """``sources``, counted in the rows of ``block``, as tokens of its window."""
    if sources is None or block.sources is None:
        return block.sources if sources is None else sources
    return block.sources.gather(2, sources.long())
