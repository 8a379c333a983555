"""record, record_many, messages: the log."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import Response

from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.errors import DuplicateId
from memoryscope_rag.ports import Recorded
from memoryscope_rag.schema import Scope, utc_now
from memoryscope_rag.service.access import Reader, Writer
from memoryscope_rag.service.answers import Memory, MessagePage, answer
from memoryscope_rag.service.idempotency import IdempotencyKey, derived_id
from memoryscope_rag.service.schemas import MessagesBody, RecordBody, RecordManyBody, Said

router = APIRouter(tags=["messages"])


@router.post("/record", response_model=Recorded)
async def record(
    request: Request,
    body: RecordBody,
    who: Writer,
    memory: Memory,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Record one message, durable and retrievable when this is answered."""
    own = body.message_id or derived_id(request, who, idempotency_key, body)
    (done,) = await _record(memory, body.scope(who.tenant), [(own or uuid.uuid4().hex, body)])
    if done.status == "refused":
        raise DuplicateId("message_id", "already recorded with other content")
    return answer(Recorded, done)


@router.post("/record_many", response_model=list[Recorded])
async def record_many(body: RecordManyBody, who: Writer, memory: Memory) -> Response:
    """Record messages in order, with an outcome each.

    ``refused``: the id is taken by another content, which is shown and stays.
    """
    named = [(message.id, message) for message in body.messages]
    done = await _record(memory, body.scope(who.tenant), named)
    return answer(list[Recorded], done)


async def _record(
    memory: AsyncMemoryScope, scope: Scope, named: Sequence[tuple[str, Said]]
) -> list[Recorded]:
    now = utc_now()
    messages = [said.message(name, now) for name, said in named]
    done = list(await memory.record_each(messages, scope=scope))
    # who does not say when sends the same message again at another time: it is the one that is here
    again = [
        place
        for place, outcome in enumerate(done)
        if outcome.status == "refused" and named[place][1].created_at is None
    ]
    same = [replace(messages[place], created_at=done[place].message.created_at) for place in again]
    for place, outcome in zip(again, await memory.record_each(same, scope=scope), strict=True):
        done[place] = outcome
    return done


@router.post("/messages", response_model=MessagePage)
async def messages(body: MessagesBody, who: Reader, memory: Memory) -> Response:
    """A page of the log, oldest first; ``after`` of the answer asks for the next one."""
    page = await memory.messages(
        scope=body.scope(who.tenant),
        session_id=body.session_id,
        after=body.after,
        limit=body.limit,
    )
    more = len(page) == body.limit
    return answer(MessagePage, MessagePage(page, page[-1].seq if more else None))
