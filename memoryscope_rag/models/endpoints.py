"""The servers known by name: where they are, which key they want, what they understand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from memoryscope_rag.errors import ConfigError, suggest
from memoryscope_rag.models.ladder import Rung


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that speaks Chat Completions, or DashScope's own language.

    ``base_url`` is ``None`` where every customer has one. ``key_variable`` is the environment
    variable that holds the key unless the settings name another, ``None`` where none is wanted.
    ``rung`` is the strongest way of asking for JSON that is worth a first try. ``tokens_field``
    is what the bound on the reply is called; a server that refuses one is asked with the other.
    ``batch`` is how many texts one embedding request may hold.
    """

    name: str
    base_url: str | None
    key_variable: str | None
    rung: Rung = "json_schema"
    tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    batch: int = 64


_DASHSCOPE = "https://dashscope.aliyuncs.com"

ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {
        endpoint.name: endpoint
        for endpoint in (
            Endpoint(
                "openai",
                "https://api.openai.com/v1",
                "OPENAI_API_KEY",
                tokens_field="max_completion_tokens",
                batch=256,
            ),
            Endpoint(
                "azure",
                None,
                "AZURE_OPENAI_API_KEY",
                tokens_field="max_completion_tokens",
                batch=256,
            ),
            Endpoint("deepseek", "https://api.deepseek.com", "DEEPSEEK_API_KEY", "json_object"),
            # json_schema is known to a few of its models only, the others may pass over it
            Endpoint(
                "dashscope-compatible",
                f"{_DASHSCOPE}/compatible-mode/v1",
                "DASHSCOPE_API_KEY",
                "json_object",
                batch=10,
            ),
            Endpoint("ollama", "http://localhost:11434/v1", None),
            Endpoint("vllm", "http://localhost:8000/v1", None),
            Endpoint(
                "dashscope", f"{_DASHSCOPE}/api/v1", "DASHSCOPE_API_KEY", "json_object", batch=10
            ),
        )
    }
)


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """An embedding model of a server: its usual width, and tokens of the longest input."""

    dimension: int
    max_tokens: int
    any_width: bool = True


EMBEDDING_MODELS: Mapping[str, EmbeddingModel] = MappingProxyType(
    {
        "text-embedding-3-small": EmbeddingModel(1536, 8191),
        "text-embedding-3-large": EmbeddingModel(3072, 8191),
        "text-embedding-ada-002": EmbeddingModel(1536, 8191, any_width=False),
        "text-embedding-v1": EmbeddingModel(1536, 2048, any_width=False),
        "text-embedding-v2": EmbeddingModel(1536, 2048, any_width=False),
        "text-embedding-v3": EmbeddingModel(1024, 8192),
        "text-embedding-v4": EmbeddingModel(1024, 8192),
    }
)
"""``any_width`` says whether the server makes narrower vectors on request."""


def find_endpoint(name: str) -> Endpoint:
    """The endpoint of that name.

    Raises:
        ConfigError: no such endpoint; lists the known ones.
    """
    if name not in ENDPOINTS:
        raise ConfigError(f"no endpoint {name!r}; {suggest(name, ENDPOINTS)}")
    return ENDPOINTS[name]
