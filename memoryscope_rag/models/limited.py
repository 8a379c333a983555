"""No more than so many calls of a chat model at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.models.streams import ended
from memoryscope_rag.ports import ChatMessage, Delta, Generator, JsonSchema, Reply, Sampling


class LimitedGenerator:
    """A generator around another with at most ``concurrency`` calls under way, first come first.

    A stream holds its place until it ends or is closed. (Embedders and rerankers that ask a
    server have as many threads as they may have requests.)
    """

    def __init__(self, inner: Generator, concurrency: int) -> None:
        if concurrency < 1:
            raise InvalidInput("concurrency", f"is {concurrency}, the least is 1")
        self._inner = inner
        self._places = asyncio.Semaphore(concurrency)

    @property
    def model(self) -> str:
        """The inner generator's."""
        return self._inner.model

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: Sampling = Sampling(),
        schema: JsonSchema | None = None,
    ) -> Reply:
        """The inner generator's reply, once there is a place."""
        async with self._places:
            return await self._inner.generate(messages, sampling=sampling, schema=schema)

    async def stream(
        self, messages: Sequence[ChatMessage], *, sampling: Sampling = Sampling()
    ) -> AsyncGenerator[Delta]:
        """The inner generator's pieces, once there is a place."""
        async with self._places:
            stream = self._inner.stream(messages, sampling=sampling)
            try:
                async for delta in stream:
                    yield delta
            finally:
                await ended(stream)

    async def close(self) -> None:
        """Close the inner generator."""
        await self._inner.close()
