"""DashScope's own language over the wire: chat, streams, embedding, reranking, failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import dashscope
import numpy as np
import pytest

from memoryscope_rag.errors import ConfigError, ModelError
from memoryscope_rag.models.dashscope import (
    DashScopeEmbedder,
    DashScopeGenerator,
    DashScopeReranker,
)
from memoryscope_rag.ports import Delta, Embedder, Generator, Reply, Reranker, Sampling, Usage
from memoryscope_rag.testing.scripted_server import WireReply, WireRequest, scripted_server
from memoryscope_rag.testing.wire import (
    as_json,
    dashscope_chat,
    dashscope_embeddings,
    dashscope_error,
    dashscope_rerank,
    dashscope_stream,
)
from tests.models.chat import ASKED, read_until_failure, replied, streamed, using

CHAT = "/api/v1/services/aigc/text-generation/generation"


def generator_at(url: str, **options: Any) -> DashScopeGenerator:
    return DashScopeGenerator(
        "qwen-x", **{"base_url": f"{url}/api/v1", "api_key": "sk-test", "timeout_s": 10, **options}
    )


def test_i1_i4_the_requested_model_is_the_one_sent() -> None:
    sampling = Sampling(temperature=0.0, top_p=0.5, max_tokens=9, stop=("\n",), seed=3)
    with scripted_server([dashscope_chat("the pot", reasoning_content="hm")]) as server:
        generator = generator_at(server.url, extra={"enable_thinking": True})
        assert isinstance(generator, Generator)
        assert replied(generator, sampling) == Reply("the pot", "qwen-x", Usage(7, 5), "stop", "hm")
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", CHAT)
    assert request.headers["authorization"] == "Bearer sk-test"
    assert "x-dashscope-workspace" not in request.headers
    assert request.body == {
        "model": "qwen-x",
        "input": {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Where is the SECRET key?"},
            ]
        },
        "parameters": {
            "result_format": "message",
            "temperature": 0.0,
            "top_p": 0.5,
            "max_tokens": 9,
            "stop": ["\n"],
            "seed": 3,
            "enable_thinking": True,
        },
    }


def test_neither_the_environment_nor_a_file_redirects(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "config.toml").write_text('base_url = "http://192.0.2.1"\nworkspace = "w"\n')
    monkeypatch.setenv("DASHSCOPE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("DASHSCOPE_BASE_URL", "http://192.0.2.1")
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-other")
    monkeypatch.setenv("DASHSCOPE_WORKSPACE", "other")
    monkeypatch.setenv("DASHSCOPE_REGION", "nowhere")
    monkeypatch.setenv("DASHSCOPE_MAX_RETRIES", "5")
    before = (dashscope.api_key, dashscope.base_http_api_url)
    with scripted_server([dashscope_chat("x")]) as server:
        replied(generator_at(server.url))
    headers = server.requests[0].headers
    assert headers["authorization"] == "Bearer sk-test"
    assert "x-dashscope-workspace" not in headers
    assert (dashscope.api_key, dashscope.base_http_api_url) == before


def test_what_is_missing_or_broken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="DASHSCOPE_API_KEY"):
        DashScopeGenerator("m")
    monkeypatch.setenv("DASHSCOPE_TIMEOUT", "soon")
    with pytest.raises(ConfigError, match="DASHSCOPE_TIMEOUT"):
        DashScopeGenerator("m", api_key="k")


@pytest.mark.parametrize(
    ("pieces", "text", "reasoning"),
    [
        (["Under ", "the ", "pot"], "Under the pot", ""),
        (["<thi", "nk>let me</th", "ink>", "\n\n", "the", " pot"], "the pot", "let me"),
        ([{"reasoning_content": "hm"}, {"reasoning_content": " yes"}, "pot"], "pot", "hm yes"),
        ([], "", ""),
    ],
)
def test_the_pieces_of_a_stream_make_the_final_text(
    pieces: list[Any], text: str, reasoning: str
) -> None:
    with scripted_server([dashscope_stream(pieces, finish="length")]) as server:
        *deltas, last = streamed(generator_at(server.url))
    assert "".join(delta.text for delta in deltas) == text
    assert last == Delta("", Reply(text, "qwen-x", Usage(7, 5), "length", reasoning))
    (request,) = server.requests
    assert request.headers["x-dashscope-sse"] == "enable"
    assert request.body["parameters"]["incremental_output"] is True


@pytest.mark.parametrize(
    ("broken", "retryable"),
    [
        (dashscope_stream(["Un"], cut=True), True),
        (dashscope_stream(["Un"], finish="null"), True),
        (WireReply((*dashscope_stream(["Un"]).pieces[:1], b"data:{nonsense\n\n")), True),
        (
            WireReply(
                (
                    *dashscope_stream(["Un"]).pieces[:1],
                    b'event:error\ndata:{"code":"InternalError","message":"SECRET"}\n\n',
                )
            ),
            True,
        ),
        (
            WireReply(
                (
                    *dashscope_stream(["Un"]).pieces[:1],
                    b'event:error\ndata:{"code":"DataInspectionFailed","message":"SECRET"}\n\n',
                )
            ),
            False,
        ),
    ],
)
def test_a_stream_that_breaks_off(broken: WireReply, retryable: bool) -> None:
    events = WireReply(broken.pieces, content_type="text/event-stream", cut=broken.cut)

    with scripted_server([events]) as server:
        text, error = using(generator_at(server.url), read_until_failure)
    assert (text, error.retryable) == ("Un", retryable)
    assert "SECRET" not in str(error)


def test_closing_a_stream_early_ends_the_request() -> None:
    async def first(generator: Generator) -> str:
        stream = cast("AsyncGenerator[Delta]", generator.stream(ASKED))
        delta = await anext(stream)
        await stream.aclose()
        for _ in range(100):
            if server.hung_up:
                break
            await asyncio.sleep(0.05)
        return delta.text

    endless: list[Any] = ["a", *([0.05, "b"] * 100)]
    with scripted_server([dashscope_stream(endless)]) as server:
        assert using(generator_at(server.url), first) == "a"
        assert server.hung_up == 1


@pytest.mark.parametrize(
    ("reply", "retryable", "told"),
    [
        (dashscope_error(429, "Throttling.RateQuota"), True, "too many"),
        (dashscope_error(200, "Throttling.AllocationQuota"), True, "too many"),
        (dashscope_error(500, "InternalError"), True, "failed"),
        (dashscope_error(200, "ServiceUnavailable"), True, "failed"),
        (dashscope_error(400, "RequestTimeOut"), True, "failed"),
        (dashscope_error(401, "InvalidApiKey"), False, "DASHSCOPE_API_KEY"),
        (dashscope_error(200, "InvalidApiKey"), False, "DASHSCOPE_API_KEY"),
        (dashscope_error(403, "AccessDenied.Unpurchased"), False, "may not use 'qwen-x'"),
        (dashscope_error(400, "Arrearage"), False, "credit"),
        (dashscope_error(403, "AllocationQuota.FreeTierOnly"), False, "credit"),
        (dashscope_error(404, "ModelNotFound"), False, "no model 'qwen-x'"),
        (dashscope_error(400, "Model.NotExist"), False, "no model 'qwen-x'"),
        (dashscope_error(400, "InvalidParameter", "Model not exist."), False, "no model"),
        (dashscope_error(400, "DataInspectionFailed", "SECRET"), False, "DataInspectionFailed"),
        (WireReply((b"{nonsense",)), True, "form"),
        (WireReply((b"<html>SECRET</html>",), content_type="text/html"), True, "form"),
        (WireReply((b"<html>SECRET</html>",), 502, content_type="text/html"), True, "502"),
        (as_json([]), True, "form"),
        (as_json({"output": {"choices": []}}), True, "form"),
        (as_json({"output": "SECRET"}), True, "form"),
        (WireReply((b'{"output":',), cut=True), True, "connection"),
    ],
)
def test_failures(reply: WireReply, retryable: bool, told: str) -> None:
    with scripted_server([reply, reply]) as server:
        with pytest.raises(ModelError, match=told) as caught:
            replied(generator_at(server.url))
        assert len(server.requests) == 1
    assert caught.value.retryable == retryable
    assert "SECRET" not in str(caught.value)


def test_how_long_the_server_asks_to_wait() -> None:
    busy = dashscope_error(429, "Throttling", retry_after="2")
    with scripted_server([busy]) as server, pytest.raises(ModelError) as caught:
        replied(generator_at(server.url))
    assert caught.value.retry_after == 2.0


def test_a_reply_that_takes_too_long_and_nobody_there() -> None:
    slow: list[bytes | float] = [b" ", 0.1] * 10
    with (
        scripted_server([WireReply(tuple(slow))]) as server,
        pytest.raises(ModelError, match="in time") as caught,
    ):
        replied(generator_at(server.url, timeout_s=0.3))
    assert caught.value.retryable
    with pytest.raises(ModelError, match="connection") as caught:
        replied(generator_at("http://127.0.0.1:9"))
    assert caught.value.retryable


# ---------------------------------------------------------------- embedding


def vectors_of(request: WireRequest) -> WireReply:
    texts = request.body["input"]["texts"]
    return dashscope_embeddings([[float(len(text)), 1.0, 0.0] for text in texts])


def test_i2_queries_and_documents_are_told_apart_and_batched() -> None:
    texts = [f"{'x' * number}y" for number in range(23)]
    with scripted_server(vectors_of) as server:
        embedder = DashScopeEmbedder(
            "text-embedding-v4",
            3,
            base_url=f"{server.url}/api/v1",
            api_key="sk-test",
            ask_dimension=True,
        )
        assert isinstance(embedder, Embedder)
        found = asyncio.run(embedder.embed(texts, "document"))
        asyncio.run(embedder.embed(["z"], "query"))
        embedder.close()
        embedder.close()
    wanted = np.array([[len(text), 1, 0] for text in texts], dtype=np.float32)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert np.allclose(found, wanted, atol=1e-6)
    assert found.dtype == np.float32
    documents, queries = server.bodies[:-1], server.bodies[-1]
    assert sorted(len(body["input"]["texts"]) for body in documents) == [3, 10, 10]
    assert {body["parameters"]["text_type"] for body in documents} == {"document"}
    assert queries["parameters"] == {"text_type": "query", "dimension": 3}
    assert queries["model"] == "text-embedding-v4"
    assert server.requests[0].path == "/api/v1/services/embeddings/text-embedding/text-embedding"


# ---------------------------------------------------------------- reranking


def scores_of(request: WireRequest) -> WireReply:
    return dashscope_rerank([float(text) / 2000 for text in request.body["input"]["documents"]])


def reranker_at(url: str) -> DashScopeReranker:
    return DashScopeReranker("qwen3-rerank", base_url=f"{url}/api/v1", api_key="sk-test")


@pytest.mark.parametrize(("count", "requests"), [(1, 1), (500, 1), (501, 2), (1234, 3)])
def test_i3_any_number_of_documents_is_reranked(count: int, requests: int) -> None:
    order = np.random.default_rng(count).permutation(count)
    with scripted_server(scores_of) as server:
        reranker = reranker_at(server.url)
        assert isinstance(reranker, Reranker)
        found = asyncio.run(reranker.rerank("where", [str(number) for number in order]))
        reranker.close()
    assert np.allclose(found, order / 2000, atol=1e-6)
    assert found.dtype == np.float32
    assert len(server.requests) == requests
    body = server.bodies[0]
    assert (body["model"], body["input"]["query"]) == ("qwen3-rerank", "where")
    assert body["parameters"]["return_documents"] is False
    assert server.requests[0].path == "/api/v1/services/rerank/text-rerank/text-rerank"


def test_what_is_closed_says_so() -> None:
    generator = generator_at("http://127.0.0.1:9")
    asyncio.run(generator.close())
    with pytest.raises(ModelError, match="'qwen-x' is closed"):
        replied(generator)


def test_nothing_to_rerank_asks_nothing() -> None:
    with scripted_server([]) as server:
        reranker = reranker_at(server.url)
        assert asyncio.run(reranker.rerank("where", [])).shape == (0,)
        assert asyncio.run(reranker.rerank(" ", ["a", "b"])).tolist() == [0.0, 0.0]
        reranker.close()
    assert server.requests == []
    with pytest.raises(ModelError, match="closed"):
        asyncio.run(reranker.rerank("where", ["a"]))


@pytest.mark.parametrize(
    ("reply", "retryable"),
    [
        (dashscope_rerank([0.5]), True),  # one is missing
        (as_json({"output": {"results": [{"index": 0}]}}), True),
        (dashscope_error(429, "Throttling"), True),
        (dashscope_error(400, "InvalidParameter"), False),
    ],
)
def test_reranking_that_fails(reply: WireReply, retryable: bool) -> None:
    with scripted_server([reply]) as server:
        reranker = reranker_at(server.url)
        with pytest.raises(ModelError) as caught:
            asyncio.run(reranker.rerank("where", ["a", "b"]))
        reranker.close()
    assert caught.value.retryable == retryable
