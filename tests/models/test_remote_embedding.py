"""Embedding and reranking behind an OpenAI-compatible URL."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.models.endpoints import ENDPOINTS
from memoryscope_rag.models.failures import Asked
from memoryscope_rag.models.openai import OpenAIEmbedder, OpenAIReranker
from memoryscope_rag.models.remote_embedding import REQUEST_BYTES, RemoteEmbedder
from memoryscope_rag.ports import Embedder, Reranker
from memoryscope_rag.testing.scripted_server import WireReply, WireRequest, scripted_server
from memoryscope_rag.testing.wire import as_json, openai_embeddings, openai_error, rerank


def embedder_at(url: str, **options: Any) -> OpenAIEmbedder:
    given = {"base_url": f"{url}/v1", "api_key": "sk-test", **options}
    return OpenAIEmbedder("emb-x", given.pop("dimension", 3), **given)


def vectors_of(request: WireRequest) -> WireReply:
    return openai_embeddings([[float(len(text)), 1.0, 0.0] for text in request.body["input"]])


def unit(rows: list[list[float]]) -> Any:
    array = np.array(rows, dtype=np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def test_i2_vectors_come_back_in_order_and_of_unit_length() -> None:
    texts = ["abc", "\ud800", "", "  ", "abcdef"]
    with scripted_server(vectors_of) as server:
        embedder = embedder_at(server.url)
        assert isinstance(embedder, Embedder)
        found = asyncio.run(embedder.embed(texts, "document"))
        assert asyncio.run(embedder.embed([], "query")).shape == (0, 3)
        embedder.close()
    assert np.allclose(found, unit([[3, 1, 0], [1, 1, 0], [1, 1, 0], [1, 1, 0], [6, 1, 0]]))
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    (request,) = server.requests
    assert request.path == "/v1/embeddings"
    assert request.headers["authorization"] == "Bearer sk-test"
    assert request.body == {
        "model": "emb-x",
        "input": ["abc", "?", ".", ".", "abcdef"],
        "encoding_format": "float",
    }


def test_i2_prefixes_and_dimension_are_sent() -> None:
    with scripted_server(vectors_of) as server:
        embedder = embedder_at(
            server.url, query_prefix="query: ", document_prefix="passage: ", ask_dimension=True
        )
        for kind in ("query", "document"):
            asyncio.run(embedder.embed(["x", ""], kind))
        embedder.close()
    assert [body["input"] for body in server.bodies] == [
        ["query: x", "query: ."],
        ["passage: x", "passage: ."],
    ]
    assert server.bodies[0]["dimensions"] == 3


def test_the_fingerprint_is_that_of_model_dimension_and_prefixes() -> None:
    def fingerprint(**options: Any) -> str:
        embedder = embedder_at("http://127.0.0.1:9", **options)
        embedder.close()
        return embedder.spec.fingerprint

    assert fingerprint() == fingerprint(api_key="other", endpoint=ENDPOINTS["vllm"])
    others = [fingerprint(dimension=4), fingerprint(query_prefix="q"), fingerprint()]
    assert len(set(others)) == 3


def test_i2_many_texts_go_in_batches() -> None:
    texts = [f"{'x' * (number % 7)}y" for number in range(300)]
    long = ["z" * 100_000] * 5
    with scripted_server(vectors_of) as server:
        embedder = embedder_at(server.url, max_tokens=100_000)
        found = asyncio.run(embedder.embed(texts, "document"))
        assert np.allclose(found, unit([[len(text), 1, 0] for text in texts]), atol=1e-6)
        assert sorted(len(body["input"]) for body in server.bodies) == [44, 256]
        asyncio.run(embedder.embed(long, "document"))
        embedder.close()
    assert sorted(len(body["input"]) for body in server.bodies[2:]) == [1, 2, 2]
    assert max(sum(map(len, body["input"])) for body in server.bodies) <= REQUEST_BYTES


class Silent(RemoteEmbedder):
    """Asks nobody."""

    def _request(self, texts: list[str], kind: str) -> dict[int, list[float]]:
        raise AssertionError

    def _close(self) -> None:
        pass


@given(st.text(max_size=200), st.integers(8, 40))
def test_pieces_cover_the_text_and_fit(text: str, budget: int) -> None:
    embedder = Silent("m", 3, Asked("s", "http://x", "m"), max_tokens=budget)
    spans = embedder.pieces(text)
    embedder.close()
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(
        len(text[start:end].encode("utf-8", "surrogatepass")) <= budget or end - start == 1
        for start, end in spans
    )


def test_what_is_too_long_is_cut_at_its_end() -> None:
    with scripted_server(vectors_of) as server:
        embedder = embedder_at(server.url, max_tokens=10)
        asyncio.run(embedder.embed(["x" * 50, "钥匙在花盆下面"], "document"))
        embedder.close()
    assert server.bodies[0]["input"] == ["x" * 10, "钥匙在"]
    with pytest.raises(InvalidInput, match="no room"):
        embedder_at("http://127.0.0.1:9", max_tokens=10, query_prefix="query: ")


@pytest.mark.parametrize(
    ("reply", "retryable", "told"),
    [
        (openai_embeddings([[1.0, 2.0]] * 2), False, "width 2, not 3"),
        (openai_embeddings([[1.0, 2.0, 3.0]]), True, "form"),
        (openai_embeddings([[1.0, 2.0, 3.0], [1.0, 2.0]]), True, "form"),
        (openai_embeddings([[0.0, 0.0, 0.0]] * 2), True, "form"),
        (openai_embeddings([[float("nan"), 0.0, 1.0]] * 2), True, "form"),
        (as_json({"data": [{"index": 0}, {"index": 1}]}), True, "form"),
        (as_json({}), True, "form"),
        (WireReply((b"busy",), content_type="text/plain"), True, "form"),
        (openai_error(429, "SECRET"), True, "too many"),
        (openai_error(401, "SECRET"), False, "OPENAI_API_KEY"),
        (WireReply((b"{}",), delay=1.0), True, "in time"),
    ],
)
def test_failures(reply: WireReply, retryable: bool, told: str) -> None:
    with scripted_server([reply]) as server:
        # only the slow server is to be given up on, whatever the machine is busy with
        embedder = embedder_at(server.url, timeout_s=0.3 if told == "in time" else 30)
        with pytest.raises(ModelError, match=told) as caught:
            asyncio.run(embedder.embed(["a", "b"], "document"))
        embedder.close()
    assert caught.value.retryable == retryable
    assert "SECRET" not in str(caught.value)
    with pytest.raises(ModelError, match="closed"):
        asyncio.run(embedder.embed(["a"], "document"))


def test_i3_a_reranker_of_any_server() -> None:
    def answer(request: WireRequest) -> WireReply:
        return rerank([float(text) for text in request.body["documents"]])

    with scripted_server(answer) as server:
        reranker = OpenAIReranker("re-x", base_url=f"{server.url}/v1", api_key="sk-test")
        assert isinstance(reranker, Reranker)
        found = asyncio.run(reranker.rerank("where", ["0.1", "0.9", "0.5"]))
        reranker.close()
    assert np.allclose(found, [0.1, 0.9, 0.5])
    (request,) = server.requests
    assert request.path == "/v1/rerank"
    assert request.headers["authorization"] == "Bearer sk-test"
    assert request.body["model"] == "re-x"
    assert request.body["top_n"] == 3


@pytest.mark.parametrize(
    ("reply", "retryable"),
    [
        (rerank([0.5]), True),
        (as_json({"results": [{"index": "x"}]}), True),
        (as_json([]), True),
        (openai_error(503), True),
        (openai_error(404), False),
    ],
)
def test_reranking_that_fails(reply: WireReply, retryable: bool) -> None:
    with scripted_server([reply]) as server:
        reranker = OpenAIReranker("re-x", base_url=f"{server.url}/v1")
        with pytest.raises(ModelError) as caught:
            asyncio.run(reranker.rerank("where", ["a", "b"]))
        reranker.close()
    assert caught.value.retryable == retryable


def test_closing_while_requests_are_under_way() -> None:
    async def close_early(embedder: OpenAIEmbedder) -> None:
        texts = [f"{number}" for number in range(1000)]
        work = asyncio.create_task(embedder.embed(texts, "document"))
        while not server.requests:
            await asyncio.sleep(0.01)
        embedder.close()
        with pytest.raises(ModelError):  # not CancelledError: nobody cancelled this task
            await work

    def slow(request: WireRequest) -> WireReply:
        reply = vectors_of(request)
        return WireReply(reply.pieces, delay=0.3)

    with scripted_server(slow) as server:
        asyncio.run(close_early(embedder_at(server.url, concurrency=1)))
        assert len(server.requests) == 1


def test_a_caller_may_give_up() -> None:
    async def hurried(embedder: OpenAIEmbedder) -> None:
        async with asyncio.timeout(0.05):
            await embedder.embed(["a"], "query")

    with scripted_server([WireReply((b"{}",), delay=0.5)]) as server:
        embedder = embedder_at(server.url)
        with pytest.raises(TimeoutError):
            asyncio.run(hurried(embedder))
        embedder.close()
