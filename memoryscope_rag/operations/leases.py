"""One worker at a time: a lease that is held, and renewed, as long as a block of code runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator

from memoryscope_rag.errors import StoreError
from memoryscope_rag.ports import Lease, MemoryStore
from memoryscope_rag.schema import Scope

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def held(
    store: MemoryStore, scope: Scope, name: str, owner: str, seconds: float
) -> AsyncIterator[Lease | None]:
    """Hold the lease ``name`` of ``scope``, ``None`` while somebody else has it.

    Two holders never share it, though they give the same ``owner``. It is renewed three times in
    ``seconds``. When that fails until it expires, or when it is taken by another, the next commit
    under it raises LeaseLost.
    """
    owner = f"{owner[:200]}/{secrets.token_hex(8)}"
    lease = await store.acquire(scope, name, owner, seconds)
    if lease is None:
        yield None
        return
    renewing = asyncio.create_task(_renew(store, lease, seconds))
    try:
        yield lease
    finally:
        renewing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await renewing
        await store.release(lease)


async def _renew(store: MemoryStore, lease: Lease, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds / 3)
        try:
            now = await store.acquire(lease.scope, lease.name, lease.owner, seconds)
        except StoreError as error:
            _log.warning("the lease %r was not renewed: %s", lease.name, type(error).__name__)
            continue
        if now is None:
            return
        if now.token != lease.token:  # it had run out in between, so this is not the same any more
            await store.release(now)
            return
