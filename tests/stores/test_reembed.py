"""Re-embedding survives being killed; the contract covers the rest."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from memoryscope_rag.errors import EmbeddingMismatch
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.samples import ALICE, BOB, OTHER_SPEC, SPEC, entry, message
from tests.stores.children import killed_after, start


def test_a_killed_reembedding_resumes(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"

    async def fill() -> None:
        store = SQLiteStore.open(path, embedder=SPEC)
        for scope in (ALICE, BOB):
            await store.append(scope, [entry(message(f"m{n}"), Random(n)) for n in range(400)])
        await store.close()

    async def state() -> tuple[int, str]:
        store = SQLiteStore.open(path, embedder=None)
        stats = await store.stats()
        assert await store.check() == ()
        await store.close()
        assert stats.embedder is not None
        return stats.missing_vectors, stats.embedder.name

    asyncio.run(fill())
    with pytest.raises(EmbeddingMismatch, match="memoryscope-rag reembed"):
        SQLiteStore.open(path, embedder=OTHER_SPEC)
    done: list[str] = []
    for _ in range(3):
        done += killed_after(start(path, "reembed"), 0.1)
        missing, active = asyncio.run(state())
        assert active == SPEC.name
        # a vector that was acknowledged is there; one may have been stored unacknowledged
        assert missing <= 800 - len(done)
        asyncio.run(_old_model_still_opens(path))
    child = start(path, "reembed")
    rest, _ = child.communicate()
    assert child.returncode == 0
    assert len(done) > 3
    assert len(done) + len(rest.splitlines()) <= 800
    assert asyncio.run(state()) == (0, OTHER_SPEC.name)


async def _old_model_still_opens(path: Path) -> None:
    store = SQLiteStore.open(path, embedder=SPEC)
    await store.close()
