"""FAISS proposes, exact scores decide: recall, staleness, filters."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from random import Random

import numpy as np
import pytest

from memoryscope_rag.ports import Candidates, FloatArray, Query, SearchRequest
from memoryscope_rag.schema import Kind
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.stores.vector_index import VectorIndex
from memoryscope_rag.testing.samples import ALICE, SPEC, entry, message, vector

KINDS: frozenset[Kind] = frozenset({"conversation"})


def unit_rows(count: int, dimension: int, *, clusters: int = 0) -> FloatArray:
    """Random unit rows, around cluster centres if asked, as texts' vectors are."""
    random = np.random.default_rng(1)
    rows = random.standard_normal((count, dimension))
    if clusters:
        rows = (
            0.6 * rows + random.standard_normal((clusters, dimension))[np.arange(count) % clusters]
        )
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


def recall(rows: FloatArray, wanted: np.ndarray, limit: int) -> float:
    """Share of the exact best among ``wanted`` that a fresh index proposes."""
    has = np.ones(len(rows), dtype=bool)
    index = VectorIndex.build(rows, has, has)
    queries = unit_rows(len(rows) + 20, rows.shape[1])[-20:]
    shares = []
    for query, near in zip(queries, index.candidates(queries, wanted, limit), strict=True):
        assert wanted[near].all()
        exact = np.argsort(np.where(wanted, rows @ query, -9.0))[-limit:]
        shares.append(np.isin(exact, near).mean())
    return float(np.mean(shares))


@pytest.mark.parametrize("clusters", [0, 50])
def test_recall(clusters: int) -> None:
    rows = unit_rows(6000, 48, clusters=clusters)
    assert recall(rows, np.ones(6000, dtype=bool), 50) >= 0.98
    assert recall(rows, np.arange(6000) % 3 == 0, 50) >= 0.98


def test_staleness() -> None:
    rows = unit_rows(1000, 16)
    alive = np.ones(1000, dtype=bool)
    index = VectorIndex.build(rows, alive, alive)
    assert not index.stale(1100, 1100)
    assert index.stale(1300, 1300)
    assert index.stale(1000, 700)
    assert index.serves(500)
    assert not index.serves(50)
    nothing = VectorIndex.build(rows, ~alive, alive)
    assert nothing.candidates(rows[:2], alive, 5)[1].tolist() == []


def test_a_store_with_faiss_answers_as_one_without(tmp_path: Path) -> None:
    async def check() -> None:
        random = Random(1)
        path = tmp_path / "memory.db"
        exact = SQLiteStore.open(path, embedder=SPEC)
        quick = SQLiteStore.open(path, embedder=SPEC, faiss_threshold=500)
        news = [message(f"m{n}", session=f"s{n % 3}") for n in range(1200)]
        await exact.append(ALICE, [entry(new, random) for new in news])

        async def both() -> tuple[Candidates, Candidates]:
            query = Query("q", (), vector(random))
            request = SearchRequest(
                (query,), KINDS, 20, 0, session_id=random.choice([None, None, "s1"])
            )
            (exactly,) = await exact.search(ALICE, [request])
            (quickly,) = await quick.search(ALICE, [request])
            return exactly, quickly

        await both()
        deadline = time.monotonic() + 30
        while (index := quick._cache.peek(ALICE)) is None or index.vector_index is None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        first = index.vector_index
        found = []
        for step in range(40):
            # newer and deleted rows are seen though the index does not know of them
            new = entry(message(f"new{step}"), random)
            await exact.append(ALICE, [new])
            await exact.delete_nodes(ALICE, [f"m{step}#0"])
            wanted, got = await both()
            assert f"m{step}#0" not in got.ids
            found.append(len(set(wanted.ids) & set(got.ids)) / len(wanted))
            by_id = dict(zip(got.ids, got.dense[0].tolist(), strict=True))
            for name, score in zip(wanted.ids, wanted.dense[0].tolist(), strict=True):
                assert by_id.get(name, score) == pytest.approx(score, abs=1e-5)
        assert np.mean(found) >= 0.98
        assert index.vector_index is first
        await exact.append(ALICE, [entry(message(f"more{n}"), random) for n in range(400)])
        while index.vector_index is first:
            await both()
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        await exact.close()
        await quick.close()

    asyncio.run(check())
