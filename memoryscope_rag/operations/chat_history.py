"""Which turns the model is shown as they were said, and what evidence that makes superfluous."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import tzinfo
from typing import Literal

from memoryscope_rag.lexical import estimate_tokens
from memoryscope_rag.ports import MemoryStore
from memoryscope_rag.schema import Evidence, EvidenceItem, Message, Scope
from memoryscope_rag.workers.frontend.pack_evidence import pack

History = Literal["auto"] | int | None
"""``"auto"``, so many pairs, or none."""

WINDOW = 200
"""Turns of a session that "auto" looks at; no prompt holds more."""
TURN_TOKENS = 4
"""What a turn costs besides its words."""


async def read_history(
    store: MemoryStore,
    scope: Scope,
    session_id: str,
    history: History,
    *,
    turns: int,
    tokens: int,
    besides: str | None = None,
) -> tuple[Message, ...]:
    """The turns to show, oldest first; ``besides`` is the id of one that is left out.

    "auto" takes the session's last ``turns``, and before these what is not consolidated yet,
    since no fact stands for it; never more than ``tokens``. A number takes that many pairs, the
    user's last ones in any session. Only what user and assistant said is shown.
    """
    if history == "auto":
        return await _recent(store, scope, session_id, turns, tokens, besides)
    return await _pairs(store, scope, history, besides) if history else ()


async def _recent(
    store: MemoryStore, scope: Scope, session_id: str, turns: int, tokens: int, besides: str | None
) -> tuple[Message, ...]:
    talk = _talk(await store.last_messages(scope, WINDOW, session_id=session_id), besides)
    kept: list[Message] = []
    for message in reversed(talk):
        if len(kept) >= turns and message.state == "consolidated":
            break
        tokens -= estimate_tokens(message.content) + TURN_TOKENS
        if tokens < 0:
            break
        kept.append(message)
    return tuple(reversed(kept))


async def _pairs(
    store: MemoryStore, scope: Scope, count: int, besides: str | None
) -> tuple[Message, ...]:
    limit = 3 * count + 8
    while True:
        read = await store.last_messages(scope, limit)
        talk = _talk(read, besides)
        asked = [place for place, message in enumerate(talk) if message.role == "user"]
        if len(asked) >= count:
            return tuple(talk[asked[-count] :])
        if len(read) < limit:
            return tuple(talk)
        limit *= 2


def _talk(messages: Collection[Message], besides: str | None) -> list[Message]:
    return [
        message
        for message in messages
        if message.role in {"user", "assistant"}
        and message.content.strip()
        and message.id != besides
    ]


def without(
    evidence: Evidence, shown: Collection[str], *, limit: int, budget: int, zone: tzinfo | None
) -> Evidence:
    """``evidence`` without the messages ``shown``, at most ``limit`` items, packed again.

    What nothing has to be taken from stays as it was packed.
    """
    ids = frozenset(shown)
    kept = [item for item in evidence.items if not _rests_on(item, ids)][:limit]
    slim = [
        replace(item, before=_others(item.before, ids), after=_others(item.after, ids))
        for item in kept
    ]
    if tuple(slim) == evidence.items:
        return evidence
    packed, text, tokens = pack(slim, budget, zone)
    items = tuple(replace(item, packed=item.node.id in packed) for item in slim)
    return replace(evidence, items=items, text=text, tokens=tokens)


def _rests_on(item: EvidenceItem, shown: frozenset[str]) -> bool:
    return bool(item.node.provenance) and shown.issuperset(item.node.provenance)


def _others(turns: tuple[Message, ...], shown: frozenset[str]) -> tuple[Message, ...]:
    return tuple(message for message in turns if message.id not in shown)
