"""What a memory covers, told from its manifest alone: no tensor is read, no model is opened."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from memoryscope_rag.beacon.files.manifest import StoredMemory
from memoryscope_rag.beacon.state import Span
from memoryscope_rag.ports import Coverage, CoveredBlock


def covered_ids(memory: StoredMemory) -> tuple[str, ...]:
    """Ids of the messages that were read, in order."""
    return tuple(dict.fromkeys(span.message_id for span in memory.state_spans()))


def coverage_of(memory: StoredMemory, parts_bytes: int = 0) -> Coverage:
    """The coverage of ``memory``.

    Args:
        parts_bytes: what the memories of parts take.
    """
    opened = memory.open
    rows = sum(block.rows for block in memory.blocks)
    tokens = sum(block.tokens for block in memory.blocks)
    return Coverage(
        message_ids=covered_ids(memory),
        tokens=opened.prefix_tokens + tokens + opened.tail_tokens,
        rows=opened.sink_rows + rows + opened.tail_rows,
        bytes=memory.nbytes + parts_bytes,
        seconds=memory.seconds,
        tail_tokens=opened.tail_tokens,
        blocks=tuple(_blocks(memory)),
    )


def _blocks(memory: StoredMemory) -> Iterator[CoveredBlock]:
    """A block's bytes are its share of its file, by rows."""
    spans = memory.state_spans()
    starts = [span.start for span in spans]
    for file in memory.files:
        rows = sum(block.rows for block in file.blocks)
        for block in file.blocks:
            first = max(0, bisect_right(starts, block.start) - 1)
            inside = _within(spans, first, block.start, block.start + block.tokens)
            ids = tuple(dict.fromkeys(span.message_id for span in inside))
            share = file.bytes * block.rows // max(1, rows)
            yield CoveredBlock(block.tokens, block.ratio or 1, share, ids)


def _within(spans: tuple[Span, ...], first: int, start: int, end: int) -> Iterator[Span]:
    for span in spans[first:]:
        if span.start >= end:
            break
        if span.end > start:
            yield span
