"""Chat and embedding models behind any OpenAI-compatible URL (Chat Completions, extra openai)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from memoryscope_rag.models.assembly import Piece
from memoryscope_rag.models.endpoints import ENDPOINTS, Endpoint
from memoryscope_rag.models.failures import Failure
from memoryscope_rag.models.ladder import Ladder
from memoryscope_rag.models.openai_server import REFUSALS, OpenAIServer, failure_of
from memoryscope_rag.models.remote_embedding import RemoteEmbedder
from memoryscope_rag.models.remote_generation import RemoteGenerator
from memoryscope_rag.models.remote_rerank import RemoteReranker
from memoryscope_rag.ports import Sampling, Usage

_OTHER_FIELD = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


class OpenAIGenerator(RemoteGenerator):
    """A chat model behind an OpenAI-compatible URL.

    What a server turns out not to understand (``response_format``, the name of the bound on the
    reply, usage in streams) is left out from then on; the request that taught it is sent again at
    once. The parameters not named here are those of :class:`~.remote_generation.RemoteGenerator`
    and of :class:`~.openai_server.OpenAIServer`.

    Args:
        extra_body: further fields of every request, such as ``{"enable_thinking": False}``.

    Raises:
        MissingExtra: the package ``openai`` is not installed (when this module is imported).
        ConfigError: URL, key or version is missing.
    """

    _refusals = REFUSALS

    def __init__(
        self,
        model: str,
        *,
        endpoint: Endpoint = ENDPOINTS["openai"],
        base_url: str | None = None,
        api_key: str | None = None,
        api_version: str | None = None,
        key_variable: str | None = None,
        timeout_s: float = 60.0,
        extra_body: Mapping[str, Any] | None = None,
        ladder: Ladder | None = None,
    ) -> None:
        self._server = OpenAIServer(
            model,
            endpoint,
            base_url=base_url,
            api_key=api_key,
            api_version=api_version,
            key_variable=key_variable,
            timeout_s=timeout_s,
        )
        super().__init__(model, self._server, endpoint.rung, timeout_s=timeout_s, ladder=ladder)
        self._client = self._server.async_client()
        self._extra = dict(extra_body or {})
        self._tokens_field: str = endpoint.tokens_field
        self._stream_usage = True

    async def _request(
        self,
        messages: list[dict[str, str]],
        sampling: Sampling,
        wanted: dict[str, Any] | None,
        *,
        stream: bool,
    ) -> Any:
        while True:
            arguments = self._arguments(messages, sampling, wanted, stream)
            try:
                return await self._client.chat.completions.create(**arguments)
            except REFUSALS as error:
                if not self._learns(failure_of(error), arguments):
                    raise

    def _arguments(
        self,
        messages: list[dict[str, str]],
        sampling: Sampling,
        wanted: dict[str, Any] | None,
        stream: bool,
    ) -> dict[str, Any]:
        given = {
            "response_format": wanted,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self._tokens_field: sampling.max_tokens,
            "stop": list(sampling.stop) or None,
            "seed": sampling.seed,
        }
        arguments: dict[str, Any] = {"model": self._model, "messages": messages}
        arguments |= {name: value for name, value in given.items() if value is not None}
        if stream:
            arguments["stream"] = True
            if self._stream_usage:
                arguments["stream_options"] = {"include_usage": True}
        if self._extra:
            arguments["extra_body"] = self._extra
        return arguments

    def _learns(self, failure: Failure, arguments: Mapping[str, Any]) -> bool:
        """Whether the refusal taught something, so that the next request is another one."""
        words = failure.detail.lower()
        refused = refused_field(words)
        if refused and refused in arguments:
            if refused == self._server.endpoint.tokens_field:
                self._tokens_field = _OTHER_FIELD[refused]
            return self._tokens_field != refused
        if "stream_options" in arguments and "stream_options" in words:
            self._stream_usage = False
            return True
        return False

    def _failure(self, error: Any) -> Failure:
        return failure_of(error)

    def _piece(self, answer: Any, message: Any) -> Piece:
        usage = None
        if answer.usage is not None:
            usage = Usage(answer.usage.prompt_tokens or 0, answer.usage.completion_tokens or 0)
        finish = (answer.choices[0].finish_reason or "") if answer.choices else ""
        refusal = getattr(message, "refusal", None)  # in place of a reply of the schema
        text = getattr(message, "content", None) or refusal or ""
        # DeepSeek, Qwen and older vLLM say reasoning_content; Ollama and newer vLLM reasoning
        thought = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
        if not isinstance(text, str):
            raise TypeError("content is no text")
        reasoning = thought if isinstance(thought, str) else ""
        finish = "content_filter" if refusal and finish else finish
        return Piece(text, reasoning, answer.model or "", usage, finish)

    async def _close_stream(self, source: Any) -> None:
        await source.close()

    async def _close(self) -> None:
        await self._client.close()


def refused_field(words: str) -> str:
    """Which name of the bound on the reply a server says it does not know, or "" for none."""
    if not any(sign in words for sign in ("unsupported", "unrecognized", "unknown", "not support")):
        return ""
    places = {name: words.find(name) for name in _OTHER_FIELD}
    named = {name: place for name, place in places.items() if place >= 0}
    # "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    return min(named, key=named.__getitem__) if named else ""


class OpenAIEmbedder(RemoteEmbedder):
    """An embedding model behind an OpenAI-compatible URL (``POST /embeddings``).

    The parameters not named here are those of :class:`~.openai_server.OpenAIServer` and of
    :class:`~.remote_embedding.RemoteEmbedder`. Requests run in threads, so it may be used from
    any event loop and closed from none.

    Args:
        ask_dimension: send ``dimensions``; for models that make vectors of several widths.

    Raises:
        MissingExtra: the package ``openai`` is not installed (when this module is imported).
        ConfigError: URL, key or version is missing.
    """

    def __init__(
        self,
        model: str,
        dimension: int,
        *,
        endpoint: Endpoint = ENDPOINTS["openai"],
        base_url: str | None = None,
        api_key: str | None = None,
        api_version: str | None = None,
        key_variable: str | None = None,
        timeout_s: float = 30.0,
        ask_dimension: bool = False,
        query_prefix: str = "",
        document_prefix: str = "",
        max_tokens: int = 512,
        concurrency: int = 4,
    ) -> None:
        self._server = OpenAIServer(
            model,
            endpoint,
            base_url=base_url,
            api_key=api_key,
            api_version=api_version,
            key_variable=key_variable,
            timeout_s=timeout_s,
        )
        super().__init__(
            model,
            dimension,
            self._server.asked,
            query_prefix=query_prefix,
            document_prefix=document_prefix,
            max_tokens=max_tokens,
            batch=endpoint.batch,
            concurrency=concurrency,
        )
        self._client = self._server.client()
        self._extra: dict[str, Any] = {"dimensions": dimension} if ask_dimension else {}

    def _request(
        self, texts: list[str], kind: Literal["query", "document"]
    ) -> dict[int, list[float]]:
        with self._server.told():
            response = self._client.embeddings.create(
                model=self._model, input=texts, encoding_format="float", **self._extra
            )
            return {one.index: one.embedding for one in response.data}

    def _close(self) -> None:
        self._client.close()


class OpenAIReranker(RemoteReranker):
    """A reranking model behind ``POST /rerank`` as Jina, Cohere (v2), vLLM and others have it.

    Args:
        base_url: such as ``https://api.jina.ai/v1``; ``/rerank`` is added.
        api_key: the key itself; ``None`` where none is wanted.
        key_variable: the variable that the key came from, for messages.
        timeout_s: for connecting, and for the answer.

    Raises:
        MissingExtra: the package ``openai`` is not installed (when this module is imported).
        ConfigError: the URL is none.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str,
        api_key: str | None = None,
        key_variable: str | None = None,
        timeout_s: float = 10.0,
        concurrency: int = 4,
    ) -> None:
        self._server = OpenAIServer(
            model,
            Endpoint("rerank server", None, None),
            base_url=base_url,
            api_key=api_key,
            key_variable=key_variable,
            timeout_s=timeout_s,
        )
        super().__init__(model, self._server.asked, concurrency=concurrency)
        self._client = self._server.client()

    def _request(self, query: str, texts: list[str]) -> dict[int, float]:
        body = {"model": self._model, "query": query, "documents": texts, "top_n": len(texts)}
        with self._server.told():
            answer: Any = self._client.post("/rerank", body=body, cast_to=object)
            return {int(one["index"]): float(one["relevance_score"]) for one in answer["results"]}

    def _close(self) -> None:
        self._client.close()
