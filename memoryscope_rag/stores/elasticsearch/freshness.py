"""Searches that see every write acknowledged before them, with few refreshes.

Elasticsearch searches what was there at the last refresh of an index, while reads by id see every
write. The generation of a scope is read by id, and every write of any process raises it after its
documents are in: so a generation that was seen before the last refresh means that nothing is
hidden, and only another one costs a refresh.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from memoryscope_rag.stores.elasticsearch.cluster import Cluster, Index

_WRITTEN: tuple[Index, ...] = ("messages", "nodes")
_REMEMBERED = 100_000
"""Scopes and indices whose state is remembered; one that is forgotten costs a refresh."""


class Freshness:
    """What the searches of this process are known to see."""

    def __init__(self, cluster: Cluster, *, eventual: bool) -> None:
        self._cluster = cluster
        self._eventual = eventual
        self._written: set[tuple[Index, str]] = set()
        self._seen: OrderedDict[tuple[Index, str], int] = OrderedDict()
        self._running: dict[Index, asyncio.Task[None]] = {}
        self._next: dict[Index, asyncio.Task[None]] = {}

    async def ensure(self, index: Index, scope: str, generation: int) -> None:
        """Let searches of ``index`` see the scope at ``generation``, which was read by id."""
        if self._eventual or self._seen.get((index, scope)) == generation:
            return
        await self.refresh(index)
        self._seen[index, scope] = generation
        self._seen.move_to_end((index, scope))
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    async def ensure_own(self, index: Index, scope: str) -> None:
        """Let searches of ``index`` see what this process has written to the scope."""
        if (index, scope) in self._written and not self._eventual:
            await self.refresh(index)

    def wrote(self, scope: str) -> None:
        """Note that this process has written to the scope."""
        for index in _WRITTEN:
            self._written.add((index, scope))
            self._seen.pop((index, scope), None)

    async def refresh(self, index: Index) -> None:
        """A refresh that begins after this call; callers that wait at the same time share one."""
        running = self._running.get(index)
        if running is None or running.done():
            task = self._running[index] = asyncio.ensure_future(self._refresh(index))
        else:  # it began before: what was written since may be missing from it
            waiting = self._next.get(index)
            if waiting is None or waiting.done() or waiting is running:
                waiting = self._next[index] = asyncio.ensure_future(self._after(running, index))
            task = waiting
        await asyncio.shield(task)

    async def _after(self, running: asyncio.Task[None], index: Index) -> None:
        await asyncio.wait([running])
        self._running[index] = self._next[index]
        await self._refresh(index)

    async def _refresh(self, index: Index) -> None:
        covered = {entry for entry in self._written if entry[0] == index}
        self._written -= covered
        try:
            await self._cluster.refresh(index)
        except BaseException:
            self._written |= covered
            raise
