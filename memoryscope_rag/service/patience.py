"""How long the service waits for a client: for a request's head, its body, its reading on."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol


class Patience:
    """The ASGI layer that gives a body ``seconds`` to arrive; a late one is answered with 408."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app, self._seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See :class:`Patience`."""
        end = asyncio.get_running_loop().time() + self._seconds
        whole = False

        async def receiving() -> Message:
            nonlocal whole
            if whole:  # only a disconnect can come now, and may take its time
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, headers={"Connection": "close"}) from None
            whole = not message.get("more_body", False)
            return message

        await self._app(scope, receiving if scope["type"] == "http" else receive, send)


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which lets go of clients that keep it waiting.

    That is, where no head of a request arrives within ``head_s`` seconds, or nothing of an answer
    is read for ``read_s``: without this either would be waited for as long as it likes, the second
    with the answer in memory.
    """

    def __init__(self, head_s: float, read_s: float, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_s, self._read_s = head_s, read_s
        self._late: asyncio.TimerHandle | None = None
        self._deaf: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Stop waiting when a head is there; begin when a further one has begun."""
        super().data_received(data)
        self._await_head()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        if self._deaf is None:
            self._await_reading()

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._deaf = _cancelled(self._deaf)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._late, self._deaf = _cancelled(self._late), _cancelled(self._deaf)
        super().connection_lost(exc)

    @property
    def _between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        if not self._between_requests:
            self._late = _cancelled(self._late)
        elif self._late is None:
            self._late = self.loop.call_later(self._head_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._late = None
        if self._between_requests:
            self.transport.close()

    def _await_reading(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._deaf = self.loop.call_later(self._read_s, self._look_at_reading, unread)

    def _look_at_reading(self, unread: int) -> None:
        if self.transport.get_write_buffer_size() < unread:
            self._await_reading()
        else:
            self.transport.abort()


def _cancelled(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None
