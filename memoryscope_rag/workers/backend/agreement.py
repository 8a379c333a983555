"""How much of what a beacon memory covers is what the log begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memoryscope_rag.ports import MemoryStore
from memoryscope_rag.schema import Scope

LATE = 64
"""Among so many of the last messages one may turn up late: several writers of a cluster may make
one visible after another that has a higher ``seq``."""
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Agreement:
    """The first ``count`` covered messages are the first of the log; ``seq`` is of the last one."""

    count: int = 0
    seq: int = 0


async def agreement(store: MemoryStore, scope: Scope, covered: Sequence[str]) -> Agreement:
    """How far ``covered``, ids of messages in the order in which they were read, is the log.

    One rule for what was forgotten, for what turned up late and for another memory's files: what
    follows the first difference has to be read again. Where as many messages as are covered come
    before the last :data:`LATE`, nothing is missing among them, and only those are compared.

    Raises:
        StoreError: the store failed.
    """
    count, seq = 0, 0
    early = len(covered) - LATE
    if early > 0:
        last = await store.get_messages(scope, [covered[early - 1]])
        if last and await store.count(scope, last[0].seq) == early:
            count, seq = early, last[0].seq
    while count < len(covered):
        left = len(covered) - count
        page = await store.messages(scope, after=seq, limit=min(PAGE, left))
        for message in page:
            if message.id != covered[count]:
                return Agreement(count, seq)
            count, seq = count + 1, message.seq
        if not page:
            break
    return Agreement(count, seq)
