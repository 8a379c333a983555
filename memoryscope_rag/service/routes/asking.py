"""retrieve, chat, chat_stream: what memory is for."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from memoryscope_rag.errors import MemoryScopeError
from memoryscope_rag.operations.chat import ChatReply
from memoryscope_rag.schema import Evidence
from memoryscope_rag.service.access import Reader, Writer
from memoryscope_rag.service.answers import Memory, answer, described, dump, event
from memoryscope_rag.service.problems import problem_of
from memoryscope_rag.service.schemas import ChatBody, RetrieveBody

router = APIRouter(tags=["asking"])
_EVENTS = described(
    "text/event-stream",
    "Events: evidence, text (many), then reply; problem when it breaks off.",
    {
        "type": "object",
        "properties": {
            "event": {"enum": ["evidence", "text", "reply", "problem"]},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
    },
)


@router.post("/retrieve", response_model=Evidence)
async def retrieve(body: RetrieveBody, who: Reader, memory: Memory) -> Response:
    """The evidence in this scope that matters to the query, best first; maybe none."""
    found = await memory.retrieve(body.query, scope=body.scope(who.tenant), **body.options())
    return answer(Evidence, found)


@router.post("/chat", response_model=ChatReply)
async def chat(body: ChatBody, who: Writer, memory: Memory) -> Response:
    """A reply of the chat model, which is given what memory holds; the turn is recorded.

    A turn that failed may be sent again with the same ``message_id`` and ``now``.
    """
    who.need("read")
    reply = await memory.chat(
        body.query, scope=body.scope(who.tenant), session_id=body.session_id, **body.options()
    )
    return answer(ChatReply, reply)


@router.post("/chat_stream", response_class=StreamingResponse, responses=_EVENTS)
async def chat_stream(body: ChatBody, who: Writer, memory: Memory, request: Request) -> Response:
    """As chat, in server-sent events. Whoever leaves early has the part that was said recorded."""
    who.need("read")
    deltas = memory.chat_stream(
        body.query, scope=body.scope(who.tenant), session_id=body.session_id, **body.options()
    )

    async def events() -> AsyncIterator[bytes]:
        try:
            first = True
            async for delta in deltas:
                if delta.reply is not None:
                    yield event("reply", dump(ChatReply, delta.reply))
                elif first:
                    yield event("evidence", dump(Evidence, delta.evidence))
                else:
                    yield event("text", dump(str, delta.text))
                first = False
        except MemoryScopeError as error:
            problem = problem_of(error).response(request.state.request_id)
            yield event("problem", bytes(problem.body))
        finally:
            await deltas.aclose()

    return StreamingResponse(events(), media_type="text/event-stream")
