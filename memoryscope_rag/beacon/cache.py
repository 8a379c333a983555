"""The rotated copy of a memory that the model attends to. The only file that knows caches.

A :class:`Past` keeps what it is given from one call to the next: attaching a memory that begins
like the one attached before rotates and copies only the rest. Buffers are allocated ahead, so a
step writes its own rows and moves no others. Works with transformers 4.57 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from memoryscope_rag.beacon.rope import Rotation
from memoryscope_rag.beacon.state import Rows

_SPARE = 256
"""Rows that a buffer is allocated beyond what it holds, at least; else a quarter of it."""


class _Buffer(DynamicLayer):
    """Keys and values of one layer: the first ``length`` rows of what is allocated."""

    def __init__(self, heads: int, head_dim: int, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype, self.device = dtype, device
        self.is_initialized = True
        self._keys = torch.empty(1, heads, 0, head_dim, dtype=dtype, device=device)
        self._values = torch.empty_like(self._keys)
        self.length = 0
        self.cut(0)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append rows ``(1, heads, rows, head_dim)``; all rows."""
        start, end = self.length, self.length + key_states.shape[2]
        self.reserve(end)
        self._keys[:, :, start:end] = key_states
        self._values[:, :, start:end] = value_states
        return self.cut(end)

    def cut(self, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Let the first ``length`` rows be all, and return them."""
        self.length = length
        keys, values = self._keys[:, :, :length], self._values[:, :, :length]
        self.keys, self.values = keys, values
        return keys, values

    def reserve(self, rows: int) -> None:
        """Make room for ``rows`` in all."""
        if rows <= self._keys.shape[2]:
            return
        size = rows + max(_SPARE, rows // 4)
        for name, held in (("_keys", self._keys), ("_values", self._values)):
            wider = held.new_empty(1, held.shape[1], size, held.shape[3])
            wider[:, :, : self.length] = held[:, :, : self.length]
            setattr(self, name, wider)
        self.cut(self.length)


class Past:
    """Rows at the positions 0, 1, 2, …, ready for a model. For one thread at a time."""

    def __init__(self, model: Any, rotation: Rotation, *, heads: int, head_dim: int) -> None:
        self._rotation = rotation
        layers = model.config.get_text_config(decoder=True).num_hidden_layers
        self._layers = [_Buffer(heads, head_dim, model.dtype, model.device) for _ in range(layers)]
        self._parts: list[Rows] = []
        self.cache: Any = Cache(layers=list(self._layers))
        """What the model is called with; a call appends its rows."""

    def __len__(self) -> int:
        return self._layers[0].length

    def attach(self, parts: Sequence[Rows], *, reserve: int = 0) -> None:
        """Hold the rows of ``parts`` and no others, with room for ``reserve`` more."""
        same = shared(self._parts, parts)
        kept = sum(len(part) for part in self._parts[:same])
        del self._parts[same:]
        self.cut(kept)
        for layer in self._layers:
            layer.reserve(sum(len(part) for part in parts) + reserve)
        for part in parts[same:]:
            here = part.to(self._layers[0].device, self._layers[0].dtype)
            keys = self._rotation.rotate(here.keys, len(self))
            for number, layer in enumerate(self._layers):
                layer.update(keys[number : number + 1], here.values[number : number + 1])
            self._parts.append(part)

    def overlap(self, parts: Sequence[Rows]) -> int:
        """How many rows :meth:`attach` would find here already."""
        return sum(len(part) for part in parts[: shared(self._parts, parts)])

    def adopt(self, parts: Sequence[Rows]) -> None:
        """Take the rows that are held for those of ``parts``, which the model just computed."""
        if sum(len(part) for part in parts) != len(self):
            raise AssertionError("the rows that are held are not those of the parts")
        self._parts = list(parts)

    def cut(self, length: int) -> None:
        """Forget the rows from ``length`` on."""
        for layer in self._layers:
            layer.cut(length)

    def rows(self, start: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """(rotated keys, values) of the rows from ``start`` on, for each layer; not copied.

        Each ``(1, kv_heads, rows, head_dim)``; valid until the next change.
        """
        whole = [layer.cut(layer.length) for layer in self._layers]
        return [(keys[:, :, start:], values[:, :, start:]) for keys, values in whole]


def joint_cache(
    memories: Sequence[Sequence[Rows]], rotation: Rotation, dtype: torch.dtype
) -> tuple[Any, int]:
    """(a cache of several memories side by side, its rows): short ones are filled up with zeros.

    Each memory begins at position 0 and at the first row.
    """
    lengths = [sum(len(part) for part in parts) for parts in memories]
    cache: Any = DynamicCache()
    if not max(lengths):
        return cache, 0
    layers, heads, _, head_dim = next(part for parts in memories for part in parts).keys.shape
    shape = (layers, len(memories), heads, max(lengths), head_dim)
    keys = torch.zeros(shape, dtype=dtype, device=rotation.device)
    values = torch.zeros_like(keys)
    for number, parts in enumerate(memories):
        start = 0
        for part in parts:
            here, end = part.to(rotation.device, dtype), start + len(part)
            keys[:, number, :, start:end] = rotation.rotate(here.keys, start)
            values[:, number, :, start:end] = here.values
            start = end
    for layer in range(layers):
        cache.update(keys[layer], values[layer], layer)
    return cache, max(lengths)


def shared(held: Sequence[Rows], wanted: Sequence[Rows]) -> int:
    """How many parts at the beginning of the two are the very same."""
    same = 0
    for one, other in zip(held, wanted, strict=False):
        if one is not other:
            break
        same += 1
    return same
