"""The search index brought up to date step by step equals one built at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memoryscope_rag.ports import Candidates, Query, SearchRequest
from memoryscope_rag.schema import KINDS
from memoryscope_rag.stores import node_rows, scope_index
from memoryscope_rag.stores.encoding import TermHasher, vector_blob
from memoryscope_rag.stores.postings import Postings
from memoryscope_rag.stores.scope_index import ScopeIndex
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.naive import bm25
from memoryscope_rag.testing.samples import (
    ALICE,
    ALL_KINDS,
    DIMENSION,
    SPEC,
    WORDS,
    entry,
    message,
    vector,
)

Row = tuple[tuple[Any, ...], tuple[bytes, bytes], tuple[bytes | None, bytes | None]]
HASHER = TermHasher()


def row(key: int, random: Random) -> Row:
    """A node as search reads it from the file."""
    start = random.choice([None, random.randint(0, 900)])
    cells = (
        key,
        f"n{key}",
        random.choice(["conversation", *KINDS]),
        random.randint(1, 40),
        random.choice([None, "s1", "s2"]),
        random.choice([None, "Ann", "Ben"]),
        random.random() < 0.3,
        random.randint(0, 99),
        random.randint(0, 1000),
        start,
        None if start is None else start + random.randint(1, 100),
        random.choice([None, random.randint(0, 500)]),
        random.choice([None, random.randint(500, 1500)]),
    )
    terms = [HASHER.blob(random.choices(WORDS, k=random.randint(0, 9))) for _ in range(2)]
    has = random.random() < 0.8
    blobs = [vector_blob(vector(random)) if has else None for _ in range(2)]
    return cells, (terms[0], terms[1]), (blobs[0], blobs[1])


def feed(index: ScopeIndex, rows: Sequence[Row]) -> None:
    """Append rows as the cache does."""
    index.append([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])


def ask(index: ScopeIndex, seed: int) -> Candidates:
    """An answer to a random request, the same for every index."""
    random = Random(seed)
    words = [random.choices(WORDS, k=3) for _ in range(2)]
    request = SearchRequest(
        tuple(Query("q", tuple(w)) for w in words),
        frozenset(random.sample(KINDS, 2)) if random.random() < 0.5 else ALL_KINDS,
        limit=100,
        neighbours=random.randint(0, 2),
        session_id=random.choice([None, "s1"]),
    )
    vectors = [vector(random), None]
    lexical = index.lexical([HASHER.array(w) for w in words])
    return index.search(request, lexical, vectors, now=800)


def assert_same(left: Candidates, right: Candidates) -> None:
    """Equal but for rounding and the numbers of sessions."""
    assert left.ids == right.ids
    assert left.kinds == right.kinds
    for name in ("dense", "dense_context", "lexical", "lexical_context", "lexical_best"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=1e-4, atol=1e-5)
    for name in ("seq", "said_at", "event_start", "event_end", "length", "question", "found"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
    for side in (left, right):
        assert set(side.speaker.tolist()) - {-1} == set(range(len(side.speakers)))
    names = [[s.speakers[c] if c >= 0 else None for c in s.speaker] for s in (left, right)]
    assert names[0] == names[1]
    together = {*zip(left.session.tolist(), right.session.tolist(), strict=True)}
    assert len(together) == len(set(left.session.tolist())) == len(set(right.session.tolist()))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.sampled_from(["add", "many", "change", "drop"])))
def test_incremental_equals_rebuilt(seed: int, steps: list[str]) -> None:
    random = Random(seed)
    index = ScopeIndex(1, 1, DIMENSION)
    held: dict[int, Row] = {}
    for step in ["many", *steps]:
        if step in {"add", "many"}:
            first = max(held, default=0) + 1
            rows = [row(first + n, random) for n in range(1 if step == "add" else 25)]
        else:
            chosen = random.sample(sorted(held), min(len(held), random.randint(0, 8)))
            if step == "drop":
                index.remove([*chosen, 99_999])
                for key in chosen:
                    del held[key]
                continue
            rows = [row(key, random) for key in chosen]
        feed(index, rows)
        held.update({r[0][0]: r for r in rows})
        rebuilt = ScopeIndex(1, 1, DIMENSION)
        feed(rebuilt, list(held.values()))
        assert len(index) == len(rebuilt) == len(held)
        for question in range(3):
            assert_same(ask(index, seed + question), ask(rebuilt, seed + question))


def test_dead_slots_are_compacted() -> None:
    random = Random(1)
    index = ScopeIndex(1, 1, DIMENSION)
    feed(index, [row(key, random) for key in range(1, 401)])
    assert not index.wasteful
    feed(index, [row(key, random) for key in range(1, 101)])
    assert not index.wasteful
    index.remove(list(range(1, 101)))
    assert index.wasteful
    assert index.columns.count == 500
    assert scope_index.COMPACT_ABOVE < 0.5


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_bm25_equals_its_twin(seed: int, batches: list[int]) -> None:
    random = Random(seed)
    postings = Postings()
    documents: list[list[str]] = []
    alive = np.zeros(0, dtype=bool)
    for size in batches:
        new = [random.choices(WORDS, k=random.randint(0, 9)) for _ in range(size)]
        alive = np.concatenate([alive, np.ones(size, dtype=bool)])
        postings.append(len(documents), [HASHER.blob(d) for d in new], alive)
        documents += new
        alive[[n for n in range(len(alive)) if random.random() < 0.1]] = False
    query = random.choices(WORDS, k=4)
    (scores,) = postings.scores([HASHER.array(query)], alive)
    expected = iter(bm25(query, [d for d, lives in zip(documents, alive, strict=True) if lives]))
    for score, lives in zip(scores.tolist(), alive, strict=True):
        assert abs(score - (next(expected) if lives else 0.0)) < 1e-4


def test_an_index_older_than_the_tombstones_is_rebuilt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_rows, "MAX_TOMBSTONES", 5)

    async def check() -> None:
        random = Random(1)
        writer, reader = [SQLiteStore.open(tmp_path / "m.db", embedder=SPEC) for _ in range(2)]
        await writer.append(ALICE, [entry(message(f"m{n}", "word1"), random) for n in range(30)])
        request = SearchRequest((Query("q", ("word1",)),), ALL_KINDS)
        assert len((await reader.search(ALICE, [request]))[0]) == 30
        for number in range(8):
            await writer.delete_nodes(ALICE, [f"m{number}#0"])
        assert len((await reader.search(ALICE, [request]))[0]) == 22
        await writer.close()
        await reader.close()

    asyncio.run(check())
