"""Background embedding waits while somebody waits for an answer, but not for ever."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from memoryscope_rag.operations import foreground
from memoryscope_rag.operations.foreground import BackgroundEmbedder, Foreground
from memoryscope_rag.testing.fakes import HashEmbedder


def test_k4_documents_stand_back_while_somebody_waits() -> None:
    async def check() -> None:
        front, inner = Foreground(), HashEmbedder()
        behind = BackgroundEmbedder(inner, front)
        with front:
            work = asyncio.create_task(behind.embed(["a", "b", "a"], "document"))
            await behind.embed(["who?"], "query")
            with front:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            assert [kind for kind, _ in inner.calls] == ["query"]
        vectors = await work
        assert [texts for kind, texts in inner.calls if kind == "document"] == [("a",), ("b",)]
        assert np.array_equal(vectors, await inner.embed(["a", "b", "a"], "document"))

    asyncio.run(check())


def test_k4_many_questions_do_not_starve_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreground, "PATIENCE", 0.02)

    async def check() -> None:
        front = Foreground()
        with front:
            vectors = await BackgroundEmbedder(HashEmbedder(), front).embed(["a", "b"], "document")
        assert vectors.shape == (2, 64)

    asyncio.run(check())
