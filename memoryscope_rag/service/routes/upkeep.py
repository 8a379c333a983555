"""forget, consolidate, reflect, flush, stats, export, import: what keeps a memory in order."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response, StreamingResponse

from memoryscope_rag.operations.consolidate import ConsolidationReport
from memoryscope_rag.operations.import_ import ImportReport
from memoryscope_rag.operations.reflect import ReflectionReport
from memoryscope_rag.ports import Forgotten, StoreStats
from memoryscope_rag.schema import Scope
from memoryscope_rag.service.access import Administrator, Forgetter, Reader, Writer
from memoryscope_rag.service.answers import Count, Memory, answer, described
from memoryscope_rag.service.idempotency import IdempotencyKey, Outcomes, digests, outcomes
from memoryscope_rag.service.schemas import ForgetBody, ImportBody, InScope, MaybeInScope

router = APIRouter(tags=["upkeep"])
_LINES = described(
    "application/x-ndjson", "JSON lines: messages, then facts with their earlier versions."
)


@router.post("/forget", response_model=Forgotten)
async def forget(
    request: Request,
    body: ForgetBody,
    who: Forgetter,
    memory: Memory,
    kept: Annotated[Outcomes, Depends(outcomes)],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Remove messages, a session or all of a scope, and whatever rests on them, with proof."""

    async def work() -> Forgotten:
        return await memory.forget(
            scope=body.scope(who.tenant),
            message_ids=body.message_ids,
            session_id=body.session_id,
            everything=body.everything,
            compact=body.compact,
        )

    async def replay(data: Any) -> Forgotten:
        return Forgotten(**data | {"node_ids": tuple(data["node_ids"])})

    done = await kept.once(
        *digests(request, who, idempotency_key, body),
        work,
        note=dataclasses.asdict,
        replay=replay,
    )
    return answer(Forgotten, done)


@router.post("/consolidate", response_model=ConsolidationReport)
async def consolidate(body: InScope, who: Writer, memory: Memory) -> Response:
    """Turn what is pending into observations now."""
    return answer(ConsolidationReport, await memory.consolidate(scope=body.scope(who.tenant)))


@router.post("/reflect", response_model=ReflectionReport)
async def reflect(body: InScope, who: Writer, memory: Memory) -> Response:
    """Turn observations into insights now."""
    return answer(ReflectionReport, await memory.reflect(scope=body.scope(who.tenant)))


@router.post("/retry_parked", response_model=Count)
async def retry_parked(body: InScope, who: Writer, memory: Memory) -> Response:
    """Make parked messages pending again; how many there were."""
    return answer(Count, Count(await memory.retry_parked(scope=body.scope(who.tenant))))


@router.post("/flush", response_model=Count)
async def flush(body: MaybeInScope, who: Writer, memory: Memory) -> Response:
    """Consolidate everything that is pending; how many messages still are."""
    scope = body.scope(who.tenant)
    if scope is None:
        who.need_whole_store()
    return answer(Count, Count(await memory.flush(scope=scope)))


@router.post("/stats", response_model=StoreStats)
async def stats(body: MaybeInScope, who: Reader, memory: Memory) -> Response:
    """Counts of one scope, or of the whole store."""
    scope = body.scope(who.tenant)
    if scope is None:
        who.need_whole_store()
    return answer(StoreStats, await memory.stats(scope=scope))


@router.post("/scopes", response_model=list[Scope])
async def scopes(who: Administrator, memory: Memory) -> Response:
    """Every scope of the key's tenants."""
    seen = [scope for scope in await memory.scopes() if who.sees(scope.tenant_id)]
    return answer(list[Scope], seen)


@router.post("/export", response_class=StreamingResponse, responses=_LINES)
async def export(body: InScope, who: Reader, memory: Memory) -> Response:
    """A scope as JSON lines: every message, every fact with its earlier versions."""

    async def lines() -> AsyncIterator[str]:
        async for line in memory.export(scope=body.scope(who.tenant)):
            yield line + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@router.post("/import", response_model=ImportReport)
async def import_(body: ImportBody, who: Writer, memory: Memory) -> Response:
    """Read lines of an export. What cannot be read is reported; the rest goes in."""
    return answer(ImportReport, await memory.import_(body.lines, scope=body.scope(who.tenant)))
