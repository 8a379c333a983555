"""How a beacon memory is made, and the file that remembers it beside a saved memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

from pydantic import TypeAdapter

from memoryscope_rag.durable import write_durably
from memoryscope_rag.errors import (
    InvalidInput,
    SchemaTooNew,
    StoreCorrupt,
    StoreUnavailable,
    suggest,
)
from memoryscope_rag.models.chat_presets import DEFAULT_CHAT_MODEL

CompressorName = Literal["beacon", "select", "full", "gist"]
COMPRESSORS: Final[tuple[CompressorName, ...]] = get_args(CompressorName)
FILE: Final = "memory.json"
_FORMAT: Final = "memoryscope-rag memory of a model"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryOptions:
    """What a memory is made with; it stays with it.

    Attributes:
        model: a preset, a folder, a GGUF file or the hub's ``owner/name`` of a chat model.
        compressor: ``beacon``; ``select``: every head keeps the rows that matter, for any model;
            ``full``: all rows, uncompressed; ``gist``: all rows of what windows were retold as.
            ``None``: *beacon* for a model with trained beacons, else *select*.
        ratio: raw tokens a kept row, at least; it doubles where a history would not fit the model.
            Not for *full* and *gist*.
        window: raw tokens that are compressed together; ``None``: as the beacons were trained,
            else an eighth of the model's positions, at most 2048. Of *gist* those that are retold
            together: half of the positions, at most 4096.
        adapter: a folder with beacons for the model.

    Raises:
        InvalidInput: there is no such compressor, or a number is below 1.
    """

    model: str = DEFAULT_CHAT_MODEL
    compressor: CompressorName | None = None
    ratio: int = 4
    window: int | None = None
    adapter: str | None = None

    def __post_init__(self) -> None:
        if self.compressor is not None and self.compressor not in COMPRESSORS:
            known = suggest(self.compressor, COMPRESSORS)
            raise InvalidInput("compressor", f"{self.compressor!r} is unknown; {known}")
        if self.ratio < 1:
            raise InvalidInput("ratio", f"is {self.ratio}, must be at least 1")
        if self.window is not None and self.window < 1:
            raise InvalidInput("window", f"is {self.window}, must be at least 1")
        if self.adapter is not None and self.compressor not in (None, "beacon"):
            raise InvalidInput("adapter", f"brings beacons, which {self.compressor!r} does not use")

    def absolute(self) -> MemoryOptions:
        """With paths that hold in any working folder."""
        path = Path(self.model).expanduser()
        model = str(path.resolve()) if path.exists() else self.model
        adapter = None if self.adapter is None else str(Path(self.adapter).expanduser().resolve())
        return replace(self, model=model, adapter=adapter)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedMemory:
    """What the file says: the options, the language of the prompts, and seconds spent reading."""

    options: MemoryOptions
    language: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content(SavedMemory):
    format: Literal["memoryscope-rag memory of a model"] = _FORMAT
    version: int = _VERSION


_CONTENT: Final = TypeAdapter(_Content)


def write_options(folder: Path, saved: SavedMemory) -> None:
    """Write the file; a crash leaves the one of before. Raises StoreUnavailable."""
    content = _Content(
        options=saved.options, language=saved.language, seconds=round(saved.seconds, 3)
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(folder / FILE, _CONTENT.dump_json(content, indent=1))
    except OSError as error:
        raise StoreUnavailable(f"cannot write {folder / FILE}: {error.strerror}") from error


def holds_memory(folder: Path) -> bool:
    """Whether a memory was saved in ``folder``."""
    return (folder / FILE).is_file()


def read_options(folder: Path) -> SavedMemory:
    """What was written.

    Raises:
        StoreUnavailable: no memory was saved in ``folder``.
        StoreCorrupt: the file is damaged.
        SchemaTooNew: a later version of this package wrote it.
    """
    path = folder / FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreUnavailable(
            f"no memory in {folder}: {error.strerror}; 'memoryscope-rag memorize' makes one"
        ) from error
    try:
        tree: Any = json.loads(data)
        version = tree["version"] if isinstance(tree, dict) else None
        if isinstance(version, int) and version > _VERSION:
            raise SchemaTooNew(f"{path} is of version {version}; this package knows {_VERSION}")
        found = _CONTENT.validate_python(tree)
    except (ValueError, KeyError) as error:
        raise StoreCorrupt(f"{path} is damaged; memorize the texts again") from error
    return SavedMemory(options=found.options, language=found.language, seconds=found.seconds)
