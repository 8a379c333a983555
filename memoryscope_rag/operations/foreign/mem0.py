"""mem0: what ``Memory.get_all()`` or an export of the platform gives, as JSON.

``{"results": [...]}`` or the memories themselves, as a list or one a line. Known from mem0's own
source (``mem0/memory/main.py``, 1.x and 2.x): a memory has ``id``, ``memory`` (the text), ``hash``,
``created_at`` and ``updated_at`` (ISO 8601), ``metadata``, and where they were given ``user_id``,
``agent_id``, ``run_id``, ``actor_id`` and ``role``; the platform adds ``categories`` and
``expiration_date``. Each becomes a note; what has no place of its own in a note is its metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.operations.foreign.found import (
    Fact,
    Found,
    LeftOut,
    event_of,
    facts_in,
    flat,
    optional_text,
    text_in,
    time_in,
)
from memoryscope_rag.schema import MemoryNode

_KEPT = ("agent_id", "run_id", "actor_id", "role", "categories")


def read(value: Any) -> Iterator[Found]:
    """The memories in ``value``, one or a page of them."""
    yield from facts_in(value, "results", "memory", _fact)
    relations = value.get("relations") if isinstance(value, dict) else None
    if isinstance(relations, list) and relations:
        yield LeftOut("relations of the graph", len(relations))


def _fact(memory: Mapping[str, Any]) -> Fact:
    content = text_in(memory, "memory")
    said_at = time_in(memory, "created_at") or time_in(memory, "updated_at")
    if said_at is None:
        raise InvalidInput("created_at", "is missing")
    given = memory.get("metadata")
    described = {name: memory[name] for name in _KEPT if memory.get(name) is not None}
    if isinstance(given, dict):
        described = {**given, **described}
    node = MemoryNode(
        id=f"mem0-{text_in(memory, 'id')}",
        kind="note",
        content=content,
        said_at=said_at,
        event=event_of(content, said_at),
        valid_from=time_in(memory, "updated_at") or said_at,
        valid_to=time_in(memory, "expiration_date"),
        metadata=flat({**described, "origin": "mem0"}),
    )
    return Fact(node, optional_text(memory, "user_id"))
