"""What goes out: our own types as JSON, and the few that only the service has."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.schema import Message


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Messages in order of ``seq``; ``after`` begins the next page, ``None`` on the last."""

    items: tuple[Message, ...]
    after: int | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many there are."""

    count: int


@dataclass(frozen=True, slots=True)
class Health:
    """That the process answers, or that its store does."""

    status: str
    version: str


def described(
    media: str, what: str, schema: Mapping[str, Any] | None = None
) -> dict[int | str, dict[str, Any]]:
    """How a route declares an answer that is no JSON; ``schema`` is that of each of its events."""
    content = {"schema": {"type": "string"}} if schema is None else {"itemSchema": dict(schema)}
    return {200: {"description": what, "content": {media: content}}}


@functools.cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """What turns values of ``kind`` into JSON and back."""
    return TypeAdapter(kind)


def dump(kind: Any, value: object) -> bytes:
    """``value`` as JSON. Read-only mappings are mappings, which pydantic does not know."""
    return adapter(kind).dump_json(value, fallback=_mapping, warnings=False)


def answer(kind: Any, value: object) -> Response:
    """``value`` as an answer of the type that the route declares."""
    return Response(dump(kind, value), media_type="application/json")


def event(name: str, data: bytes) -> bytes:
    """A server-sent event; JSON has no line ends of its own."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


def _mapping(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is no JSON")


async def memory(request: Request) -> AsyncMemoryScope:
    """The memory of this process."""
    opened: AsyncMemoryScope = request.app.state.memory
    return opened


Memory = Annotated[AsyncMemoryScope, Depends(memory)]
