"""What chat models behind a server have in common: deadlines, streams, the way down the ladder."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from memoryscope_rag.errors import ModelError
from memoryscope_rag.models.assembly import Piece, assembled, whole
from memoryscope_rag.models.failures import Asked, Failure
from memoryscope_rag.models.ladder import Ladder, Rung, response_format, with_schema
from memoryscope_rag.models.sendable import sendable
from memoryscope_rag.ports import ChatMessage, Delta, JsonSchema, Reply, Sampling


class Server(Protocol):
    """Where requests go."""

    @property
    def base_url(self) -> str: ...

    @property
    def asked(self) -> Asked: ...

    def told(self) -> AbstractContextManager[None]:
        """The SDK's errors, and answers that cannot be read, as ModelError."""
        ...


class RemoteGenerator(ABC):
    """A :class:`~memoryscope_rag.ports.Generator` that asks a server.

    One request a call and no retries; wrap it in :class:`~.retrying.RetryingGenerator`. For one
    event loop, that of the first request.

    Args:
        first: the way to ask for JSON that is tried at first.
        timeout_s: for the whole of a reply; in a stream, for the wait between two pieces.
        ladder: what is known of the servers' ways to give JSON; shared by an application.
    """

    _refusals: tuple[type[Exception], ...]
    """What the SDK raises when a server does not accept the request itself."""

    def __init__(
        self,
        model: str,
        server: Server,
        first: Rung,
        *,
        timeout_s: float,
        ladder: Ladder | None,
    ) -> None:
        self._model = model
        self._asking = server
        self._first = first
        self._timeout_s = timeout_s
        self._ladder = ladder or Ladder()
        self._closed = False

    @property
    def model(self) -> str:
        """The name that is sent; for Azure that of the deployment."""
        return self._model

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: Sampling = Sampling(),
        schema: JsonSchema | None = None,
    ) -> Reply:
        """See :class:`~memoryscope_rag.ports.Generator`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._send(messages, sampling, schema, stream=False)
        except TimeoutError:
            raise Failure("timeout").error(self._asking.asked) from None
        with self._asking.told():
            message = answer.choices[0].message
            if message is None:
                raise TypeError("no message")
            return whole(self._piece(answer, message), self._asking.asked)

    def stream(
        self, messages: Sequence[ChatMessage], *, sampling: Sampling = Sampling()
    ) -> AsyncGenerator[Delta]:
        """See :class:`~memoryscope_rag.ports.Generator`. Reasoning comes with the last piece."""
        return assembled(self._pieces(messages, sampling), self._asking.asked)

    async def close(self) -> None:
        """Close the connections; a second call does nothing."""
        self._closed = True
        await self._close()

    @abstractmethod
    async def _request(
        self,
        messages: list[dict[str, str]],
        sampling: Sampling,
        wanted: dict[str, Any] | None,
        *,
        stream: bool,
    ) -> Any:
        """Send one request, ``wanted`` being its ``response_format``; raises the SDK's errors."""

    @abstractmethod
    def _piece(self, answer: Any, message: Any) -> Piece:
        """What an answer or an event of a stream says; raises what another shape raises."""

    @abstractmethod
    def _failure(self, error: Any) -> Failure:
        """What one of the refusals means."""

    @abstractmethod
    async def _close_stream(self, source: Any) -> None: ...

    @abstractmethod
    async def _close(self) -> None: ...

    async def _pieces(
        self, messages: Sequence[ChatMessage], sampling: Sampling
    ) -> AsyncGenerator[Piece]:
        source = await self._send(messages, sampling, None, stream=True)
        chunks = aiter(source)
        try:
            while True:
                with self._asking.told():
                    chunk = await anext(chunks, None)
                    if chunk is None:
                        return
                    # one that brings the usage alone has no choices
                    piece = self._piece(chunk, chunk.choices[0].delta if chunk.choices else None)
                yield piece
        finally:
            await self._close_stream(source)
            await chunks.aclose()

    async def _send(
        self,
        messages: Sequence[ChatMessage],
        sampling: Sampling,
        schema: JsonSchema | None,
        *,
        stream: bool,
    ) -> Any:
        if self._closed:
            raise ModelError(f"the model {self._model!r} is closed")
        url = self._asking.base_url
        while True:
            told, wanted, rung = messages, None, None
            if schema is not None:
                rung = self._ladder.rung(url, self._model, schema, self._first)
                wanted = response_format(rung, schema)
                if rung != "json_schema":
                    told = with_schema(messages, schema)
            sent = [{"role": one.role, "content": sendable(one.content)} for one in told]
            with self._asking.told():
                try:
                    return await self._request(sent, sampling, wanted, stream=stream)
                except self._refusals as error:
                    failure = self._failure(error)
                    if schema is None or rung is None or not failure.refused:
                        raise
                    if not self._ladder.refused(url, self._model, schema, rung, failure.detail):
                        raise
