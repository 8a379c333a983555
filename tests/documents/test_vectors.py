"""Every kind, metric and storage against a plain product; growth; bytes; where it is searched."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from memoryscope_rag.documents.vectors import IndexKind, IndexOptions, Metric, Storage, Vectors
from memoryscope_rag.errors import InvalidInput, MissingExtra, StoreCorrupt
from memoryscope_rag.ports import FloatArray
from memoryscope_rag.stores.vector_index import import_faiss

KINDS: tuple[IndexKind, ...] = ("flat", "ivf", "hnsw")
METRICS: tuple[Metric, ...] = ("cos", "ip", "l2")
STORAGES: tuple[Storage, ...] = ("fp32", "fp16")
EVERY = [*product(KINDS, METRICS, STORAGES)]


def rows(count: int, dimension: int = 32, *, seed: int = 1) -> FloatArray:
    """Rows around fifty centres, as the vectors of texts are; of lengths from .5 to 1.5."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((50, dimension))
    found = centres[np.arange(count) % 50] + 0.7 * random.standard_normal((count, dimension))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return (found * random.uniform(0.5, 1.5, (count, 1))).astype(np.float32)


def naive(held: FloatArray, queries: FloatArray, metric: Metric) -> FloatArray:
    """The score of every held row for every query, from the definition."""
    scores = np.empty((len(queries), len(held)), dtype=np.float64)
    for i, query in enumerate(queries.astype(np.float64)):
        for j, row in enumerate(held.astype(np.float64)):
            if metric == "l2":
                scores[i, j] = -((query - row) ** 2).sum()
            else:
                scores[i, j] = query @ row
                if metric == "cos":
                    scores[i, j] /= np.linalg.norm(query) * np.linalg.norm(row)
    return scores.astype(np.float32)


def overlap(found: np.ndarray, best: np.ndarray) -> float:
    return float(np.mean([np.isin(b, f).mean() for f, b in zip(found, best, strict=True)]))


@pytest.mark.parametrize(("kind", "metric", "storage"), EVERY)
def test_p18_scores_are_those_of_the_metric(
    kind: IndexKind, metric: Metric, storage: Storage
) -> None:
    held, queries = rows(300), rows(5, seed=2)
    vectors = Vectors(32, IndexOptions(metric, kind, storage), "cpu")
    vectors.add(held)
    wanted = naive(held, queries, metric)
    scores, found = vectors.search(queries, 10)
    assert (np.diff(scores, axis=1) <= 1e-6).all()
    for near, score, exact in zip(found, scores, wanted, strict=True):
        assert score == pytest.approx(exact[near], abs=1e-5 if storage == "fp32" else 2e-3)
    best = np.argsort(-wanted, axis=1)[:, :10]
    assert overlap(found, best) >= (0.95 if kind == "flat" else 0.9)


@pytest.mark.parametrize(("kind", "storage"), [*product(("ivf", "hnsw"), STORAGES)])
def test_p18_approximate_kinds_find_what_flat_finds(kind: IndexKind, storage: Storage) -> None:
    held, queries = rows(6000, 64), rows(100, 64, seed=2)
    flat = Vectors(64, IndexOptions(), "cpu")
    flat.add(held)
    vectors = Vectors(64, IndexOptions(kind=kind, storage=storage), "cpu")
    vectors.add(held)
    _, best = flat.search(queries, 10)
    _, found = vectors.search(queries, 10)
    assert overlap(found, best) >= 0.97


@pytest.mark.parametrize(("kind", "storage"), [*product(KINDS, STORAGES)])
def test_growing_is_as_good_as_building_at_once(kind: IndexKind, storage: Storage) -> None:
    held, queries = rows(2000), rows(40, seed=2)
    grown = Vectors(32, IndexOptions(kind=kind, storage=storage), "cpu")
    for start, end in ((0, 1), (1, 30), (30, 200), (200, 201), (201, 2000)):
        grown.add(held[start:end])
        assert len(grown) == end
        # a row finds itself under the number that it came as
        _, itself = grown.search(held[end - 1 : end], 1)
        assert itself.tolist() == [[end - 1]]
    best = np.argsort(-naive(held, queries, "cos"), axis=1)[:, :10]
    _, found = grown.search(queries, 10)
    assert overlap(found, best) >= 0.95


@pytest.mark.parametrize(("kind", "metric", "storage"), EVERY)
def test_p18_bytes_bring_everything_back(kind: IndexKind, metric: Metric, storage: Storage) -> None:
    options = IndexOptions(metric, kind, storage)
    vectors = Vectors(32, options, "cpu")
    vectors.add(rows(500))
    again = Vectors.from_bytes(vectors.to_bytes(), 32, options, "cpu")
    queries = rows(20, seed=2)
    scores, found = vectors.search(queries, 5)
    scores_again, found_again = again.search(queries, 5)
    assert np.array_equal(scores, scores_again)
    assert np.array_equal(found, found_again)
    more = rows(700, seed=3)
    vectors.add(more)
    again.add(more)
    assert np.array_equal(vectors.search(queries, 5)[1], again.search(queries, 5)[1])


def test_half_floats_take_half_the_bytes() -> None:
    sizes = []
    for storage in STORAGES:
        vectors = Vectors(32, IndexOptions(storage=storage), "cpu")
        vectors.add(rows(1000))
        sizes.append(len(vectors.to_bytes()))
    assert sizes[1] < 0.51 * sizes[0]


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_index_finds_nothing(kind: IndexKind) -> None:
    vectors = Vectors(32, IndexOptions(kind=kind), "cpu")
    assert vectors.search(rows(2), 3)[1].tolist() == [[-1, -1, -1]] * 2
    again = Vectors.from_bytes(vectors.to_bytes(), 32, IndexOptions(kind=kind), "cpu")
    again.add(rows(2))
    assert again.search(rows(2), 3)[1].tolist() == [[0, 1, -1], [1, 0, -1]]


def test_bytes_of_another_index_are_refused() -> None:
    vectors = Vectors(32, IndexOptions(), "cpu")
    vectors.add(rows(10))
    data = vectors.to_bytes()
    for options in (IndexOptions(kind="ivf"), IndexOptions("l2"), IndexOptions(storage="fp16")):
        with pytest.raises(StoreCorrupt, match="not those of IndexOptions"):
            Vectors.from_bytes(data, 32, options, "cpu")
    with pytest.raises(StoreCorrupt, match="not those of IndexOptions"):
        Vectors.from_bytes(data, 16, IndexOptions(), "cpu")
    for broken in (b"", data[:40], b"no index at all"):
        with pytest.raises(StoreCorrupt, match="no FAISS index"):
            Vectors.from_bytes(broken, 32, IndexOptions(), "cpu")


def test_unknown_choices_are_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match=r"metric: 'cosine' is unknown.*cos, ip, l2"):
        IndexOptions("cosine")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"kind: 'hsnw' is unknown; did you mean 'hnsw'"):
        IndexOptions(kind="hsnw")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="storage: 16 is unknown"):
        IndexOptions(storage=16)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="storage"):
        IndexOptions(storage="int8")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="overlap"):
        IndexOptions(tokens=10, overlap=10)
    with pytest.raises(InvalidInput, match=r"device: 'cuda' is unknown.*auto, cpu, gpu"):
        Vectors(8, IndexOptions(), "cuda")  # type: ignore[arg-type]


FAISS = import_faiss()
BUILT = hasattr(FAISS, "StandardGpuResources")


@pytest.mark.skipif(BUILT, reason="FAISS is built for GPUs")
def test_a_gpu_needs_the_extra() -> None:
    with pytest.raises(MissingExtra, match=r"memoryscope-rag\[gpu\]"):
        Vectors(8, IndexOptions(), "gpu")


@pytest.mark.skipif(not BUILT or not FAISS.get_num_gpus(), reason="no GPU that FAISS can use")
def test_p18_a_gpu_finds_the_same() -> None:
    queries = rows(50, seed=2)
    for kind, metric, storage in EVERY:
        options = IndexOptions(metric, kind, storage)
        if kind == "hnsw":
            with pytest.raises(InvalidInput, match="hnsw"):
                Vectors(32, options, "gpu")
            continue
        here, there = Vectors(32, options, "cpu"), Vectors(32, options, "gpu")
        for part in (rows(3000), rows(100, seed=3)):
            here.add(part)
            there.add(part)
            scores, found = here.search(queries, 10)
            scores_there, found_there = there.search(queries, 10)
            assert overlap(found_there, found) >= 0.98
            assert scores_there == pytest.approx(scores, abs=5e-3)
        assert here.to_bytes() == there.to_bytes()
