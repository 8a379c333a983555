"""A beacon memory that is made when somebody first asks for it: importing torch takes seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from memoryscope_rag.errors import ModelError
from memoryscope_rag.ports import Coverage, HistoryMemory
from memoryscope_rag.schema import Clue, ClueKind, Message, Scope


class LateMemory:
    """A :class:`~memoryscope_rag.ports.HistoryMemory` in place of the one that ``make`` gives.

    What ``make`` raises, every call raises. It belongs to one event loop.
    """

    def __init__(self, model: str, make: Callable[[], HistoryMemory]) -> None:
        self.model = model
        self._make = make
        self._made: asyncio.Future[HistoryMemory] | None = None
        self._closed = False

    async def coverage(self, scope: Scope) -> Coverage:
        return await (await self._memory()).coverage(scope)

    async def write(self, scope: Scope, messages: Sequence[Message], *, keep: int) -> Coverage:
        return await (await self._memory()).write(scope, messages, keep=keep)

    async def drop(self, scope: Scope) -> None:
        await (await self._memory()).drop(scope)

    async def clues(self, scope: Scope, query: str, kinds: Sequence[ClueKind]) -> tuple[Clue, ...]:
        return await (await self._memory()).clues(scope, query, kinds)

    async def attention(self, scope: Scope, query: str) -> Mapping[str, float]:
        return await (await self._memory()).attention(scope, query)

    async def close(self) -> None:
        """Close the memory if it was ever made; a second call does nothing."""
        self._closed = True
        made, self._made = self._made, None
        if made is not None:
            await asyncio.wait([made])
            if made.exception() is None:
                await made.result().close()

    async def _memory(self) -> HistoryMemory:
        if self._closed:
            raise ModelError("the beacon memory is closed")
        if self._made is None:
            self._made = asyncio.ensure_future(asyncio.to_thread(self._make))
        # who does not want to wait for it leaves it to the next one
        return await asyncio.shield(self._made)
