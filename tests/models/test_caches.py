"""Both caches give what the inner embedder gives, and ask it once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memoryscope_rag.errors import InvalidInput, ModelError, StoreCorrupt, StoreUnavailable
from memoryscope_rag.models.cached import CachedEmbedder
from memoryscope_rag.models.disk_cache import DiskCachedEmbedder
from memoryscope_rag.ports import Embedder
from memoryscope_rag.testing.fakes import HashEmbedder

Wrap = Callable[[HashEmbedder], CachedEmbedder | DiskCachedEmbedder]


@pytest.fixture(params=["memory", "disk"])
def wrap(request: pytest.FixtureRequest, tmp_path: Path) -> Wrap:
    if request.param == "memory":
        return CachedEmbedder
    return lambda inner: DiskCachedEmbedder(inner, tmp_path / "new" / "vectors.db")


def test_asks_once(wrap: Wrap) -> None:
    inner = HashEmbedder()
    cached = wrap(inner)
    assert isinstance(cached, Embedder)
    texts = ["a dog", "a cat", "a dog", "", "a fish"]
    wanted = asyncio.run(HashEmbedder().embed(texts, "document"))
    for _ in range(2):
        found = asyncio.run(cached.embed(texts, "document"))
        assert np.array_equal(found, wanted)
        assert found.dtype == np.float32
    assert inner.calls == [("document", ("a dog", "a cat", "", "a fish"))]
    asyncio.run(cached.embed(["a bird", "a cat"], "document"))
    asyncio.run(cached.embed(["a cat"], "query"))
    assert inner.calls[1:] == [("document", ("a bird",)), ("query", ("a cat",))]
    assert asyncio.run(cached.embed([], "query")).shape == (0, 64)
    assert cached.spec == inner.spec
    assert cached.pieces("abc") == ((0, 3),)
    cached.close()
    assert inner.closed


def test_a_caller_may_change_what_it_got(wrap: Wrap) -> None:
    cached = wrap(HashEmbedder())
    first = asyncio.run(cached.embed(["x", "y"], "query"))
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(asyncio.run(cached.embed(["x", "y"], "query")), kept)
    cached.close()


def test_a_failure_leaves_no_trace(wrap: Wrap) -> None:
    inner = HashEmbedder(failure=ModelError("down", retryable=True))
    cached = wrap(inner)
    with pytest.raises(ModelError, match="down"):
        asyncio.run(cached.embed(["x"], "query"))
    inner.failure = None
    assert np.array_equal(
        asyncio.run(cached.embed(["x"], "query")), asyncio.run(inner.embed(["x"], "query"))
    )
    cached.close()


def test_threads_may_share_one(wrap: Wrap) -> None:
    cached = wrap(HashEmbedder())
    texts = [f"text number {number}" for number in range(1200)]
    wanted = asyncio.run(HashEmbedder().embed(texts, "document"))

    def some(start: int) -> bool:
        found = asyncio.run(cached.embed(texts[start:], "document"))
        return bool(np.array_equal(found, wanted[start:]))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(some, range(0, 800, 100)))
    cached.close()


@settings(max_examples=100, deadline=None)
@given(
    calls=st.lists(st.lists(st.sampled_from("abcdefg"), max_size=6), max_size=12),
    capacity=st.integers(min_value=0, max_value=5),
)
def test_the_capacity_is_kept(calls: list[list[str]], capacity: int) -> None:
    cached = CachedEmbedder(HashEmbedder(8), capacity)
    for texts in calls:
        found = asyncio.run(cached.embed(texts, "query"))
        assert np.array_equal(found, asyncio.run(HashEmbedder(8).embed(texts, "query")))
        assert len(cached) <= capacity


def test_the_oldest_goes_first() -> None:
    inner = HashEmbedder()
    cached = CachedEmbedder(inner, 2)
    for text in ("a", "b", "a", "c", "a", "b"):
        asyncio.run(cached.embed([text], "query"))
    assert [texts for _, texts in inner.calls] == [("a",), ("b",), ("c",), ("b",)]
    with pytest.raises(InvalidInput, match="capacity"):
        CachedEmbedder(inner, -1)


def test_the_file_outlives_the_embedder(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    texts = [f"my secret number {number}" for number in range(1100)]
    first = DiskCachedEmbedder(HashEmbedder(), path)
    wanted = asyncio.run(first.embed(texts, "document"))
    first.close()
    first.close()
    inner = HashEmbedder()
    second = DiskCachedEmbedder(inner, path)
    assert np.array_equal(asyncio.run(second.embed(texts, "document")), wanted)
    assert inner.calls == []
    second.close()
    assert b"secret" not in path.read_bytes()


def test_models_do_not_meet_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    one, other = (DiskCachedEmbedder(HashEmbedder(size), path) for size in (16, 32))
    assert asyncio.run(one.embed(["x"], "query")).shape == (1, 16)
    assert asyncio.run(other.embed(["x"], "query")).shape == (1, 32)
    one.close()
    other.close()


def test_what_is_no_cache_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    path.write_bytes(b"this is no database at all, whatever its name may say" * 20)
    with pytest.raises(StoreCorrupt, match=r"vectors\.db"):
        DiskCachedEmbedder(HashEmbedder(), path)
    with pytest.raises(StoreUnavailable):
        DiskCachedEmbedder(HashEmbedder(), path / "below" / "a file")


def test_a_cut_vector_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.db"
    cached = DiskCachedEmbedder(HashEmbedder(), path)
    asyncio.run(cached.embed(["x"], "query"))
    database = sqlite3.connect(path)
    database.execute("UPDATE vectors SET vector = x'0000'")
    database.commit()
    database.close()
    with pytest.raises(StoreCorrupt, match="2 bytes"):
        asyncio.run(cached.embed(["x"], "query"))
    cached.close()
