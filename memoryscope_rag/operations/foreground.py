"""Work behind the chat stands back while somebody waits for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Literal

import numpy as np

from memoryscope_rag.ports import Embedder, EmbedderSpec, FloatArray

PATIENCE = 0.5
"""Seconds that background work stands back at most, so that many questions do not starve it."""


class Foreground:
    """A context manager around everything that somebody waits for; belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    def __enter__(self) -> None:
        self._waiting += 1
        self._quiet.clear()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._quiet.set()

    async def stand_back(self) -> None:
        """Return when nobody waits, after :data:`PATIENCE` in any case."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._quiet.wait()


class BackgroundEmbedder:
    """An embedder that makes the vectors of documents one by one, between answers.

    It owns nothing: closing it is up to whoever made the inner one.
    """

    def __init__(self, inner: Embedder, foreground: Foreground) -> None:
        self._inner = inner
        self._foreground = foreground

    @property
    def spec(self) -> EmbedderSpec:
        """The inner embedder's."""
        return self._inner.spec

    async def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> FloatArray:
        """As the inner embedder."""
        if kind == "query" or not texts:
            return await self._inner.embed(texts, kind)
        # a text that stands twice (a fact is its own context) is embedded once
        rows: dict[str, FloatArray] = {}
        for text in dict.fromkeys(texts):
            await self._foreground.stand_back()
            rows[text] = (await self._inner.embed([text], kind))[0]
        return np.stack([rows[text] for text in texts])

    def pieces(self, text: str) -> tuple[tuple[int, int], ...]:
        """The inner embedder's."""
        return self._inner.pieces(text)

    def close(self) -> None:
        """Nothing to close."""
