"""The sampling that the settings name, where a caller leaves it open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from memoryscope_rag.ports import ChatMessage, Delta, Generator, JsonSchema, Reply, Sampling


class SampledGenerator:
    """A generator around another that fills in what a call's sampling does not say."""

    def __init__(self, inner: Generator, defaults: Sampling) -> None:
        self._inner = inner
        self._defaults = defaults

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
        return await self._inner.generate(messages, sampling=self._filled(sampling), schema=schema)

    def stream(
        self, messages: Sequence[ChatMessage], *, sampling: Sampling = Sampling()
    ) -> AsyncIterator[Delta]:
        """The inner generator's pieces."""
        return self._inner.stream(messages, sampling=self._filled(sampling))

    async def close(self) -> None:
        """Close the inner generator."""
        await self._inner.close()

    def _filled(self, given: Sampling) -> Sampling:
        ours = self._defaults
        return Sampling(
            ours.temperature if given.temperature is None else given.temperature,
            ours.top_p if given.top_p is None else given.top_p,
            ours.max_tokens if given.max_tokens is None else given.max_tokens,
            given.stop or ours.stop,
            ours.seed if given.seed is None else given.seed,
        )
