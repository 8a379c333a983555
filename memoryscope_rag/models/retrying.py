"""Trying again what may succeed the next time, for every kind of model."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import tenacity

from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.models.streams import ended
from memoryscope_rag.ports import (
    ChatMessage,
    Delta,
    Embedder,
    EmbedderSpec,
    FloatArray,
    Generator,
    JsonSchema,
    Reply,
    Reranker,
    Sampling,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long. All times in seconds.

    Waits grow from ``first_wait_s`` by doubling up to ``longest_wait_s``, each drawn at random
    from its upper half; a server that says how long to wait is believed. ``deadline_s`` bounds
    everything together, attempts and waits: an attempt under way is given up, and a wait that
    would end later is not begun.
    """

    attempts: int = 4
    deadline_s: float = 180.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise InvalidInput("attempts", f"is {self.attempts}, the least is 1")
        if self.deadline_s <= 0:
            raise InvalidInput("deadline_s", f"is {self.deadline_s}, must be positive")

    def wait(self, state: tenacity.RetryCallState) -> float:
        """Seconds before the next attempt."""
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after if isinstance(error, ModelError) else None
        if asked is not None:
            return asked * (1 + random.random() / 10)
        doubled = self.first_wait_s * 2.0 ** min(state.attempt_number - 1, 30)
        return float(min(doubled, self.longest_wait_s) * (0.5 + random.random() / 2))

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of the first attempt that succeeds, else the last attempt's error.

        Raises:
            ModelError: of the last attempt; one that is not retryable is the last.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.deadline_s

        async def attempt() -> T:
            try:
                async with asyncio.timeout_at(end) as limit:
                    return await call()
            except TimeoutError as error:
                if not limit.expired():
                    raise
                raise ModelError(
                    f"no answer within {self.deadline_s:g} s, all attempts together",
                    retryable=True,
                ) from error

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_is_retryable),
            stop=tenacity.stop_after_attempt(self.attempts)
            | tenacity.stop_before_delay(self.deadline_s),
            wait=self.wait,
            reraise=True,
        )
        return await retrying(attempt)


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, ModelError) and error.retryable


class RetryingGenerator:
    """A generator around another that tries again what is worth it.

    A stream is tried again only while nothing of it was given out.
    """

    def __init__(self, inner: Generator, policy: RetryPolicy = RetryPolicy()) -> None:
        self._inner = inner
        self._policy = policy

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
        """The inner generator's reply."""
        return await self._policy.run(
            lambda: self._inner.generate(messages, sampling=sampling, schema=schema)
        )

    async def stream(
        self, messages: Sequence[ChatMessage], *, sampling: Sampling = Sampling()
    ) -> AsyncGenerator[Delta]:
        """The inner generator's pieces."""

        async def begin() -> tuple[AsyncIterator[Delta], Delta]:
            stream = self._inner.stream(messages, sampling=sampling)
            try:
                return stream, await anext(stream)
            except BaseException:
                await ended(stream)
                raise

        stream, delta = await self._policy.run(begin)
        try:
            yield delta
            async for delta in stream:
                yield delta
        finally:
            await ended(stream)

    async def close(self) -> None:
        """Close the inner generator."""
        await self._inner.close()


class RetryingEmbedder:
    """An embedder around another that tries again what is worth it."""

    def __init__(self, inner: Embedder, policy: RetryPolicy = RetryPolicy()) -> None:
        self._inner = inner
        self._policy = policy

    @property
    def spec(self) -> EmbedderSpec:
        """The inner embedder's."""
        return self._inner.spec

    async def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> FloatArray:
        """The inner embedder's vectors."""
        return await self._policy.run(lambda: self._inner.embed(texts, kind))

    def pieces(self, text: str) -> tuple[tuple[int, int], ...]:
        """The inner embedder's."""
        return self._inner.pieces(text)

    def close(self) -> None:
        """Close the inner embedder."""
        self._inner.close()


class RetryingReranker:
    """A reranker around another that tries again what is worth it."""

    def __init__(self, inner: Reranker, policy: RetryPolicy = RetryPolicy()) -> None:
        self._inner = inner
        self._policy = policy

    async def rerank(self, query: str, texts: Sequence[str]) -> FloatArray:
        """The inner reranker's scores."""
        return await self._policy.run(lambda: self._inner.rerank(query, texts))

    def close(self) -> None:
        """Close the inner reranker, if it can be closed."""
        close = getattr(self._inner, "close", None)
        if close is not None:
            close()
