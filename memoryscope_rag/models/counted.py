"""A generator that counts: calls, and tokens as far as the server tells them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from memoryscope_rag.ports import ChatMessage, Delta, Generator, JsonSchema, Reply, Sampling, Usage


class CountedGenerator:
    """Another generator, seen through a counter; make one for each run that is to be counted.

    ``calls`` counts what was asked, failures included; ``usage`` adds up what was answered.
    """

    def __init__(self, inner: Generator) -> None:
        self._inner = inner
        self.calls = 0
        self.usage = Usage()

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
        """As the inner generator."""
        self.calls += 1
        reply = await self._inner.generate(messages, sampling=sampling, schema=schema)
        self.usage += reply.usage
        return reply

    async def stream(
        self, messages: Sequence[ChatMessage], *, sampling: Sampling = Sampling()
    ) -> AsyncIterator[Delta]:
        """As the inner generator."""
        self.calls += 1
        async for delta in self._inner.stream(messages, sampling=sampling):
            if delta.reply is not None:
                self.usage += delta.reply.usage
            yield delta

    async def close(self) -> None:
        """Nothing: the inner generator belongs to whoever made it."""
