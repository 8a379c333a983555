"""Rows I1 to I6 from the settings to the wire; the models themselves have tests of their own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memoryscope_rag import MemoryScope
from memoryscope_rag.build import build_embedder, build_generator, build_reranker
from memoryscope_rag.configs.load import parse_config
from memoryscope_rag.errors import EmbeddingMismatch, ModelError
from memoryscope_rag.models.remote_rerank import MOST_DOCUMENTS
from memoryscope_rag.ports import Delta, Generator
from memoryscope_rag.testing.scripted_server import (
    ScriptedServer,
    WireReply,
    WireRequest,
    scripted_server,
)
from memoryscope_rag.testing.wire import (
    dashscope_chat,
    dashscope_rerank,
    dashscope_stream,
    openai_chat,
    openai_embeddings,
    openai_error,
    openai_stream,
    rerank,
)
from tests.conftest import NetworkBlocked
from tests.models.chat import ASKED, using

KEYS = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "DEEPSEEK_API_KEY", "DASHSCOPE_API_KEY")


def answer(request: WireRequest) -> WireReply:
    """Any of the servers, whole or streamed; what it says it is called is not what was asked."""
    path, body = request.path, request.body
    if "text-rerank" in path:
        return dashscope_rerank([float(text) for text in body["input"]["documents"]])
    if path.endswith("/rerank"):
        return rerank([float(text) for text in body["documents"]])
    if path.endswith("/embeddings"):
        return openai_embeddings([[float(len(text)), 1.0, 0.0] for text in body["input"]])
    if "text-generation" in path:
        streaming = "incremental_output" in body["parameters"]
        return dashscope_stream(["a", "b"]) if streaming else dashscope_chat("ab")
    return openai_stream(["a", "b"]) if body.get("stream") else openai_chat("ab")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    for name in KEYS:
        monkeypatch.setenv(name, f"value-of-{name}")
    with scripted_server(answer) as running:
        yield running


def generator_of(server: ScriptedServer, provider: str, **more: Any) -> Generator:
    version = "2024-10-21" if provider == "azure" else None
    values = {"provider": provider, "base_url": server.url, "api_version": version, **more}
    generator = build_generator(parse_config({"generator": {"model": "wanted", **values}}))
    assert generator is not None
    return generator


async def _whole(generator: Generator) -> str:
    return (await generator.generate(ASKED)).text


async def _streamed(generator: Generator) -> str:
    deltas: list[Delta] = [delta async for delta in generator.stream(ASKED)]
    return "".join(delta.text for delta in deltas)


@pytest.mark.parametrize("ask", [_whole, _streamed])
@pytest.mark.parametrize(
    "provider", ["openai", "azure", "deepseek", "dashscope", "dashscope-compatible", "ollama"]
)
def test_i1_the_model_of_the_settings_is_on_the_wire(
    server: ScriptedServer, provider: str, ask: Any
) -> None:
    assert using(generator_of(server, provider), ask) == "ab"
    assert [body["model"] for body in server.bodies] == ["wanted"]


def test_i2_model_and_dimension_are_kept_with_the_vectors(
    server: ScriptedServer, tmp_path: Path
) -> None:
    def config(name: str, dimension: int) -> Any:
        embedder = {"provider": "openai", "name": name, "dimension": dimension}
        return parse_config(
            {"embedder": {**embedder, "base_url": server.url}, "schedule": {"close_s": 0.0}}
        )

    path = tmp_path / "memory.db"
    with MemoryScope.open(path, config=config("emb", 3)) as memory:
        memory.record("I moved to Lisbon", scope="ann")
        spec = memory.stats().embedder
        assert spec is not None
        assert (spec.name, spec.dimension) == ("emb", 3)
    assert {body["model"] for body in server.bodies} == {"emb"}
    for name, dimension in (("emb", 4), ("other", 3)):
        with pytest.raises(EmbeddingMismatch, match="emb"):
            MemoryScope.open(path, config=config(name, dimension))


@pytest.mark.parametrize("provider", ["dashscope", "rerank-api"])
def test_i3_more_documents_than_a_request_may_hold(server: ScriptedServer, provider: str) -> None:
    values = {"provider": provider, "model": "re", "base_url": server.url}
    reranker = build_reranker(parse_config({"reranker": values}))
    assert reranker is not None
    scores = np.random.default_rng(1).permutation(2 * MOST_DOCUMENTS + 1) / 2000
    found = asyncio.run(reranker.rerank("where", [str(score) for score in scores]))
    reranker.close()
    assert np.allclose(found, scores, atol=1e-6)
    assert [body["model"] for body in server.bodies] == ["re"] * 3


@pytest.mark.parametrize("provider", ["openai", "azure", "dashscope-compatible"])
def test_i4_address_and_key_of_the_settings(server: ScriptedServer, provider: str) -> None:
    sampling = {"temperature": 0.25, "max_tokens": 33}
    using(generator_of(server, provider, api_key="DEEPSEEK_API_KEY", **sampling), _whole)
    (request,) = server.requests  # it came to base_url, or it would not be here
    key = request.headers.get("api-key") or request.headers["authorization"].split()[1]
    assert key == "value-of-DEEPSEEK_API_KEY"
    assert request.body["temperature"] == 0.25
    assert 33 in (request.body.get("max_tokens"), request.body.get("max_completion_tokens"))


@pytest.mark.parametrize("ask", [_whole, _streamed])
def test_i5_a_failure_before_a_success_is_a_success(ask: Any) -> None:
    good = openai_chat("ab") if ask is _whole else openai_stream(["a", "b"])
    with scripted_server([openai_error(503, retry_after="0.001"), good]) as server:
        assert using(generator_of(server, "vllm"), ask) == "ab"
        assert len(server.requests) == 2


def test_i5_the_deadline_of_the_settings_ends_it() -> None:
    def late(request: WireRequest) -> WireReply:
        return WireReply((b"{}",), delay=2.0)

    with scripted_server(late) as server, pytest.raises(ModelError) as caught:
        using(generator_of(server, "vllm", deadline_s=0.5, retries=9), _whole)
    assert caught.value.retryable
    assert len(server.requests) <= 1  # none on a machine that is too busy to send it


def test_i6_what_is_not_this_machine_cannot_be_reached() -> None:
    with pytest.raises(NetworkBlocked), socket.socket() as out:
        out.connect(("192.0.2.1", 443))
    with pytest.raises(NetworkBlocked):
        socket.getaddrinfo("example.org", 443)


def test_i6_the_default_models_are_on_this_machine(tmp_path: Path) -> None:
    default = parse_config({})
    assert build_generator(default) is None
    assert build_reranker(default) is None
    embedder = build_embedder(default)
    assert embedder is not None
    assert asyncio.run(embedder.embed(["hello"], "query")).shape == (1, embedder.spec.dimension)
    embedder.close()
