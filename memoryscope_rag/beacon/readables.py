"""Sessions made ready for questions, kept within a budget.

The least recently asked go first, but for those of the scope that is being asked: a question goes
to all of its sessions in turn, so each would make room for the next and none would be there again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from memoryscope_rag.beacon.read_attention import Readable
from memoryscope_rag.schema import Scope

Key = tuple[Scope, str]
"""A scope and one of its parts."""


class Readables:
    """What was made ready of each session, and of which generation. For any thread.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._held: OrderedDict[Key, tuple[bytes, Readable]] = OrderedDict()
        self.nbytes = 0

    def get(self, key: Key, head: bytes) -> Readable | None:
        """What is held of the generation ``head``."""
        with self._lock:
            found = self._held.get(key)
            if found is None or found[0] != head:
                return None
            self._held.move_to_end(key)
            return found[1]

    def put(self, key: Key, head: bytes, readable: Readable) -> None:
        """Hold this in place of what was; other scopes', or this, go where it is too much."""
        with self._lock:
            self._drop(key)
            self._held[key] = (head, readable)
            self.nbytes += _size(readable)
            while self.nbytes > self._limit:
                self._drop(next((one for one in self._held if one[0] != key[0]), key))

    def drop(self, scope: Scope) -> None:
        """Hold nothing of ``scope`` any more."""
        with self._lock:
            for key in [key for key in self._held if key[0] == scope]:
                self._drop(key)

    def _drop(self, key: Key) -> None:
        found = self._held.pop(key, None)
        if found is not None:
            self.nbytes -= _size(found[1])


def _size(readable: Readable) -> int:
    tensors = (readable.keys, readable.values, readable.owners, readable.unasked)
    return sum(tensor.nbytes for tensor in tensors)
