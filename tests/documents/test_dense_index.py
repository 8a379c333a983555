"""Documents in, passages out: what is found, in which order, with which instructions."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pytest

from memoryscope_rag.documents.chunking import Chunk
from memoryscope_rag.documents.dense_index import DenseIndex
from memoryscope_rag.documents.vectors import IndexKind, IndexOptions, Metric
from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.models.files import find_graph
from memoryscope_rag.models.onnx import OnnxEmbedder
from memoryscope_rag.models.presets import ModelOptions
from memoryscope_rag.ports import EmbedderSpec, FloatArray
from memoryscope_rag.testing.fakes import HashEmbedder
from tests.documents.samples import CHINESE, CHINESE_QUESTIONS, ENGLISH, ENGLISH_QUESTIONS
from tests.models.test_onnx import minilm_folder

T = TypeVar("T")
ROOT = Path(__file__).parents[2]


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@pytest.fixture(scope="module")
def minilm() -> Iterator[OnnxEmbedder]:
    embedder = OnnxEmbedder.load(threads=1)
    yield embedder
    embedder.close()


def indexed(embedder: Any, text: str = ENGLISH, **options: Any) -> DenseIndex:
    """An index of one text in chunks of at most 80 tokens, on the CPU."""
    index = DenseIndex(embedder, IndexOptions(**{"tokens": 80, **options}), device="cpu")
    run(index.add(text, source="guide.txt"))
    return index


def found(index: DenseIndex, questions: Sequence[tuple[str, str]], hits: int) -> float:
    """Share of the questions of which the passage with the answer is among the hits."""
    results = run(index.search([question for question, _ in questions], hits))
    return float(
        np.mean(
            [
                any(answer in hit.chunk.text for hit in near)
                for near, (_, answer) in zip(results, questions, strict=True)
            ]
        )
    )


# ---------------------------------------------------------------- what is found


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_p18_english_passages_are_found(kind: IndexKind, minilm: OnnxEmbedder) -> None:
    index = indexed(minilm, kind=kind, storage="fp16")
    assert len(index) >= 10
    assert found(index, ENGLISH_QUESTIONS, 1) >= 0.75
    assert found(index, ENGLISH_QUESTIONS, 3) == 1.0


def test_p18_chinese_passages_are_found(models_dir: Path) -> None:
    if find_graph(models_dir / "bge-small-zh-v1.5") is None:
        pytest.skip("bge-small-zh-v1.5 is not in MEMORYSCOPE_MODELS")
    embedder = OnnxEmbedder.load("bge-small-zh-v1.5", models_dir=models_dir, threads=1)
    index = indexed(embedder, CHINESE)
    assert len(index) >= 8
    assert found(index, CHINESE_QUESTIONS, 1) >= 0.75
    assert found(index, CHINESE_QUESTIONS, 3) == 1.0
    embedder.close()


@pytest.mark.parametrize(("metric", "best"), [("cos", 1.0), ("ip", 1.0), ("l2", 0.0)])
def test_p18_a_passage_is_nearest_to_itself(metric: Metric, best: float) -> None:
    index = indexed(HashEmbedder(), metric=metric)
    texts = [chunk.text for chunk in index.chunks]
    for number, near in enumerate(run(index.search(texts, 4))):
        assert near[0].chunk is index.chunks[number]
        assert near[0].score == pytest.approx(best, abs=1e-5)
        scores = [hit.score for hit in near]
        assert scores == sorted(scores, reverse=True)


def test_p18_hits_are_three_unless_said_and_no_more_than_there_are() -> None:
    index = indexed(HashEmbedder())
    near, far = run(index.search(["boiler", "boiler"]))
    assert near == far
    assert len(near) == 3
    (all_of_them,) = run(index.search(["boiler"], hits=500))
    assert [hit.chunk.index for hit in sorted(all_of_them, key=lambda hit: hit.chunk.index)] == [
        *range(len(index))
    ]
    assert run(DenseIndex(HashEmbedder()).search(["a", "b"])) == [[], []]
    assert run(index.search([])) == []
    with pytest.raises(InvalidInput, match="not one string"):
        run(index.search("boiler"))
    with pytest.raises(InvalidInput, match="hits: is 0"):
        run(index.search(["boiler"], 0))


# ---------------------------------------------------------------- instructions


def test_p18_queries_and_documents_go_in_as_what_they_are() -> None:
    embedder = HashEmbedder()
    index = indexed(embedder)
    run(index.search(["Where is the key?", "Who is it?"]))
    assert embedder.calls == [
        ("document", tuple(chunk.text for chunk in index.chunks)),
        ("query", ("Where is the key?", "Who is it?")),
    ]


def test_p18_instructions_are_used(minilm: OnnxEmbedder, tmp_path: Path) -> None:
    # MemoRAG stores them and never sends them
    options = ModelOptions("mean", "query: ", "passage: ", 256)
    asking = OnnxEmbedder.load(minilm_folder(tmp_path / "m"), options=options, threads=1)
    text = "The boiler is old."
    plain = run(indexed(minilm, text).search([text]))[0][0].score
    with_both = run(indexed(asking, text).search([text]))[0][0].score
    wanted = minilm.embed_sync([f"query: {text}", f"passage: {text}"], "query")
    assert plain == pytest.approx(1.0, abs=1e-5)
    assert with_both == pytest.approx(float(wanted[0] @ wanted[1]), abs=1e-5)
    assert with_both < 0.999
    asking.close()


def test_b15_b21_nothing_is_cut_off(minilm: OnnxEmbedder) -> None:
    index = indexed(minilm, CHINESE * 3, tokens=2048)
    assert all(len(minilm.pieces(chunk.text)) == 1 for chunk in index.chunks)
    assert "".join("".join(c.text for c in index.chunks).split()) == "".join(CHINESE.split()) * 3


# ---------------------------------------------------------------- several queries


def test_p19_the_union_is_in_document_order_without_repetition() -> None:
    index = indexed(HashEmbedder())
    queries = [question for question, _ in ENGLISH_QUESTIONS]
    near = run(index.search(queries, 3))
    wanted = sorted({hit.chunk.index for one in near for hit in one})
    union = run(index.search_union(queries, 3))
    assert [chunk.index for chunk in union] == wanted
    assert len(wanted) < 3 * len(queries)


def test_p19_fusion_keeps_the_best_within_the_tokens() -> None:
    index = indexed(HashEmbedder())
    queries = [question for question, _ in ENGLISH_QUESTIONS]
    everything = run(index.search_fused(queries, 3, tokens=100_000))
    assert everything == run(index.search_union(queries, 3))
    ranks: dict[int, float] = {}
    for near in run(index.search(queries, 3)):
        for rank, hit in enumerate(near, 1):
            ranks[hit.chunk.index] = ranks.get(hit.chunk.index, 0) + 1 / (60 + rank)
    best = max(ranks, key=lambda at: (ranks[at], -at))
    for tokens in (80, 160, 240, 400):
        chosen = run(index.search_fused(queries, 3, tokens=tokens))
        assert sum(chunk.tokens for chunk in chosen) <= tokens
        assert [chunk.index for chunk in chosen] == sorted(chunk.index for chunk in chosen)
        assert best in {chunk.index for chunk in chosen}
    assert run(index.search_fused(queries, tokens=1)) == ()
    with pytest.raises(InvalidInput, match="tokens: is 0"):
        run(index.search_fused(queries, tokens=0))


def test_p19_a_passage_that_stands_twice_is_given_once() -> None:
    index = indexed(HashEmbedder())
    run(index.add(ENGLISH, source="copy.txt"))
    boilers = run(index.search_union(["The boiler in the cellar is old"], 2))
    assert [chunk.source for chunk in boilers] == ["guide.txt", "copy.txt"]
    (boiler,) = run(index.search_fused(["The boiler in the cellar is old"], 2))
    assert boiler == boilers[0]


# ---------------------------------------------------------------- growing


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_several_documents(kind: IndexKind) -> None:
    index = DenseIndex(HashEmbedder(), IndexOptions(kind=kind, tokens=60), device="cpu")
    texts = {"guide.txt": ENGLISH, "手册.txt": CHINESE}
    for source, text in texts.items():
        added = run(index.add(text, source=source))
        assert added == index.chunks[-len(added) :]
    assert [chunk.index for chunk in index.chunks] == [*range(len(index))]
    for chunk in index.chunks:
        assert texts[chunk.source][chunk.start : chunk.end] == chunk.text
    near = run(index.search(["蘑菇能不能吃？", "Where do bicycles stand?"], 1))
    assert [one[0].chunk.source for one in near] == ["手册.txt", "guide.txt"]


def test_a_text_without_words_adds_nothing() -> None:
    embedder = HashEmbedder()
    index = indexed(embedder, " \n\n ")
    assert len(index) == 0
    assert embedder.calls == []


def test_a_failure_changes_nothing() -> None:
    embedder = HashEmbedder()
    index = indexed(embedder)
    before = index.chunks
    embedder.failure = ModelError("no answer", retryable=True)
    with pytest.raises(ModelError, match="no answer"):
        run(index.add(CHINESE))
    with pytest.raises(InvalidInput, match="lone surrogate"):
        run(index.add("\ud800"))
    embedder.failure = None
    assert index.chunks is before
    assert len(run(index.search(["boiler"], 500))[0]) == len(before)


class WrongWidth(HashEmbedder):
    """An embedder whose vectors are not those that its spec promises."""

    @property
    def spec(self) -> EmbedderSpec:
        return EmbedderSpec("wrong", 32, "wrong", 1000)


class NotANumber(HashEmbedder):
    """An embedder that gives what cannot be compared."""

    async def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> FloatArray:
        return np.full((len(texts), 64), np.nan, dtype=np.float32)


@pytest.mark.parametrize("make", [WrongWidth, NotANumber])
def test_vectors_that_cannot_be_compared_are_refused(make: Callable[[], HashEmbedder]) -> None:
    with pytest.raises(ModelError, match="the embedder"):
        indexed(make())


def test_adding_and_searching_at_once() -> None:
    async def check() -> None:
        embedder = HashEmbedder(delay=0.001)
        index = DenseIndex(embedder, IndexOptions(kind="ivf", tokens=60), device="cpu")
        texts = {f"{n}.txt": f"{ENGLISH}\n\nThis is number {n}." for n in range(12)}

        async def look() -> None:
            for _ in range(20):
                (near,) = await index.search(["boiler"], 5)
                for chunk, _ in near:
                    assert texts[chunk.source][chunk.start : chunk.end] == chunk.text

        adding = [index.add(text, source=source) for source, text in texts.items()]
        await asyncio.gather(*adding, look(), look())
        assert [chunk.index for chunk in index.chunks] == [*range(len(index))]
        for source, text in texts.items():
            mine = [chunk for chunk in index.chunks if chunk.source == source]
            assert mine[0].text.startswith("# Harbour House")
            assert mine[-1].text.endswith(text[-12:])
            assert [c.index for c in mine] == [*range(mine[0].index, mine[-1].index + 1)]
            (near,) = await index.search([mine[-1].text], 1)
            assert near[0].chunk == mine[-1]

    run(check())


def test_a_chunk_says_where_it_is_from() -> None:
    chunk = indexed(HashEmbedder()).chunks[1]
    assert isinstance(chunk, Chunk)
    assert (chunk.index, chunk.source) == (1, "guide.txt")
    assert ENGLISH[chunk.start : chunk.end] == chunk.text


def test_importing_loads_no_library() -> None:
    code = (
        "import sys, memoryscope_rag.documents.dense_index, memoryscope_rag.documents.reading;"
        "assert not {'faiss', 'docx', 'pypdf', 'semantic_text_splitter', 'onnxruntime', 'torch',"
        "'tokenizers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=ROOT)
