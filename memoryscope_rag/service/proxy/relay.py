"""An answer on its way from an upstream to a client: every byte as it came, none held back.

One task reads the upstream from beginning to end. A client that leaves does not end it: the answer
is read on for a bounded time, so that the log has it whole. One that reads slowly slows it down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from memoryscope_rag.errors import ModelError
from memoryscope_rag.service.proxy.tasks import Tasks
from memoryscope_rag.service.proxy.upstream import Answered

_log = logging.getLogger(__name__)

AHEAD = 256
"""Pieces of an answer that may wait for their client."""


class Relay:
    """One streamed answer.

    ``heard`` is given every piece. ``ended`` is awaited before the client sees the end, and told
    whether the answer broke off. Once the client is gone the rest is read for ``finish_s`` seconds
    at most.
    """

    def __init__(
        self,
        answered: Answered,
        tasks: Tasks,
        *,
        heard: Callable[[bytes], None],
        ended: Callable[[bool], Awaitable[None]],
        finish_s: float,
    ) -> None:
        self.broken = False
        self._answered, self._heard, self._ended = answered, heard, ended
        self._finish_s = finish_s
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(AHEAD)
        self._gone = False
        self._limit: asyncio.Timeout | None = None
        tasks.begin(self._read())

    async def pieces(self) -> AsyncIterator[bytes]:
        """What the client is sent; ``broken`` says afterwards whether it broke off."""
        while (piece := await self._waiting.get()) is not None:
            yield piece

    def leave(self) -> None:
        """The client is gone, or has all of it."""
        self._gone = True
        while not self._waiting.empty():
            self._waiting.get_nowait()  # who waits to put something in there goes on
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + self._finish_s)

    async def _read(self) -> None:
        pieces = self._answered.pieces
        try:
            async with asyncio.timeout(None) as self._limit:
                if self._gone:
                    self.leave()
                async for piece in pieces:
                    self._heard(piece)
                    await self._put(piece)
        except TimeoutError:
            self.broken = True
        except ModelError as error:
            self.broken = True
            _log.warning("an answer broke off: %s", error)
        finally:
            self._limit = None
            await pieces.aclose()
        await self._ended(self.broken)
        await self._put(None)

    async def _put(self, piece: bytes | None) -> None:
        if not self._gone:
            await self._waiting.put(piece)


class Relayed(StreamingResponse):
    """The answer that a :class:`Relay` brings, with the upstream's status and headers."""

    def __init__(self, relay: Relay, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        super().__init__(relay.pieces(), status)
        self.raw_headers = headers
        self._relay = relay

    async def stream_response(self, send: Send) -> None:
        """Send it. One that broke off is left without an end, for the client to notice."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        async for piece in self.body_iterator:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if not self._relay.broken:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See :class:`Relayed`."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._relay.leave()
