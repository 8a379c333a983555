"""add_note, update, expire, delete, get, history, list: what is known."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from memoryscope_rag.errors import UnknownId
from memoryscope_rag.ports import Page
from memoryscope_rag.schema import MemoryNode
from memoryscope_rag.service.access import Forgetter, Reader, Writer
from memoryscope_rag.service.answers import Memory, answer
from memoryscope_rag.service.idempotency import IdempotencyKey, Outcomes, digests, outcomes
from memoryscope_rag.service.schemas import ListBody, NodeBody, NoteBody, UpdateBody

router = APIRouter(tags=["facts"])
_Outcomes = Annotated[Outcomes, Depends(outcomes)]


@router.post("/add_note", response_model=MemoryNode)
async def add_note(body: NoteBody, who: Writer, memory: Memory) -> Response:
    """Keep a fact, word for word; the same words again give the note that is there."""
    given = body.given("said_at", "event", "metadata", "note_id")
    note = await memory.add_note(body.content, scope=body.scope(who.tenant), **given)
    return answer(MemoryNode, note)


@router.post("/update", response_model=MemoryNode)
async def update(
    request: Request,
    body: UpdateBody,
    who: Writer,
    memory: Memory,
    kept: _Outcomes,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Give an observation, note or insight another content; the old one stays in history."""
    scope = body.scope(who.tenant)

    async def work() -> MemoryNode:
        given = body.given("event", "metadata")
        return await memory.update(body.node_id, body.content, scope=scope, **given)

    async def replay(version: int) -> MemoryNode:
        for node in await memory.history(body.node_id, scope=scope):
            if node.version == version:
                return node
        raise UnknownId("node id", f"no node {body.node_id!r} in this scope")

    node = await kept.once(
        *digests(request, who, idempotency_key, body),
        work,
        note=lambda node: node.version,
        replay=replay,
    )
    return answer(MemoryNode, node)


@router.post("/expire", response_model=MemoryNode)
async def expire(body: NodeBody, who: Writer, memory: Memory) -> Response:
    """Close an observation, note or insight: from now on it is not believed any more."""
    return answer(MemoryNode, await memory.expire(body.node_id, scope=body.scope(who.tenant)))


@router.post("/delete", status_code=204)
async def delete(
    request: Request,
    body: NodeBody,
    who: Forgetter,
    memory: Memory,
    kept: _Outcomes,
    idempotency_key: IdempotencyKey = None,
) -> None:
    """Remove one observation, note or insight with its history."""

    async def work() -> None:
        await memory.delete(body.node_id, scope=body.scope(who.tenant))

    async def replay(_: object) -> None:
        """It is gone."""

    await kept.once(
        *digests(request, who, idempotency_key, body),
        work,
        note=lambda _: None,
        replay=replay,
    )


@router.post("/get", response_model=MemoryNode)
async def get(body: NodeBody, who: Reader, memory: Memory) -> Response:
    """One node."""
    return answer(MemoryNode, await memory.get(body.node_id, scope=body.scope(who.tenant)))


@router.post("/history", response_model=list[MemoryNode])
async def history(body: NodeBody, who: Reader, memory: Memory) -> Response:
    """Every version of a node, oldest first."""
    versions = await memory.history(body.node_id, scope=body.scope(who.tenant))
    return answer(list[MemoryNode], list(versions))


@router.post("/list", response_model=Page[MemoryNode])
async def list_(body: ListBody, who: Reader, memory: Memory) -> Response:
    """Nodes in order of time, a page at a time; ``closed`` includes what is no longer true."""
    page = await memory.list(
        scope=body.scope(who.tenant),
        kinds=body.kinds,
        session_id=body.session_id,
        as_of=body.as_of,
        closed=body.closed,
        cursor=body.cursor,
        limit=body.limit,
    )
    return answer(Page[MemoryNode], page)
