"""From settings to models: what is built, around what, and what is said when it cannot be."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from memoryscope_rag.build import build_embedder, build_generator, build_reranker
from memoryscope_rag.configs.load import load_config, parse_config
from memoryscope_rag.configs.model import Config, GeneratorConfig
from memoryscope_rag.errors import BudgetExceeded, ConfigError, MissingExtra, ModelError
from memoryscope_rag.models.endpoints import ENDPOINTS
from memoryscope_rag.models.ladder import Ladder
from memoryscope_rag.models.ledger import Ledger
from memoryscope_rag.ports import ChatMessage, Generator, Reply, Sampling, Usage
from memoryscope_rag.testing.scripted_server import ScriptedServer, WireRequest, scripted_server
from memoryscope_rag.testing.wire import (
    dashscope_chat,
    dashscope_embeddings,
    dashscope_rerank,
    openai_chat,
    openai_embeddings,
    openai_error,
    rerank,
)
from tests.models.chat import ASKED, using

ROOT = Path(__file__).parents[2]


def everything(request: WireRequest) -> Any:
    """A server that speaks all languages."""
    path, body = request.path, request.body
    if "text-rerank" in path:
        return dashscope_rerank([0.5] * len(body["input"]["documents"]))
    if "text-embedding" in path:
        return dashscope_embeddings([[1.0] * 8] * len(body["input"]["texts"]))
    if "text-generation" in path:
        return dashscope_chat("x")
    if path.endswith("/rerank"):
        return rerank([0.5] * len(body["documents"]))
    if path.endswith("/embeddings"):
        return openai_embeddings([[1.0] * 8] * len(body["input"]))
    return openai_chat("x", usage=(1_000_000, 0))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    for name in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "DASHSCOPE_API_KEY", "DEEPSEEK_API_KEY"):
        monkeypatch.setenv(name, f"value-of-{name}")
    with scripted_server(everything) as running:
        yield running


def settings(section: str, **values: Any) -> Config:
    return parse_config({section: values})


def test_nothing_is_built_unless_asked_for() -> None:
    assert build_generator(Config()) is None
    assert build_reranker(Config()) is None
    assert build_embedder(settings("embedder", name="none", provider="openai")) is None


@pytest.mark.parametrize(
    ("provider", "key"),
    [
        ("openai", "OPENAI_API_KEY"),
        ("azure", "AZURE_OPENAI_API_KEY"),
        ("deepseek", "DEEPSEEK_API_KEY"),
        ("dashscope-compatible", "DASHSCOPE_API_KEY"),
        ("ollama", None),
        ("vllm", None),
        ("dashscope", "DASHSCOPE_API_KEY"),
    ],
)
def test_i1_i4_every_provider_sends_model_key_and_sampling(
    server: ScriptedServer, provider: str, key: str | None
) -> None:
    config = settings(
        "generator",
        provider=provider,
        model="wanted",
        base_url=server.url,
        api_version="2024-10-21" if provider == "azure" else None,
        temperature=0.5,
        max_tokens=77,
        extra_body={"top_k": 4},
        cache=10,
    )
    generator = build_generator(config)
    assert isinstance(generator, Generator)
    assert generator.model == "wanted"
    assert using(generator, lambda one: one.generate(ASKED)).text == "x"
    (request,) = server.requests
    sent = request.body.get("parameters", request.body)
    assert request.body["model"] == "wanted"
    assert (sent["temperature"], sent["top_k"]) == (0.5, 4)
    assert 77 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))
    told = request.headers.get("api-key") or request.headers["authorization"]
    assert told.removeprefix("Bearer ") == (f"value-of-{key}" if key else "none")


def test_the_settings_name_another_variable(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_KEY", "ours")
    common = {"base_url": server.url, "api_key": "OUR_KEY"}
    generator = build_generator(settings("generator", provider="vllm", model="m", **common))
    assert generator is not None
    using(generator, lambda one: one.generate(ASKED))
    reranker = build_reranker(settings("reranker", provider="rerank-api", model="m", **common))
    assert reranker is not None
    asyncio.run(reranker.rerank("q", ["a"]))
    reranker.close()
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer ours"] * 2


@pytest.mark.parametrize(
    ("section", "build", "values"),
    [
        ("generator", build_generator, {"provider": "openai", "model": "m"}),
        ("generator", build_generator, {"provider": "dashscope", "model": "m"}),
        ("reranker", build_reranker, {"provider": "dashscope", "model": "m"}),
        ("embedder", build_embedder, {"provider": "openai", "name": "text-embedding-3-small"}),
    ],
)
def test_a_missing_key_is_named(
    section: str, build: Any, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = "DASHSCOPE_API_KEY" if values["provider"] == "dashscope" else "OPENAI_API_KEY"
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError, match=variable):
        build(settings(section, **values))
    with pytest.raises(ConfigError, match="NAMED_KEY"):
        build(settings(section, **values, api_key="NAMED_KEY"))


def test_the_wrappers_are_around_it() -> None:
    busy = openai_error(503, retry_after="0.001")
    script = [busy, openai_chat("a", usage=(1_000_000, 0)), busy, busy]
    config_of = {
        "provider": "vllm",
        "model": "m",
        "retries": 1,
        "cache": 5,
        "price_in": 0.25,
        "budget": 0.5,
        "concurrency": 1,
    }
    ledger = Ledger()

    async def some(one: Generator) -> list[Reply]:
        cold = Sampling(temperature=0.0)
        first = await one.generate(ASKED, sampling=cold)
        again = await one.generate(ASKED, sampling=cold)
        with pytest.raises(ModelError) as caught:
            await one.generate(ASKED)
        assert caught.value.retryable
        return [first, again]

    with scripted_server(script) as server:
        generator = build_generator(
            settings("generator", base_url=server.url, **config_of), ledger=ledger, ladder=Ladder()
        )
        assert generator is not None
        first, again = using(generator, some)
    assert (first.usage, again.usage) == (Usage(1_000_000, 0), Usage())
    assert len(server.requests) == 4
    assert ledger.cost == 0.25
    ledger.add("other", Usage(1, 1), 0.25)
    with scripted_server([]) as server:
        generator = build_generator(
            settings("generator", base_url=server.url, **config_of), ledger=ledger
        )
        assert generator is not None
        with pytest.raises(BudgetExceeded):
            using(generator, lambda one: one.generate([ChatMessage("user", "x")]))
        assert server.requests == []


@pytest.mark.parametrize("provider", ["openai", "azure", "ollama", "dashscope"])
def test_i2_embedders(server: ScriptedServer, provider: str) -> None:
    config = settings(
        "embedder",
        provider=provider,
        name="emb",
        base_url=server.url,
        api_version="2024-10-21" if provider == "azure" else None,
        dimension=8,
        query_prefix="q: ",
        max_tokens=100,
    )
    embedder = build_embedder(config)
    assert embedder is not None
    assert (embedder.spec.name, embedder.spec.dimension) == ("emb", 8)
    assert embedder.spec.max_tokens == 100
    found = asyncio.run(embedder.embed(["where", "where"], "query"))
    again = asyncio.run(embedder.embed(["where"], "query"))
    embedder.close()
    assert np.allclose(found, 8**-0.5)
    assert np.array_equal(again, found[:1])
    assert len(server.requests) == 1  # cached
    body = server.bodies[0]
    assert body["model"] == "emb"
    assert (body.get("input") if provider != "dashscope" else body["input"]["texts"]) == [
        "q: where"
    ]


@pytest.mark.parametrize(
    ("name", "dimension", "asked", "max_tokens"),
    [
        ("text-embedding-3-small", None, None, 8191),
        ("text-embedding-3-small", 8, 8, 8191),
        ("text-embedding-ada-002", 8, None, 8191),
        ("other", 8, None, 512),
    ],
)
def test_i2_known_embedding_models(
    server: ScriptedServer, name: str, dimension: int | None, asked: int | None, max_tokens: int
) -> None:
    config = settings(
        "embedder", provider="openai", name=name, base_url=server.url, dimension=dimension
    )
    embedder = build_embedder(config)
    assert embedder is not None
    assert embedder.spec.max_tokens == max_tokens
    if dimension is None:
        assert embedder.spec.dimension == 1536
        with pytest.raises(ModelError, match="width 8, not 1536"):
            asyncio.run(embedder.embed(["x"], "query"))
    else:
        asyncio.run(embedder.embed(["x"], "query"))
    embedder.close()
    assert server.bodies[0].get("dimensions") == asked


@pytest.mark.parametrize("provider", ["dashscope", "rerank-api"])
def test_i3_rerankers(server: ScriptedServer, provider: str) -> None:
    config = settings("reranker", provider=provider, model="re", base_url=server.url)
    reranker = build_reranker(config)
    assert reranker is not None
    assert asyncio.run(reranker.rerank("q", ["a", "b"])).tolist() == [0.5, 0.5]
    reranker.close()
    assert server.bodies[0]["model"] == "re"


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        ({"generator": {"provider": "openai"}}, "generator.*needs a model"),
        ({"generator": {"provider": "gpt"}}, r"generator\.provider"),
        ({"generator": {"provider": "azure", "model": "m"}}, "base_url and api_version"),
        ({"generator": {"provider": "vllm", "model": "m", "budget": 1.0}}, "price_in"),
        ({"generator": {"api_key": "sk-123"}}, r"generator\.api_key"),
        ({"generator": {"concurrency": 0}}, r"generator\.concurrency"),
        ({"generator": {"modle": "m"}}, "did you mean 'model'"),
        ({"embedder": {"provider": "openai"}}, "needs the name of a model"),
        ({"embedder": {"provider": "azure", "name": "m"}}, "base_url and api_version"),
        ({"reranker": {"provider": "dashscope"}}, "needs a model"),
        ({"reranker": {"provider": "rerank-api", "model": "m"}}, "base_url"),
    ],
)
def test_settings_that_make_no_sense(tree: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        parse_config(tree)
    assert "sk-123" not in str(caught.value)


def test_a_width_that_is_not_known_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"embedder\.dimension"):
        build_embedder(settings("embedder", provider="vllm", name="BAAI/bge-m3"))


def test_settings_of_the_environment() -> None:
    config = load_config(
        environ={
            "MEMORYSCOPE_GENERATOR__PROVIDER": "ollama",
            "MEMORYSCOPE_GENERATOR__MODEL": "qwen3:8b",
            "MEMORYSCOPE_GENERATOR__TIMEOUT_S": "5",
            "MEMORYSCOPE_GENERATOR__EXTRA_BODY__ENABLE_THINKING": "false",
        }
    )
    assert (config.generator.model, config.generator.timeout_s) == ("qwen3:8b", 5.0)
    assert config.generator.extra_body == {"enable_thinking": False}


def test_j1_keys_are_redacted_in_dumps() -> None:
    tree = {section: {"api_key": "OUR_KEY"} for section in ("generator", "embedder", "reranker")}
    assert "OUR_KEY" not in str(parse_config(tree).dump())


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        encoding="utf-8",
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("package", "section", "values"),
    [
        ("openai", "generator", {"provider": "ollama", "model": "m"}),
        ("openai", "embedder", {"provider": "ollama", "name": "m", "dimension": 3}),
        ("dashscope", "reranker", {"provider": "dashscope", "model": "m", "api_key": "PATH"}),
        ("dashscope", "generator", {"provider": "dashscope", "model": "m", "api_key": "PATH"}),
    ],
)
def test_a_missing_package_names_the_extra(
    package: str, section: str, values: dict[str, Any]
) -> None:
    code = f"""
import sys
sys.modules[{package!r}] = None
from memoryscope_rag.build import build_{section}
from memoryscope_rag.configs.load import parse_config
from memoryscope_rag.errors import MissingExtra
try:
    build_{section}(parse_config({{{section!r}: {values!r}}}))
except MissingExtra as error:
    print(error.extra, error)
"""
    told = run(code)
    assert told.startswith(f"{package} ")
    assert f"memoryscope-rag[{package}]" in told
    assert issubclass(MissingExtra, ImportError)


def test_neither_sdk_is_loaded_unless_it_is_used() -> None:
    code = """
import sys
from memoryscope_rag import MemoryScope, load_config
from memoryscope_rag.build import build_generator, build_reranker
import memoryscope_rag.models.endpoints, memoryscope_rag.models.structured
import memoryscope_rag.models.retrying, memoryscope_rag.testing.scripted_server
assert build_generator(load_config()) is None and build_reranker(load_config()) is None
print(*sorted(sys.modules))
"""
    assert not set(run(code).split()) & {"openai", "dashscope", "httpx", "httpx2", "aiohttp"}


def test_every_provider_is_described() -> None:
    described = (ROOT / "docs" / "models.md").read_text("utf-8")
    for provider in get_args(GeneratorConfig.model_fields["provider"].annotation):
        assert f"\n| `{provider}` |" in described
        endpoint = ENDPOINTS.get(provider)
        if endpoint is not None and endpoint.key_variable is not None:
            assert endpoint.key_variable in described
