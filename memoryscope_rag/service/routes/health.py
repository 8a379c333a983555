"""/health, /ready, /metrics: for load balancers and for those who watch."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from memoryscope_rag import __version__
from memoryscope_rag.schema import Scope
from memoryscope_rag.service.access import Administrator
from memoryscope_rag.service.answers import Health, Memory, answer, described
from memoryscope_rag.service.metrics import CONTENT_TYPE, Metrics
from memoryscope_rag.service.problems import BUSY_S, Problem

router = APIRouter(tags=["health"])
READY_S = 2.0
"""Seconds within which a store has to answer."""
_NOBODY = Scope("memoryscope-rag")
_FIGURES = described("text/plain", "Figures in Prometheus' text format.")


@router.get("/health", response_model=Health)
async def health() -> Response:
    """That this process answers."""
    return answer(Health, Health("ok", __version__))


@router.get("/ready", response_model=Health)
async def ready(memory: Memory) -> Response:
    """That its store answers, too."""
    try:
        async with asyncio.timeout(READY_S):
            await memory.generation(scope=_NOBODY)
    except TimeoutError:
        raise Problem(
            "not-ready",
            503,
            f"the store did not answer within {READY_S:g} s",
            headers={"Retry-After": str(BUSY_S)},
        ) from None
    return answer(Health, Health("ready", __version__))


async def _metrics(request: Request) -> Metrics:
    kept: Metrics = request.app.state.metrics
    return kept


@router.get("/metrics", response_class=Response, responses=_FIGURES)
async def metrics(who: Administrator, figures: Annotated[Metrics, Depends(_metrics)]) -> Response:
    """Figures for Prometheus, of all worker processes together; needs the right ``admin``."""
    return Response(await asyncio.to_thread(figures.text), media_type=CONTENT_TYPE)
