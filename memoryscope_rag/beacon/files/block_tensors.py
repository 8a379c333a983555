"""A block as tensors of a file, and back.

Where layer 0 holds one row throughout, as it does for beacons, that row is stored once, as it is:
``first.keys`` and ``first.values``; the other tensors then begin with layer 1.

The first rows of a history have keys unlike all others, being what attention rests on (attention
sinks, arXiv 2309.17453). They would stretch the scales of their groups, and every query would feel
an error in them. So where keys become integers, these are stored as they are: ``sink.keys``
(KVQuant, arXiv 2401.18079, does so for the first token).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import NamedTuple

import torch

from memoryscope_rag.beacon.files.manifest import StoredBlock, StoredMemory
from memoryscope_rag.beacon.files.quantize import Encoding, Shapes, decode, encode, is_exact, shapes
from memoryscope_rag.beacon.state import Block, Rows

_PARTS = ("keys", "values")
_SINKS = 4
"""Rows at the begin of a history whose keys stay as they are."""

_ENTRY = 85
"""Bytes of the header of a file that a tensor takes: name, type, shape, place."""


def described(block: Block) -> StoredBlock:
    """What the manifest says of ``block``."""
    return StoredBlock(
        rows=len(block.rows),
        tokens=block.tokens,
        start=block.start,
        ratio=block.ratio,
        compressor=block.compressor,
        digest=block.digest,
        repeats=block.repeats and len(block.rows) > 0,
        sources=block.sources is not None,
    )


def to_tensors(block: Block, encoding: Encoding) -> dict[str, torch.Tensor]:
    """The tensors to be stored. Raises InvalidInput where a value is not finite."""
    tensors = {"ids": block.ids}
    if block.sources is not None:
        tensors["sources"] = block.sources
    rows = block.rows
    if described(block).repeats:
        dtype = torch.bfloat16 if encoding == "bf16" else torch.float32
        tensors["first.keys"] = rows.keys[0, :, 0].to(dtype)
        tensors["first.values"] = rows.values[0, :, 0].to(dtype)
        rows = Rows(rows.keys[1:], rows.values[1:])
    sinks = _sinks(described(block), encoding)
    if sinks:
        tensors["sink.keys"] = rows.keys[:, :, :sinks].float()
        keys = rows.keys.clone()
        keys[:, :, :sinks] = keys[:, :, sinks : sinks + 1]
        rows = Rows(keys, rows.values)
    return tensors | encode(rows, encoding)


class Form(NamedTuple):
    """What a block's tensors depend on beside the block."""

    layers: int
    kv_heads: int
    head_dim: int
    encoding: Encoding


def stored_bytes(block: Block, encoding: Encoding) -> int:
    """Bytes of a block in a file, about; the header's share is not known to the byte."""
    layers, heads, _, head_dim = block.rows.keys.shape
    shapes = wanted(described(block), Form(layers, heads, head_dim, encoding))
    return sum(_ENTRY + dtype.itemsize * prod(shape) for dtype, shape in shapes.values())


def wanted(stored: StoredBlock, memory: StoredMemory | Form) -> Shapes:
    """The type and shape of every tensor that :func:`to_tensors` makes of such a block."""
    layers, heads, head_dim = memory.layers, memory.kv_heads, memory.head_dim
    found: Shapes = {"ids": (torch.int32, (stored.tokens,))}
    if stored.sources:
        found["sources"] = (torch.int32, (layers, heads, stored.rows))
    if stored.repeats:
        dtype = torch.bfloat16 if memory.encoding == "bf16" else torch.float32
        found |= {f"first.{part}": (dtype, (heads, head_dim)) for part in _PARTS}
        layers -= 1
    sinks = _sinks(stored, memory.encoding)
    if sinks:
        found["sink.keys"] = (torch.float32, (layers, heads, sinks, head_dim))
    return found | shapes(layers, heads, stored.rows, head_dim, memory.encoding)


def to_block(
    stored: StoredBlock,
    memory: StoredMemory,
    tensor: Callable[[str], torch.Tensor],
    dtype: torch.dtype,
    device: torch.device | str,
) -> Block:
    """The block whose tensors :func:`to_tensors` made; ``tensor`` gives them by name.

    Its tokens stay on the CPU, as an engine has them.
    """
    names = wanted(stored, memory).keys() - {"ids", "sources"}
    tensors = {name: tensor(name) for name in names}
    rows = decode(tensors, memory.encoding, dtype, device)
    sinks = _sinks(stored, memory.encoding)
    if sinks:
        rows.keys[:, :, :sinks] = tensors["sink.keys"].to(device, dtype)
    if stored.repeats:
        firsts = [tensors[f"first.{part}"].to(device, dtype) for part in _PARTS]
        whole = [
            torch.cat([first[None, :, None].expand(1, -1, stored.rows, -1), rest])
            for first, rest in zip(firsts, (rows.keys, rows.values), strict=True)
        ]
        rows = Rows(whole[0], whole[1])
    return Block(
        rows=rows,
        ids=tensor("ids"),
        start=stored.start,
        ratio=stored.ratio,
        compressor=stored.compressor,
        digest=stored.digest,
        repeats=stored.repeats,
        sources=tensor("sources").to(device) if stored.sources else None,
    )


def _sinks(stored: StoredBlock, encoding: Encoding) -> int:
    """How many first rows have their keys stored as they are."""
    whole = stored.start > 0 or stored.rows <= _SINKS or is_exact(encoding, torch.bfloat16)
    return 0 if whole else _SINKS
