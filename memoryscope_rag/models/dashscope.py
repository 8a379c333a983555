"""Chat, embedding and reranking models of DashScope in its own language (extra dashscope).

The SDK's second interface (``dashscope.v2``, from 2.0 on) is used: it has clients of its own,
asynchronous ones among them, where the first shares one HTTP session and one key per process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from memoryscope_rag.models.assembly import Piece
from memoryscope_rag.models.dashscope_server import DashScopeServer, SdkError, failure_of
from memoryscope_rag.models.endpoints import ENDPOINTS
from memoryscope_rag.models.failures import Failure
from memoryscope_rag.models.ladder import Ladder
from memoryscope_rag.models.remote_embedding import RemoteEmbedder
from memoryscope_rag.models.remote_generation import RemoteGenerator
from memoryscope_rag.models.remote_rerank import RemoteReranker
from memoryscope_rag.ports import Sampling, Usage


class DashScopeGenerator(RemoteGenerator):
    """A chat model of DashScope.

    The parameters not named here are those of :class:`~.remote_generation.RemoteGenerator` and of
    :class:`~.dashscope_server.DashScopeServer`.

    Args:
        extra: further ``parameters`` of every request, such as ``{"enable_thinking": False}``.

    Raises:
        MissingExtra: the package ``dashscope`` is not installed (when this module is imported).
        ConfigError: the key is missing.
    """

    _refusals = (SdkError,)

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        key_variable: str | None = None,
        timeout_s: float = 60.0,
        extra: Mapping[str, Any] | None = None,
        ladder: Ladder | None = None,
    ) -> None:
        self._server = DashScopeServer(
            model,
            base_url=base_url,
            api_key=api_key,
            key_variable=key_variable,
            timeout_s=timeout_s,
        )
        first = ENDPOINTS["dashscope"].rung
        super().__init__(model, self._server, first, timeout_s=timeout_s, ladder=ladder)
        self._client = self._server.async_client()
        self._extra = dict(extra or {})

    async def _request(
        self,
        messages: list[dict[str, str]],
        sampling: Sampling,
        wanted: dict[str, Any] | None,
        *,
        stream: bool,
    ) -> Any:
        create: Any = self._client.chat.completions.create
        return await create(
            model=self._model,
            messages=messages,
            stream=stream,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            stop=list(sampling.stop) or None,
            seed=sampling.seed,
            response_format=wanted,
            parameters=self._extra or None,
        )

    def _failure(self, error: Any) -> Failure:
        return failure_of(error)

    def _piece(self, answer: Any, message: Any) -> Piece:
        """What is said; in a stream the usage is that so far."""
        usage = answer.usage and Usage(answer.usage.input_tokens, answer.usage.output_tokens)
        finish = answer.choices[0].finish_reason if answer.choices else None
        return Piece(
            getattr(message, "content", None) or "",
            getattr(message, "reasoning_content", None) or "",
            answer.model or "",
            usage,
            "" if finish in (None, "null") else finish,  # while it goes on it says "null"
        )

    async def _close_stream(self, source: Any) -> None:
        await source.aclose()

    async def _close(self) -> None:
        await self._client.aclose()


class DashScopeEmbedder(RemoteEmbedder):
    """An embedding model of DashScope, which is told whether a text is a query or a document.

    The parameters not named here are those of :class:`~.dashscope_server.DashScopeServer` and of
    :class:`~.remote_embedding.RemoteEmbedder`. Requests run in threads, so it may be used from
    any event loop and closed from none.

    Args:
        ask_dimension: send ``dimension``; for models that make vectors of several widths.
    """

    def __init__(
        self,
        model: str,
        dimension: int,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        key_variable: str | None = None,
        timeout_s: float = 30.0,
        ask_dimension: bool = False,
        query_prefix: str = "",
        document_prefix: str = "",
        max_tokens: int = 512,
        concurrency: int = 4,
    ) -> None:
        self._server = DashScopeServer(
            model,
            base_url=base_url,
            api_key=api_key,
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
            batch=ENDPOINTS["dashscope"].batch,
            concurrency=concurrency,
        )
        self._client = self._server.client()
        self._asked_dimension = dimension if ask_dimension else None

    def _request(
        self, texts: list[str], kind: Literal["query", "document"]
    ) -> dict[int, list[float]]:
        with self._server.told():
            response = self._client.embeddings.create(
                model=self._model,
                input=texts,
                text_type=kind,
                dimension=self._asked_dimension,
            )
            return {one.index: one.embedding for one in response.embeddings}

    def _close(self) -> None:
        self._client.close()


class DashScopeReranker(RemoteReranker):
    """A reranking model of DashScope: gte-rerank-v2, qwen3-rerank. Scores go from 0 to 1.

    The parameters are those of :class:`~.dashscope_server.DashScopeServer` and of
    :class:`~.remote_rerank.RemoteReranker`.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        key_variable: str | None = None,
        timeout_s: float = 10.0,
        concurrency: int = 4,
    ) -> None:
        self._server = DashScopeServer(
            model,
            base_url=base_url,
            api_key=api_key,
            key_variable=key_variable,
            timeout_s=timeout_s,
        )
        super().__init__(model, self._server.asked, concurrency=concurrency)
        self._client = self._server.client()

    def _request(self, query: str, texts: list[str]) -> dict[int, float]:
        with self._server.told():
            response = self._client.rerank.create(
                model=self._model,
                query=query,
                documents=texts,
                top_n=len(texts),
                return_documents=False,
            )
            return {one.index: one.relevance_score for one in response.results}

    def _close(self) -> None:
        self._client.close()
