"""Which turn a request belongs to: the same one when it comes again, another one later on.

A client sends a turn again when an answer is late, and once more with every result of a tool. The
requests name no turn, so it is known by what the user has said so far, in the state file and for
all worker processes: digests and times, no content.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Sequence

from memoryscope_rag.schema import Scope
from memoryscope_rag.service.proxy.requests import Asked
from memoryscope_rag.service.state import StateFile

SAME_S = 900.0
"""A turn that comes again within so many seconds of its last coming is the same one."""


class Turns:
    """When each turn came first."""

    def __init__(self, file: StateFile, clock: Callable[[], float] = time.time) -> None:
        self._file, self._clock = file, clock

    async def first(self, digests: Sequence[bytes]) -> list[float]:
        """For each digest when its turn came first, in seconds since 1970. Raises StoreError."""
        return await asyncio.to_thread(self._first, digests)

    def _first(self, digests: Sequence[bytes]) -> list[float]:
        now = self._clock()
        with self._file.write() as connection:
            connection.execute("DELETE FROM turns WHERE seen < ?", (now - SAME_S,))
            return [
                connection.execute(
                    "INSERT INTO turns (digest, first, seen) VALUES (?, ?, ?)"
                    " ON CONFLICT (digest) DO UPDATE SET seen = excluded.seen RETURNING first",
                    (digest, now, now),
                ).fetchone()[0]
                for digest in digests
            ]


def session_of(scope: Scope, asked: Asked) -> str:
    """A session for a conversation that names none: the one that began with the same words.

    What the upstream keeps shows no beginning; all of that is one session unless it has a name.
    """
    if asked.kept or not asked.opening:
        return "default"
    return f"chat-{_digest(scope, asked.opening).hex()[:24]}"


def digests_of(scope: Scope, session_id: str, asked: Asked) -> list[bytes]:
    """A digest for each of the user's turns, of all that the user has said up to it.

    Before these stands one of the conversation itself, for answers to no words of the user.
    """
    chain = [_digest(scope, session_id, *asked.before)]
    for one in asked.said:
        if one.role == "user":
            chain.append(_digest(scope, chain[-1].hex(), one.text))
    return chain


def message_id(digest: bytes, first: float, *parts: object) -> str:
    """The id of a message of the turn with this digest that came first at this time."""
    text = json.dumps([digest.hex(), first, *parts])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _digest(scope: Scope, *parts: str) -> bytes:
    whole = [scope.tenant_id, scope.user_id, scope.agent_id, *parts]
    return hashlib.sha256(json.dumps(whole).encode()).digest()
