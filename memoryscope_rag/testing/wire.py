"""What servers of models send, for :mod:`.scripted_server`: OpenAI and its like, DashScope."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from memoryscope_rag.testing.scripted_server import WireReply

EVENTS = "text/event-stream"


def as_json(value: Any, *, status: int = 200, **headers: str) -> WireReply:
    """Any JSON value; ``retry_after="1"`` becomes the header ``Retry-After``."""
    named = {name.replace("_", "-").title(): text for name, text in headers.items()}
    return WireReply((json.dumps(value).encode(),), status, named)


def openai_chat(
    text: str | None,
    *,
    model: str = "served",
    finish: str | None = "stop",
    usage: tuple[int, int] | None = (7, 5),
    **message: Any,
) -> WireReply:
    """A chat completion; ``message`` adds fields such as ``reasoning_content`` (DeepSeek)."""
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": text, **message},
    }
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": model}
    counted = {"usage": _openai_usage(usage)} if usage else {}
    return as_json({**body, "choices": [choice], **counted})


def openai_stream(
    pieces: Iterable[str | float | dict[str, Any]],
    *,
    model: str = "served",
    finish: str | None = "stop",
    usage: tuple[int, int] | None = (7, 5),
    cut: bool = False,
) -> WireReply:
    """A streamed completion: texts, pauses in seconds, or whole deltas as mappings.

    With ``cut`` it breaks off after the last piece.
    """
    events: list[bytes | float] = []

    def event(choices: list[Any], **more: Any) -> None:
        body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model}
        events.append(_event({**body, "choices": choices, **more}))

    for piece in pieces:
        if isinstance(piece, float | int):
            events.append(float(piece))
            continue
        delta = piece if isinstance(piece, dict) else {"content": piece}
        event([{"index": 0, "delta": delta, "finish_reason": None}])
    if not cut:
        if finish is not None:
            event([{"index": 0, "delta": {}, "finish_reason": finish}])
        if usage is not None:
            event([], usage=_openai_usage(usage))
        events.append(b"data: [DONE]\n\n")
    return WireReply(tuple(events), content_type=EVENTS, cut=cut)


def openai_embeddings(vectors: Sequence[Sequence[float]], *, model: str = "served") -> WireReply:
    """Embeddings in reverse order, for the order is told by ``index``."""
    data = [
        {"object": "embedding", "index": place, "embedding": list(vector)}
        for place, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return as_json({"object": "list", "data": data[::-1], "model": model, "usage": usage})


def openai_error(
    status: int,
    message: str = "no",
    *,
    code: str | None = None,
    kind: str = "error",
    **headers: str,
) -> WireReply:
    """An error as OpenAI, Azure, DeepSeek, vLLM and Ollama send it."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return as_json({"error": error}, status=status, **headers)


def rerank(scores: Sequence[float]) -> WireReply:
    """Scores as Jina, Cohere and vLLM send them, best first."""
    return as_json({"results": _ranked(scores)})


def dashscope_chat(
    text: str,
    *,
    finish: str = "stop",
    usage: tuple[int, int] = (7, 5),
    **message: Any,
) -> WireReply:
    """A chat completion in DashScope's message format."""
    return as_json(_dashscope(text, finish, usage, message))


def dashscope_stream(
    pieces: Iterable[str | float | dict[str, Any]],
    *,
    finish: str = "stop",
    usage: tuple[int, int] = (7, 5),
    cut: bool = False,
) -> WireReply:
    """A streamed one, each piece the increment; every event tells the usage so far."""
    events: list[bytes | float] = []
    for number, piece in enumerate(pieces, 1):
        if isinstance(piece, float | int):
            events.append(float(piece))
            continue
        more = piece if isinstance(piece, dict) else {}
        text = piece if isinstance(piece, str) else ""
        head = f"id:{number}\nevent:result\n:HTTP_STATUS/200\n".encode()
        events.append(head + _event(_dashscope(text, "null", (usage[0], number), more)))
    if not cut:
        events.append(b"id:0\nevent:result\n" + _event(_dashscope("", finish, usage, {})))
    return WireReply(tuple(events), content_type=f"{EVENTS};charset=UTF-8", cut=cut)


def dashscope_embeddings(vectors: Sequence[Sequence[float]]) -> WireReply:
    """Embeddings in reverse order, for the order is told by ``text_index``."""
    found = [
        {"text_index": place, "embedding": list(vector)} for place, vector in enumerate(vectors)
    ]
    return as_json(
        {"output": {"embeddings": found[::-1]}, "usage": {"total_tokens": 1}, "request_id": "r"}
    )


def dashscope_rerank(scores: Sequence[float]) -> WireReply:
    """Scores, best first."""
    return as_json(
        {"output": {"results": _ranked(scores)}, "usage": {"total_tokens": 1}, "request_id": "r"}
    )


def dashscope_error(status: int, code: str, message: str = "no", **headers: str) -> WireReply:
    """An error; DashScope sends some under status 200."""
    body = {"code": code, "message": message, "request_id": "r"}
    return as_json(body, status=status, **headers)


def _event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _openai_usage(usage: tuple[int, int]) -> dict[str, int]:
    return {
        "prompt_tokens": usage[0],
        "completion_tokens": usage[1],
        "total_tokens": sum(usage),
    }


def _dashscope(
    text: str, finish: str, usage: tuple[int, int], message: dict[str, Any]
) -> dict[str, Any]:
    said = {"role": "assistant", "content": text, **message}
    counted = {"input_tokens": usage[0], "output_tokens": usage[1], "total_tokens": sum(usage)}
    output = {"choices": [{"finish_reason": finish, "message": said}]}
    return {"output": output, "usage": counted, "request_id": "r"}


def _ranked(scores: Sequence[float]) -> list[dict[str, Any]]:
    order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    return [{"index": place, "relevance_score": scores[place]} for place in order]
