"""A memory that lies in a folder: opened, checked, and loaded when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from memoryscope_rag.beacon.files.block_tensors import to_block, wanted
from memoryscope_rag.beacon.files.maker import Maker
from memoryscope_rag.beacon.files.manifest import (
    DTYPES,
    REMEDY,
    StoredFile,
    StoredMemory,
    check_maker,
    read_head,
    read_manifest,
)
from memoryscope_rag.beacon.files.mapped import MappedFile
from memoryscope_rag.beacon.files.quantize import Shapes
from memoryscope_rag.beacon.state import Block, MemoryState, Rows, chained
from memoryscope_rag.errors import StoreCorrupt

Tensors = Callable[[str], torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class StoredState:
    """One generation of a memory on disk, checked and mapped; nothing of it is decoded yet.

    It can be read after later generations replaced it and after its files were removed.

    Attributes:
        head: the beginning of its manifest.
        generation: how often the memory was saved.
        memory: what the manifest says.
        files: those of the blocks, in order.
        open_file: the one of what may still change.
    """

    folder: Path
    head: bytes
    generation: int
    memory: StoredMemory
    files: tuple[MappedFile, ...]
    open_file: MappedFile

    @property
    def nbytes(self) -> int:
        """Bytes of its files."""
        return self.memory.nbytes

    def load(
        self,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        known: MemoryState | None = None,
    ) -> MemoryState:
        """The memory. What needs no decoding stays in the mapped pages.

        Args:
            dtype: of the rows; the one that they had when they were saved by default.
            known: an earlier generation; blocks that it has already are taken from it.
        """
        opened, tensor = self.memory.open, self.open_file.tensor
        dtype = DTYPES[opened.dtype] if dtype is None else dtype

        def rows(name: str) -> Rows:
            return Rows(tensor(f"{name}.keys"), tensor(f"{name}.values")).to(device, dtype)

        return MemoryState(
            origin=self.memory.origin,
            sink=rows("sink"),
            prefix_ids=tensor("prefix_ids"),
            blocks=self.blocks(device, dtype, known),
            tail=rows("tail"),
            tail_ids=tensor("tail_ids"),
            tail_ratio=self.memory.tail_ratio,
            fixed_ratio=self.memory.fixed_ratio,
            spans=self.memory.state_spans(),
        )

    def blocks(
        self, device: torch.device | str, dtype: torch.dtype, known: MemoryState | None = None
    ) -> tuple[Block, ...]:
        """The blocks alone; see :meth:`load`."""
        have = {} if known is None else {block.digest: block for block in known.blocks}
        found: list[Block] = []
        for stored, file in zip(self.memory.files, self.files, strict=True):
            for number, entry in enumerate(stored.blocks):
                block = have.get(entry.digest)
                if block is None:
                    block = to_block(entry, self.memory, tensors(file, number), dtype, device)
                found.append(block)
        return tuple(found)


def open_state(folder: Path, maker: Maker, before: StoredState | None = None) -> StoredState | None:
    """The memory in ``folder`` as it is now; ``None`` where there is none.

    Args:
        before: an earlier generation, whose files need not be checked again.

    Raises:
        BeaconMismatch: another model, tokenizer or prompt made it.
        SchemaTooNew: a later version of this package wrote it.
        StoreCorrupt: a file is damaged, cut, missing, or not the one that was saved.
    """
    checked = {} if before is None else {file.sha256: file for file in _all_files(before)}
    while True:
        found = read_manifest(folder)
        if found is None:
            return None
        head, generation, memory = found
        check_maker(folder, memory, maker)
        try:
            files = tuple(
                checked.get(file.sha256) or _map(folder, file, memory) for file in memory.files
            )
            open_file = checked.get(memory.open.sha256) or _map_open(folder, memory)
        except FileNotFoundError as error:
            if read_head(folder) != head:
                continue  # a writer was faster
            raise StoreCorrupt(
                f"{error.filename} is missing; {folder} is of no use: {REMEDY}"
            ) from error
        state = StoredState(folder, head, generation, memory, files, open_file)
        _check_chain(state)
        return state


def _all_files(state: StoredState) -> tuple[MappedFile, ...]:
    return (*state.files, state.open_file)


def _map(folder: Path, file: StoredFile, memory: StoredMemory) -> MappedFile:
    shapes = {
        f"{number}.{name}": shape
        for number, block in enumerate(file.blocks)
        for name, shape in wanted(block, memory).items()
    }
    return MappedFile.open(folder / file.name, file.sha256, file.bytes, shapes)


def _map_open(folder: Path, memory: StoredMemory) -> MappedFile:
    opened = memory.open
    shapes: Shapes = {
        "prefix_ids": (torch.int32, (opened.prefix_tokens,)),
        "tail_ids": (torch.int32, (opened.tail_tokens,)),
    }
    for name, rows in (("sink", opened.sink_rows), ("tail", opened.tail_rows)):
        shape = (memory.layers, memory.kv_heads, rows, memory.head_dim)
        shapes |= {f"{name}.{part}": (DTYPES[opened.dtype], shape) for part in ("keys", "values")}
    return MappedFile.open(folder / opened.name, opened.sha256, opened.bytes, shapes)


def _check_chain(state: StoredState) -> None:
    """Raises StoreCorrupt when a block is not the one that followed those before it."""
    digest = chained(state.memory.origin, state.open_file.tensor("prefix_ids"), 0, "prefix")
    for stored, file in zip(state.memory.files, state.files, strict=True):
        for number, block in enumerate(stored.blocks):
            ids = tensors(file, number)("ids")
            digest = chained(digest, ids, block.ratio, block.compressor)
            if digest != block.digest:
                raise StoreCorrupt(
                    f"{file.path}: block {number} does not follow the one before it; "
                    f"{state.folder} is of no use: {REMEDY}"
                )


def tensors(file: MappedFile, number: int) -> Tensors:
    """Gives the tensors of the block ``number`` of a file by name."""
    return lambda name: file.tensor(f"{number}.{name}")
