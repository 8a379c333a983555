"""Chat, embedding and reranking models of DashScope in its own language (extra dashscope).

The SDK's second interface (``dashscope.v2``, from 2.0 on) is used: it has clients of its own,
asynchronous ones among them, where the first shares one HTTP session and one key per process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Literal

from memoryscope_rag.errors import ModelError
from memoryscope_rag.models.assembly import Piece, assembled, whole
from memoryscope_rag.models.dashscope_server import DashScopeServer, SdkError, failure_of
from memoryscope_rag.models.endpoints import ENDPOINTS
from memoryscope_rag.models.failures import Failure
from memoryscope_rag.models.ladder import Ladder, Rung, response_format, with_schema
from memoryscope_rag.models.remote_embedding import RemoteEmbedder
from memoryscope_rag.models.remote_rerank import RemoteReranker
from memoryscope_rag.models.sendable import sendable
from memoryscope_rag.ports import ChatMessage, Delta, JsonSchema, Reply, Sampling, Usage


class DashScopeGenerator:
    """A chat model of DashScope.

    One request a call and no retries; wrap it in :class:`~.retrying.RetryingGenerator`. For one
    event loop, that of the first request. The parameters not named here are those of
    :class:`~.dashscope_server.DashScopeServer`.

    Args:
        timeout_s: for the whole of a reply; in a stream, for the wait between two pieces.
        extra: further ``parameters`` of every request, such as ``{"enable_thinking": False}``.
        ladder: what is known of the servers' ways to give JSON; shared by an application.

    Raises:
        MissingExtra: the package ``dashscope`` is not installed (when this module is imported).
        ConfigError: the key is missing.
    """

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
        self._client = self._server.async_client()
        self._model = model
        self._timeout_s = timeout_s
        self._extra = dict(extra or {})
        self._ladder = ladder or Ladder()
        self._closed = False

    @property
    def model(self) -> str:
        """The name that is sent."""
        return self._model

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: Sampling = Sampling(),
        schema: JsonSchema | None = None,
    ) -> Reply:
        """See :class:`~memoryscope_rag.ports.Generator`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                completion = await self._send(messages, sampling, schema, stream=False)
        except TimeoutError:
            raise Failure("timeout").error(self._server.asked) from None
        with self._server.told():
            return whole(_piece(completion, completion.choices[0].message), self._server.asked)

    def stream(
        self, messages: Sequence[ChatMessage], *, sampling: Sampling = Sampling()
    ) -> AsyncGenerator[Delta]:
        """See :class:`~memoryscope_rag.ports.Generator`. Reasoning comes with the last piece."""
        return assembled(self._pieces(messages, sampling), self._server.asked)

    async def close(self) -> None:
        """Close the connections; a second call does nothing."""
        self._closed = True
        await self._client.aclose()

    async def _pieces(
        self, messages: Sequence[ChatMessage], sampling: Sampling
    ) -> AsyncGenerator[Piece]:
        source = await self._send(messages, sampling, None, stream=True)
        chunks = aiter(source)
        try:
            while True:
                with self._server.told():
                    chunk = await anext(chunks, None)
                    if chunk is None:
                        return
                    piece = _piece(chunk, chunk.choices[0].delta if chunk.choices else None)
                yield piece
        finally:
            await chunks.aclose()
            await source.aclose()

    async def _send(
        self,
        messages: Sequence[ChatMessage],
        sampling: Sampling,
        schema: JsonSchema | None,
        *,
        stream: bool,
    ) -> Any:
        server = self._server
        if self._closed:
            raise ModelError(f"the model {self._model!r} is closed")
        create: Any = self._client.chat.completions.create
        while True:
            told: Sequence[ChatMessage] = messages
            wanted: dict[str, Any] | None = None
            rung: Rung | None = None
            if schema is not None:
                first = ENDPOINTS["dashscope"].rung
                rung = self._ladder.rung(server.base_url, self._model, schema, first)
                wanted = response_format(rung, schema)
                if rung != "json_schema":
                    told = with_schema(messages, schema)
            with server.told():
                try:
                    return await create(
                        model=self._model,
                        messages=[
                            {"role": one.role, "content": sendable(one.content)} for one in told
                        ],
                        stream=stream,
                        temperature=sampling.temperature,
                        top_p=sampling.top_p,
                        max_tokens=sampling.max_tokens,
                        stop=list(sampling.stop) or None,
                        seed=sampling.seed,
                        response_format=wanted,
                        parameters=self._extra or None,
                    )
                except SdkError as error:
                    failure = failure_of(error)
                    if (
                        not failure.refused
                        or schema is None
                        or rung is None
                        or not self._ladder.refused(
                            server.base_url, self._model, schema, rung, failure.detail
                        )
                    ):
                        raise


def _piece(answer: Any, message: Any) -> Piece:
    """What an answer or an event of a stream says; there the usage is that so far."""
    usage = answer.usage and Usage(answer.usage.input_tokens, answer.usage.output_tokens)
    finish = answer.choices[0].finish_reason if answer.choices else None
    return Piece(
        getattr(message, "content", None) or "",
        getattr(message, "reasoning_content", None) or "",
        answer.model or "",
        usage,
        "" if finish in (None, "null") else finish,  # while it goes on it says "null"
    )


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
