"""Memories at hand, least recently used out first: decoded on the device, mapped on the host."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

from memoryscope_rag.beacon.files.stored_state import StoredState
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.schema import Scope

Key = tuple[Scope, str]
"""A scope, and which of its memories."""


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """One generation of a memory, as far as it is at hand.

    Attributes:
        head: names the generation.
        stored: its files, mapped and checked.
        state: decoded.
    """

    head: bytes
    stored: StoredState | None
    state: MemoryState | None


class Tiers:
    """What is held of each memory, within two limits in bytes. For any thread.

    Mapped files are pages that the system may drop and read again; a memory on the CPU that
    needed no decoding shares them with its state, and counts in both.
    """

    def __init__(self, device_bytes: int, host_bytes: int) -> None:
        self._limits = (device_bytes, host_bytes)
        self._lock = threading.Lock()
        self._held: OrderedDict[Key, Held] = OrderedDict()
        self._sizes = [0, 0]

    @property
    def nbytes(self) -> tuple[int, int]:
        """Bytes of decoded memories, and of mapped files."""
        with self._lock:
            return self._sizes[0], self._sizes[1]

    def get(self, key: Key) -> Held | None:
        """What is held of ``key``, which is now the one used last."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: Key, held: Held) -> None:
        """Hold this of ``key`` in place of what was; others, or this, go where it is too much."""
        with self._lock:
            self._drop(key)
            self._held[key] = held
            self._count(held, 1)
            for tier, limit in enumerate(self._limits):
                for other in list(self._held):
                    if self._sizes[tier] <= limit:
                        break
                    self._held[other] = self._without(self._held[other], tier)
                    if self._held[other].state is None and self._held[other].stored is None:
                        del self._held[other]

    def drop(self, key: Key) -> None:
        """Hold nothing of ``key`` any more."""
        with self._lock:
            self._drop(key)

    def drop_scope(self, scope: Scope) -> None:
        """Hold nothing of ``scope`` any more."""
        with self._lock:
            for key in [key for key in self._held if key[0] == scope]:
                self._drop(key)

    def clear(self) -> None:
        """Hold nothing."""
        with self._lock:
            self._held.clear()
            self._sizes = [0, 0]

    def _drop(self, key: Key) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self._count(held, -1)

    def _without(self, held: Held, tier: int) -> Held:
        left = replace(held, stored=None) if tier else replace(held, state=None)
        self._count(held, -1)
        self._count(left, 1)
        return left

    def _count(self, held: Held, sign: int) -> None:
        self._sizes[0] += sign * (0 if held.state is None else held_bytes(held.state))
        self._sizes[1] += sign * (0 if held.stored is None else held.stored.nbytes)


def held_bytes(state: MemoryState) -> int:
    """Bytes of memory that the tensors of ``state`` take; on disk some rows are stored once."""
    tensors = [state.prefix_ids, state.tail_ids]
    for part in (state.sink, *(block.rows for block in state.blocks), state.tail):
        tensors += [part.keys, part.values]
    for block in state.blocks:
        tensors += [block.ids] if block.sources is None else [block.ids, block.sources]
    return sum(tensor.nbytes for tensor in tensors)
