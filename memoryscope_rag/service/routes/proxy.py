"""chat/completions, responses, models: OpenAI's API, for any client of it, with memory."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from memoryscope_rag.configs.model import ProxyConfig
from memoryscope_rag.schema import Scope, check_name
from memoryscope_rag.service.access import Caller, Reader, Writer
from memoryscope_rag.service.problems import Problem
from memoryscope_rag.service.proxy.door import CHAT, MEMORY_HEADER, RESPONSES, Dialect, Proxy
from memoryscope_rag.service.proxy.memory import Whose
from memoryscope_rag.service.proxy.upstream import Forward

_DEFAULT_AGENT = "default"
_ANY: dict[str, Any] = {"schema": {"type": "object"}}
_FAILED = {"description": "What the upstream says.", "content": {"application/json": {}}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "As the upstream answers, byte for byte.",
        "headers": {
            MEMORY_HEADER: {
                "description": "What became of memory: used, none, late, failed or off.",
                "schema": {"type": "string"},
            }
        },
        "content": {
            "application/json": _ANY,
            "text/event-stream": {"itemSchema": {"type": "object"}},
        },
    },
    "4XX": _FAILED,
    "5XX": _FAILED,
}
_MODELS: dict[int | str, dict[str, Any]] = {
    200: {"description": "As the upstream answers.", "content": {"application/json": _ANY}},
    "4XX": _FAILED,
    "5XX": _FAILED,
}


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    model: str | None = None
    stream: bool | None = None
    user: str | None = Field(None, description="Whose memory, unless a header says so.")


class ChatCompletionBody(_Open):
    """What the proxy reads of a request; all else passes through as it came."""

    messages: list[dict[str, Any]] = Field(min_length=1)


class ResponseBody(_Open):
    """What the proxy reads of a request; all else passes through as it came."""

    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None


def proxy_routes(settings: ProxyConfig) -> APIRouter:
    """The routes, with the headers that ``settings`` name."""
    router = APIRouter(prefix="/v1", tags=["proxy"])
    post: dict[str, Any] = {
        "methods": ["POST"],
        "response_class": Response,
        "responses": _ANSWERS,
        "openapi_extra": {"parameters": _parameters(settings)},
    }
    router.add_api_route("/chat/completions", chat_completions, **post)
    router.add_api_route("/responses", responses, **post)
    router.add_api_route(
        "/models", models, methods=["GET"], response_class=Response, responses=_MODELS
    )
    return router


async def chat_completions(body: ChatCompletionBody, request: Request, who: Writer) -> Response:
    """A completion of the upstream's, which is shown what memory holds; the turn is recorded.

    Whose memory it is: the header, else the field ``user``, else the user of the key.
    """
    return await _answer(CHAT, request, who, body.user)


async def responses(body: ResponseBody, request: Request, who: Writer) -> Response:
    """As chat/completions, in the manner of Responses; where the upstream has them."""
    return await _answer(RESPONSES, request, who, body.user)


async def models(request: Request, who: Reader) -> Response:
    """The models of the upstream, or the one of this service."""
    return await _proxy(request).models(await _forward(request))


async def _answer(dialect: Dialect, request: Request, who: Caller, user: str | None) -> Response:
    who.need("read")
    off = request.headers.get(MEMORY_HEADER, "").strip().lower() == "off"
    whose = None if off else _whose(request, who, user)
    forward = await _forward(request)
    return await _proxy(request).answer(dialect, forward, whose, request.state.request_id)


def _whose(request: Request, who: Caller, user: str | None) -> Whose:
    """Whose memory and which conversation. Raises Problem, InvalidInput."""
    settings = _proxy(request).settings
    headers = request.headers
    named = headers.get(settings.user_header) or None
    if who.user is not None and named not in (None, who.user):
        raise Problem("forbidden", 403, "this key is bound to another user")
    user_id = who.user or named or user or None
    if user_id is None:
        raise Problem(
            "user-needed",
            400,
            f"whose memory? send the header {settings.user_header} or the field user, or use a"
            " key that is bound to a user",
        )
    session_id = headers.get(settings.session_header) or None
    if session_id is not None:
        check_name(settings.session_header, session_id)
    agent_id = headers.get(settings.agent_header) or _DEFAULT_AGENT
    return Whose(Scope(user_id, agent_id, who.tenant), session_id)


async def _forward(request: Request) -> Forward:
    return Forward(
        request.method,
        request.url.path.removeprefix("/v1/"),
        request.url.query,
        tuple(request.headers.items()),
        await request.body(),
    )


def _proxy(request: Request) -> Proxy:
    opened: Proxy = request.app.state.proxy
    return opened


def _parameters(settings: ProxyConfig) -> list[dict[str, Any]]:
    described = {
        settings.user_header: "Whose memory.",
        settings.session_header: "Which conversation; by default the one that began alike.",
        settings.agent_header: f"With which agent; {_DEFAULT_AGENT} unless given.",
        MEMORY_HEADER: "off: this request neither uses memory nor is recorded.",
    }
    return [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": text,
            "schema": {"type": "string"},
        }
        for name, text in described.items()
    ]
