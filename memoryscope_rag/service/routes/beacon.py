"""refresh, coverage, attention, drop_memory: the beacon memory of a scope."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from memoryscope_rag.operations.refresh import RefreshReport
from memoryscope_rag.ports import Coverage
from memoryscope_rag.service.access import Forgetter, Reader, Writer
from memoryscope_rag.service.answers import Memory, answer
from memoryscope_rag.service.schemas import AttentionBody, InScope

router = APIRouter(tags=["beacon memory"])


@router.post("/refresh", response_model=RefreshReport)
async def refresh(body: InScope, who: Writer, memory: Memory) -> Response:
    """Let the beacon memory read what it does not cover."""
    return answer(RefreshReport, await memory.refresh(scope=body.scope(who.tenant)))


@router.post("/coverage", response_model=Coverage)
async def coverage(body: InScope, who: Reader, memory: Memory) -> Response:
    """What the beacon memory holds; nothing where there is none."""
    return answer(Coverage, await memory.coverage(scope=body.scope(who.tenant)))


@router.post("/attention", response_model=dict[str, float])
async def attention(body: AttentionBody, who: Reader, memory: Memory) -> Response:
    """By message id how much the query draws attention there, 0 for as much as no query does."""
    drawn = await memory.attention(body.query, scope=body.scope(who.tenant))
    return answer(dict[str, float], dict(drawn))


@router.post("/drop_memory", status_code=204)
async def drop_memory(body: InScope, who: Forgetter, memory: Memory) -> None:
    """Remove the beacon memory; it is made anew from the log when refreshed."""
    await memory.drop_memory(scope=body.scope(who.tenant))
