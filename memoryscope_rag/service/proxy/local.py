"""The chat model of the settings in place of an upstream, speaking OpenAI's Chat Completions."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any, NoReturn

from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.operations.chat_prompt import disarmed
from memoryscope_rag.ports import ChatMessage, Delta, Generator, Reply, Sampling
from memoryscope_rag.schema import Role, check_text
from memoryscope_rag.service.problems import Problem, problem_of
from memoryscope_rag.service.proxy.requests import text_of
from memoryscope_rag.service.proxy.upstream import Answered, Forward

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_FINISH = {"stop": "stop", "length": "length", "filter": "content_filter", "other": "stop"}
_BESIDES = ("tools", "functions", "logprobs", "audio")
"""Fields whose request the model cannot answer as it is meant."""


class LocalModel:
    """Answers of ``generator``, under whatever name a request has for the model.

    It talks: what asks for calls of tools, for several choices, for a schema or with pictures is
    refused, for an answer that passes over it would not be one.
    """

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    async def ask(self, request: Forward) -> Answered:
        """See :class:`~.upstream.Source`. Raises Problem for what it cannot do."""
        if request.path == "models":
            return _at_once({"object": "list", "data": [self._model()]})
        if request.path != "chat/completions":
            _refuse("responses are the upstream's, and there is none; use /v1/chat/completions")
        tree = json.loads(request.body)
        messages, sampling = _messages(tree), _sampling(tree)
        if tree.get("stream"):
            deltas = self._generator.stream(messages, sampling=sampling)
            first = await anext(deltas)  # a model that fails at once is a failed request
            options = tree.get("stream_options")
            usage = isinstance(options, Mapping) and bool(options.get("include_usage"))
            return Answered(
                HTTPStatus.OK,
                (("content-type", "text/event-stream"),),
                self._events(first, deltas, usage=usage),
            )
        reply = await self._generator.generate(messages, sampling=sampling)
        return _at_once(
            {
                **self._head("chat.completion", reply.model),
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": reply.text, "refusal": None},
                        "logprobs": None,
                        "finish_reason": _FINISH[reply.finish],
                    }
                ],
                "usage": _usage(reply),
            }
        )

    async def close(self) -> None:
        """Nothing: the generator is the application's."""

    async def _events(
        self, first: Delta, deltas: AsyncIterator[Delta], *, usage: bool
    ) -> AsyncGenerator[bytes, None]:
        head = self._head("chat.completion.chunk", self._generator.model)

        def event(delta: Mapping[str, str], finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return _event({**head, "choices": [choice]})

        try:
            yield event({"role": "assistant", "content": first.text})
            reply = first.reply
            async for delta in deltas:
                reply = delta.reply or reply
                if delta.text:
                    yield event({"content": delta.text})
        except ModelError as error:
            problem = problem_of(error)
            failed = {"message": problem.detail, "type": "server_error", "code": problem.kind}
            yield _event({"error": failed})
        else:
            yield event({}, _FINISH[reply.finish if reply else "stop"])
            if usage and reply is not None:
                yield _event({**head, "choices": [], "usage": _usage(reply)})
        finally:
            if isinstance(deltas, AsyncGenerator):
                await deltas.aclose()
        yield b"data: [DONE]\n\n"

    def _head(self, kind: str, model: str) -> dict[str, Any]:
        name = f"chatcmpl-{uuid.uuid4().hex}"
        return {"id": name, "object": kind, "created": int(time.time()), "model": model}

    def _model(self) -> dict[str, Any]:
        return {
            "id": self._generator.model,
            "object": "model",
            "created": 0,
            "owned_by": "memoryscope-rag",
        }


def _messages(tree: Mapping[str, Any]) -> list[ChatMessage]:
    """The prompt, without the control tokens of chat templates. Raises Problem, InvalidInput."""
    asked = [name for name in _BESIDES if tree.get(name)]
    wanted = tree.get("response_format")
    if isinstance(wanted, Mapping) and wanted.get("type") != "text":
        asked.append("response_format")
    if tree.get("n") not in (None, 1):
        asked.append("n")
    if asked:
        _refuse(f"the model of this service does not do {', '.join(asked)}")
    messages = []
    for place, message in enumerate(tree["messages"]):
        role, content = message.get("role"), message.get("content")
        if role not in _ROLES or message.get("tool_calls"):
            _refuse(f"messages.{place}: this model knows the roles {', '.join(_ROLES)}, no tools")
        parts = content if isinstance(content, list) else []
        if any(not isinstance(part, Mapping) or part.get("type") != "text" for part in parts):
            _refuse(f"messages.{place}: this model reads texts alone")
        text = check_text(f"messages.{place}.content", text_of(content))
        messages.append(ChatMessage(_ROLES[role], disarmed(text)))
    return messages


def _sampling(tree: Mapping[str, Any]) -> Sampling:
    stop = tree.get("stop")
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    most = _number(tree, "max_completion_tokens", 1) or _number(tree, "max_tokens", 1)
    seed = tree.get("seed")
    return Sampling(
        temperature=_number(tree, "temperature"),
        top_p=_number(tree, "top_p"),
        max_tokens=None if most is None else int(most),
        stop=tuple(word for word in stops if isinstance(word, str) and word),
        seed=seed if isinstance(seed, int) else None,
    )


def _number(tree: Mapping[str, Any], name: str, least: float = 0) -> float | None:
    value = tree.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < 1e9:
        raise InvalidInput(name, f"must be a number, {least:g} or more")
    return value


def _refuse(detail: str) -> NoReturn:
    raise Problem("unsupported", HTTPStatus.BAD_REQUEST, detail)


def _usage(reply: Reply) -> dict[str, int]:
    prompt, completion = reply.usage.prompt_tokens, reply.usage.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _at_once(value: Any) -> Answered:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield json.dumps(value).encode()

    return Answered(HTTPStatus.OK, (("content-type", "application/json"),), pieces())


def _event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
