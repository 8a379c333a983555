"""The index of a MemoryScope installation as lines that ``import`` reads.

MemoryScope (modelscope/MemoryScope, 0.1) keeps its nodes in one Elasticsearch index, written by
LlamaIndex: a document is ``content``, ``embedding`` and ``metadata`` with the node's fields. Of
these the texts, names, types and times are taken. ``key_vector``, which is a pickle, and the copy
of it in ``_node_content`` are not read at all; vectors are made anew by our own model.

An observation's source text becomes a message (consolidated already) that it rests on; the
customised ones become notes. What had expired is closed from the beginning, since nobody wrote
down when it ended.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.operations.portability import message_to_line, node_to_line
from memoryscope_rag.schema import Event, Kind, MemoryNode, Message, Scope
from memoryscope_rag.temporal import told_event

KINDS: Mapping[str, Kind] = {
    "observation": "observation",
    "obs_customized": "note",
    "insight": "insight",
}
"""MemoryScope's memory types and what they become."""

SESSION = "memoryscope"
"""The session of the messages; the index does not tell them apart."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """One document: whose memory (``person``) of which ``assistant``, and what it becomes."""

    person: str
    assistant: str
    message: str | None
    node: str


def hits_of(value: Any) -> Iterator[Any]:
    """The documents in an answer of ``_search``, or the one document that ``value`` is."""
    if isinstance(value, Mapping) and isinstance(value.get("hits"), Mapping):
        found = value["hits"].get("hits")
        yield from found if isinstance(found, list) else [found]
    else:
        yield value


def remembered(hit: Any) -> Remembered:
    """What the document ``hit`` (with ``_source``) says. Raises InvalidInput."""
    source = hit.get("_source") if isinstance(hit, Mapping) else None
    metadata = source.get("metadata") if isinstance(source, Mapping) else None
    if not isinstance(source, Mapping) or not isinstance(metadata, Mapping):
        raise InvalidInput("_source", "has no metadata: it is no document of MemoryScope")
    kind = metadata.get("memory_type")
    if not isinstance(kind, str) or kind not in KINDS:
        raise InvalidInput("memory_type", f"{kind!r:.40} is unknown; known: {', '.join(KINDS)}")
    content = source.get("content")
    if not isinstance(content, str) or not content.strip():
        raise InvalidInput("content", "is empty")
    person, assistant = _text(metadata, "target_name"), _text(metadata, "user_name")
    said_at = _moment(metadata.get("timestamp"))
    message = _message(metadata, person, said_at) if kind == "observation" else None
    node = MemoryNode(
        id=_text(metadata, "memory_id") or str(hit.get("_id") or ""),
        kind=KINDS[kind],
        content=content,
        said_at=said_at,
        provenance=() if message is None else (message.id,),
        session_id=None if message is None else SESSION,
        speaker=person or None,
        event=_event(metadata, content, said_at),
        valid_from=said_at,
        valid_to=said_at if metadata.get("store_status") == "expired" else None,
        metadata=_kept(metadata, person, kind),
    )
    return Remembered(
        person,
        assistant,
        None if message is None else message_to_line(message),
        node_to_line([node]),
    )


def _message(metadata: Mapping[str, Any], person: str, said_at: datetime) -> Message | None:
    text = _inner(metadata).get("conversation")
    if not isinstance(text, str) or not text.strip():
        return None
    # several observations may stem from one message: the same words at the same time
    key = json.dumps([person, said_at.isoformat(), text])
    return Message(
        f"memoryscope-{hashlib.sha256(key.encode()).hexdigest()[:24]}",
        SESSION,
        "user",
        text,
        said_at,
        person or None,
        scope=Scope(person or "unknown"),
        seq=0,
        state="consolidated",
    )


def _event(metadata: Mapping[str, Any], content: str, said_at: datetime) -> Event | None:
    # MemoryScope writes the time that it inferred into the text; its own fields name no year zone
    # and have month and weekday as words
    if not any(key.startswith("event_") for key in _inner(metadata)):
        return None
    return told_event(content, said_at)


def _kept(metadata: Mapping[str, Any], person: str, kind: str) -> dict[str, str]:
    kept = {"origin": "memoryscope"}
    keywords = _inner(metadata).get("keywords")
    if isinstance(keywords, str) and keywords:
        kept["keywords"] = keywords
    if kind == "insight" and (attribute := _text(metadata, "key")) and person:
        kept |= {"subject": person, "attribute": attribute, "value": _text(metadata, "value")}
    return kept


def _inner(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = metadata.get("meta_data")
    return inner if isinstance(inner, Mapping) else {}


def _text(metadata: Mapping[str, Any], name: str) -> str:
    value = metadata.get(name)
    return value if isinstance(value, str) else ""


def _moment(value: Any) -> datetime:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            pass
    raise InvalidInput("timestamp", f"{value!r:.40} is no time in POSIX seconds")
