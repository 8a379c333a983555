"""about, spent: what this service is set up for, and what its chat model has taken."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from memoryscope_rag import __version__
from memoryscope_rag.models.ledger import Ledger
from memoryscope_rag.service.access import Administrator, Caller, caller
from memoryscope_rag.service.answers import Memory, answer
from memoryscope_rag.service.keys import Right
from memoryscope_rag.service.shelf import OnShelf

router = APIRouter(prefix="/service", tags=["service"])
_AROUND = 1 << 14
"""Bytes of a request that hold a file in base64 and are none of it."""


@dataclass(frozen=True, slots=True)
class About:
    """What a caller may do here, and with what.

    ``chat_model``, ``memory_model`` (of the beacon memory) and ``embedder`` are names of models,
    ``None`` where the settings name none. ``store`` is the kind of database. ``documents``:
    whether documents can be read here; ``upload_bytes`` is the largest file.
    """

    version: str
    rights: tuple[Right, ...]
    tenant: str
    tenants: tuple[str, ...]
    store: str
    embedder: str | None
    chat_model: str | None
    memory_model: str | None
    documents: bool
    upload_bytes: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What one model has taken in the process that answers, since that started.

    ``estimated`` counts the calls whose tokens the server did not tell. ``cost`` is by the prices
    of the settings.
    """

    model: str
    calls: Annotated[
        int,
        Field(description="of the worker process that answers alone; others count their own"),
    ]
    prompt_tokens: int
    completion_tokens: int
    cost: float
    estimated: int


@router.get("/about", response_model=About)
async def about(
    who: Annotated[Caller, Depends(caller)], memory: Memory, shelf: OnShelf
) -> Response:
    """What this key may do, and which models the service works with."""
    config = memory.config
    embedder = None if config.embedder.name == "none" else config.embedder.name
    chat = None if config.generator.provider == "none" else config.generator.model
    found = About(
        version=__version__,
        rights=who.rights,
        tenant=who.tenant,
        tenants=who.tenants,
        store=config.store.provider,
        embedder=_named(embedder),
        chat_model=_named(chat),
        memory_model=_named(config.memory.model),
        documents=shelf.usable,
        upload_bytes=(config.service.body_mb << 20) // 4 * 3 - _AROUND,
    )
    return answer(About, found)


def _named(model: str | None) -> str | None:
    """Without the folder, where it is one."""
    return None if model is None else Path(model).name


async def _ledger(request: Request) -> Ledger:
    kept: Ledger = request.app.state.ledger
    return kept


@router.get("/spent", response_model=list[Taken])
async def spent(who: Administrator, ledger: Annotated[Ledger, Depends(_ledger)]) -> Response:
    """Calls, tokens and cost by model; needs the right ``admin``.

    Each worker process counts its own since it started, and one of them answers: with several,
    this is a part of what the service has taken.
    """
    taken = [
        Taken(
            model,
            one.calls,
            one.usage.prompt_tokens,
            one.usage.completion_tokens,
            one.cost,
            one.estimated,
        )
        for model, one in ledger.by_model().items()
    ]
    return answer(list[Taken], taken)
