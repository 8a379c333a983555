"""Writes that are sent again with the same Idempotency-Key happen once.

Most writes are harmless to repeat anyway: messages have ids, a note is known by its words, what is
closed stays closed. For the others the state file notes what came of them, never a content: counts,
ids and versions, under digests of the caller, the key and the request.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from fastapi import Header, Request

from memoryscope_rag.service.access import Caller
from memoryscope_rag.service.problems import Problem
from memoryscope_rag.service.schemas import InScope, Name
from memoryscope_rag.service.state import StateFile

T = TypeVar("T")

KEPT_S = 24 * 3600.0
"""How long an outcome is kept."""
UNFINISHED_S = 120.0
"""After so long a request that never ended is taken for one whose process died."""

IdempotencyKey = Annotated[
    Name | None, Header(description="Sending a write again with the same key repeats nothing.")
]


class Outcomes:
    """What came of writes, in the state file, for every worker process."""

    def __init__(self, file: StateFile, clock: Callable[[], float] = time.time) -> None:
        self._file, self._clock = file, clock

    async def once(
        self,
        name: bytes | None,
        request: bytes,
        work: Callable[[], Awaitable[T]],
        *,
        note: Callable[[T], Any],
        replay: Callable[[Any], Awaitable[T]],
    ) -> T:
        """What ``work`` gives, or gave before: ``replay`` makes it of what ``note`` kept as JSON.

        ``name`` is a digest of caller and key, without which the work is simply done; ``request``
        is one of what is asked. Raises Problem for another request under the same key, and for
        one that is still under way.
        """
        if name is None:
            return await work()
        earlier = await asyncio.to_thread(self._begin, name, request)
        if earlier is not None:
            return await replay(json.loads(earlier))
        try:
            result = await work()
        except BaseException:
            await asyncio.to_thread(self._drop, name)  # it may be tried again
            raise
        await asyncio.to_thread(self._finish, name, json.dumps(note(result)))
        return result

    def _begin(self, name: bytes, request: bytes) -> str | None:
        now = self._clock()
        with self._file.write() as connection:
            connection.execute("DELETE FROM outcomes WHERE since < ?", (now - KEPT_S,))
            connection.execute(
                "DELETE FROM outcomes WHERE caller = ? AND result IS NULL AND since < ?",
                (name, now - UNFINISHED_S),
            )
            row = connection.execute(
                "SELECT request, result FROM outcomes WHERE caller = ?", (name,)
            ).fetchone()
            if row is None:
                connection.execute(
                    "INSERT INTO outcomes (caller, request, since) VALUES (?, ?, ?)",
                    (name, request, now),
                )
                return None
        if row[0] != request:
            raise Problem(
                "idempotency-key-reused", 422, "this Idempotency-Key came with another request"
            )
        if row[1] is None:
            raise Problem(
                "under-way",
                409,
                "the same request is being worked on",
                headers={"Retry-After": "1"},
            )
        return str(row[1])

    def _drop(self, name: bytes) -> None:
        with self._file.write() as connection:
            connection.execute("DELETE FROM outcomes WHERE caller = ?", (name,))

    def _finish(self, name: bytes, result: str) -> None:
        with self._file.write() as connection:
            connection.execute("UPDATE outcomes SET result = ? WHERE caller = ?", (result, name))


def digests(
    request: Request, who: Caller, key: str | None, body: InScope
) -> tuple[bytes | None, bytes]:
    """A digest of caller, route and key, if there is a key, and one of what is asked under it."""
    if key is None:
        return None, b""
    caller = json.dumps([who.name, who.tenant, request.url.path, key])
    # with the key in it, which is kept nowhere, nobody can try contents against the digest
    asked = json.dumps([key, body.model_dump_json()])
    return hashlib.sha256(caller.encode()).digest(), hashlib.sha256(asked.encode()).digest()


def derived_id(request: Request, who: Caller, key: str | None, body: InScope) -> str | None:
    """An id for a message that has none, the same whenever the request comes with this key."""
    name, _ = digests(request, who, key, body)
    if name is None:
        return None
    scope = json.dumps([body.user_id, body.agent_id])
    return hashlib.sha256(name + scope.encode()).hexdigest()[:32]


async def outcomes(request: Request) -> Outcomes:
    """Those of this process."""
    kept: Outcomes = request.app.state.outcomes
    return kept
