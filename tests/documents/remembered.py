"""Memories of documents for tests: on tiny models, over a short text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memoryscope_rag.beacon.memory import MemoryOptions
from memoryscope_rag.documents.memory import DocumentMemory, DocumentOptions
from memoryscope_rag.documents.vectors import IndexOptions
from memoryscope_rag.testing.fakes import HashEmbedder

TEXT = "It rains.\n\nJack wins every race.\n\nOtto hates trams.\n\nClara lives in Porto."
SMALL = IndexOptions(tokens=6)
"""So that every paragraph is a chunk."""


def options(model: str, *, compressor: Any = "select", window: int = 64, **more: Any) -> Any:
    """Of a memory of a tiny model."""
    memory = MemoryOptions(model=model, compressor=compressor, window=window)
    return DocumentOptions(memory=memory, **{"index": SMALL, **more})


async def opened(model: str, *, made: Any = None, **parts: Any) -> DocumentMemory:
    """A memory of a tiny model; ``made`` are its options."""
    return await DocumentMemory.open(
        made or options(model), **{"embedder": HashEmbedder(), "threads": 1, **parts}
    )


async def loaded(folder: Path, **parts: Any) -> DocumentMemory:
    """What was saved in ``folder``."""
    given = {"embedder": HashEmbedder(), "threads": 1, **parts}
    return await DocumentMemory.load(folder, **given)
