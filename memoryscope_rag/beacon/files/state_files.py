"""Saving and removing the memory of a folder.

Saving writes new files, makes sure that they are on the disk, and then puts the manifest in place
by a rename: a crash at any moment leaves the memory of before or the new one. Files that no
manifest names are swept by the next save. An append writes the blocks that are new and what is
open; what lies in files already stays there.

For one writer at a time; :mod:`.bank` sees to that. Readers need no lock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path

import torch
from pydantic import ValidationError

from memoryscope_rag.beacon.files.block_tensors import described, to_tensors, wanted
from memoryscope_rag.beacon.files.maker import Maker
from memoryscope_rag.beacon.files.manifest import (
    MANIFEST,
    StoredBlock,
    StoredFile,
    StoredMemory,
    StoredOpen,
    read_head,
    write_manifest,
)
from memoryscope_rag.beacon.files.mapped import serialized
from memoryscope_rag.beacon.files.quantize import Encoding
from memoryscope_rag.beacon.files.stored_state import StoredState, open_state, tensors
from memoryscope_rag.beacon.state import Block, MemoryState
from memoryscope_rag.durable import is_unfinished, settle, write_durably
from memoryscope_rag.errors import BeaconMismatch, InvalidInput, StoreCorrupt, StoreUnavailable

FEWEST = 8
"""Files of fewer blocks are joined when there are so many of them at the end."""
MOST = 32
"""Blocks a file."""
_OURS = ("blocks-*.safetensors", "open-*.safetensors", "gist-*.json")


def save_state(
    folder: Path,
    state: MemoryState,
    maker: Maker,
    encoding: Encoding = "bf16",
    before: StoredState | None = None,
    *,
    seconds: float = 0.0,
) -> StoredState:
    """Make ``state`` the memory in ``folder``, and return it opened.

    Args:
        encoding: of the blocks; sink and tail keep their type.
        before: what is in the folder, where the caller has it open already.
        seconds: spent reading, to be remembered with it.

    Raises:
        InvalidInput: another maker made the state, or it holds values that are not finite.
        SchemaTooNew: a later version of this package wrote what is there; it stays.
        StoreUnavailable: it cannot be written; what was there is as it was, or, where the disk
            failed at the very end, the new one is there already.
    """
    if state.origin != maker.origin:
        raise InvalidInput("state", f"was made by {state.origin}, not by {maker.origin}")
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            settle(folder.parent)
        if before is None or read_head(folder) != before.head:
            before = _usable(folder, maker)
        kept, loose, new = _divided(state, encoding, before)
        files = [*kept, *_write_blocks(folder, loose, new, encoding)]
        opened = _write_open(folder, state)
        memory = _described(state, maker, encoding, files, opened, seconds)
        settle(folder)
        generation = 1 if before is None else before.generation + 1
        write_manifest(folder, generation, memory)
        settle(folder)
    except OSError as error:
        raise StoreUnavailable(f"cannot write the beacon memory {folder}: {error}") from error
    sweep_folder(folder, memory.names)
    saved = open_state(folder, maker, before)
    assert saved is not None
    return saved


def remove_state(folder: Path) -> None:
    """Remove a memory. A crash on the way leaves all of it, or files that nobody reads.

    Raises:
        StoreUnavailable: it cannot be removed.
    """
    try:
        with suppress(FileNotFoundError):
            (folder / MANIFEST).unlink()
            settle(folder)
    except OSError as error:
        raise StoreUnavailable(f"cannot remove the beacon memory {folder}: {error}") from error
    sweep_folder(folder, frozenset())
    with suppress(OSError):  # something of others is in it, or it is gone
        folder.rmdir()


def _described(
    state: MemoryState,
    maker: Maker,
    encoding: Encoding,
    files: list[StoredFile],
    opened: StoredOpen,
    seconds: float,
) -> StoredMemory:
    layers, heads, _, head_dim = state.tail.keys.shape
    try:
        return StoredMemory(
            origin=maker.origin,
            tokenizer=maker.tokenizer,
            prompt=maker.prompt,
            encoding=encoding,
            layers=layers,
            kv_heads=heads,
            head_dim=head_dim,
            files=files,
            open=opened,
            tail_ratio=state.tail_ratio,
            fixed_ratio=state.fixed_ratio,
            spans=[[span.message_id, span.start, span.end] for span in state.spans],
            seconds=round(seconds, 3),
        )
    except ValidationError as error:
        problem = error.errors()[0]
        raise InvalidInput(
            "state", f"cannot be stored: {problem['loc']} {problem['msg']}"
        ) from None


def _usable(folder: Path, maker: Maker) -> StoredState | None:
    """What lies in ``folder``, when it can be gone on from."""
    try:
        return open_state(folder, maker)
    except (StoreCorrupt, BeaconMismatch):
        return None  # it is about to be replaced


@dataclass(frozen=True, slots=True)
class _Loose:
    """A stored block that is to move into another file."""

    entry: StoredBlock
    tensors: Mapping[str, torch.Tensor]


def _divided(
    state: MemoryState, encoding: Encoding, before: StoredState | None
) -> tuple[list[StoredFile], list[_Loose], Sequence[Block]]:
    """(files to keep, stored blocks to write into other files, blocks to write)."""
    if before is None or before.memory.encoding != encoding:
        return [], [], state.blocks
    pairs = zip(before.memory.blocks, state.blocks, strict=False)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == described(pair[1]), pairs))
    kept: list[StoredFile] = []
    left = shared
    for file in before.memory.files:
        if len(file.blocks) > left:
            break
        kept.append(file)
        left -= len(file.blocks)
    new = state.blocks[shared:]
    small = sum(1 for _ in takewhile(lambda file: len(file.blocks) < FEWEST, reversed(kept)))
    if small >= FEWEST and new:
        left += sum(len(file.blocks) for file in kept[-small:])
        del kept[-small:]
    return kept, _loosened(before, len(kept), left), new


def _loosened(state: StoredState, first: int, count: int) -> list[_Loose]:
    """The first ``count`` blocks from the file number ``first`` on."""
    files = zip(state.memory.files[first:], state.files[first:], strict=True)
    places = ((file, n, entry) for held, file in files for n, entry in enumerate(held.blocks))
    return [
        _Loose(entry, {name: tensors(file, n)(name) for name in wanted(entry, state.memory)})
        for file, n, entry in islice(places, count)
    ]


def _write_blocks(
    folder: Path, loose: Sequence[_Loose], new: Sequence[Block], encoding: Encoding
) -> list[StoredFile]:
    files: list[StoredFile] = []
    count = len(loose) + len(new)
    for start in range(0, count, MOST):
        parts = [
            loose[n]
            if n < len(loose)
            else _Loose(described(new[n - len(loose)]), to_tensors(new[n - len(loose)], encoding))
            for n in range(start, min(start + MOST, count))
        ]
        data = serialized(
            {f"{n}.{name}": t for n, part in enumerate(parts) for name, t in part.tensors.items()}
        )
        sha256 = hashlib.sha256(data).hexdigest()
        file = StoredFile(sha256=sha256, bytes=len(data), blocks=[part.entry for part in parts])
        write_durably(folder / file.name, data)
        files.append(file)
    return files


def _write_open(folder: Path, state: MemoryState) -> StoredOpen:
    held = {"prefix_ids": state.prefix_ids, "tail_ids": state.tail_ids}
    for name, rows in (("sink", state.sink), ("tail", state.tail)):
        held |= {f"{name}.keys": rows.keys, f"{name}.values": rows.values}
    data = serialized(held)
    opened = StoredOpen.model_validate(
        {
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "dtype": str(state.tail.keys.dtype).removeprefix("torch."),
            "sink_rows": len(state.sink),
            "prefix_tokens": len(state.prefix_ids),
            "tail_rows": len(state.tail),
            "tail_tokens": len(state.tail_ids),
        }
    )
    write_durably(folder / opened.name, data)
    return opened


def sweep_folder(folder: Path, named: frozenset[str]) -> None:
    """Remove our files that are not ``named``: what a crash or an earlier save left."""
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        ours = is_unfinished(path) or any(path.match(pattern) for pattern in _OURS)
        if ours and path.name not in named:
            with suppress(OSError):  # what cannot go now goes after the next save
                path.unlink()
