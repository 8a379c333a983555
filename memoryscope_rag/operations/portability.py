"""Export and import: a scope as JSON lines that hold everything and can be read by anyone.

Lines are objects with a ``type``: ``message`` (the log, oldest first) and ``node`` (facts with
their earlier versions). Conversation nodes and vectors are not written: they follow from the
messages and are made again on import.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.ports import MemoryStore, NodeFilter
from memoryscope_rag.schema import (
    Event,
    Grain,
    Interval,
    MemoryNode,
    Message,
    NewMessage,
    Recurrence,
    Scope,
)


async def export_lines(store: MemoryStore, scope: Scope) -> AsyncIterator[str]:
    """The scope's messages, then its facts, one JSON object a line."""
    after = 0
    while batch := await store.messages(scope, after=after, limit=500):
        for message in batch:
            yield message_to_line(message)
        after = batch[-1].seq
    cursor: str | None = None
    while True:
        where = NodeFilter(kinds=frozenset({"observation", "note", "insight"}), closed=True)
        page = await store.list_nodes(scope, where, cursor=cursor, limit=500)
        for node in page.items:
            versions = await store.history(scope, node.id)
            yield node_to_line(versions)
        cursor = page.cursor
        if cursor is None:
            return


def message_to_line(message: Message) -> str:
    """A message as a line of an export."""
    return _line("message", message_to_dict(message))


def node_to_line(versions: Sequence[MemoryNode]) -> str:
    """A fact with its earlier versions, oldest first, as a line of an export."""
    return _line("node", {"versions": [node_to_dict(version) for version in versions]})


def message_to_dict(message: Message) -> dict[str, Any]:
    """A message as plain data, without scope and seq."""
    return {
        "id": message.id,
        "session_id": message.session_id,
        "role": message.role,
        "speaker": message.speaker,
        "content": message.content,
        "created_at": message.created_at.isoformat(),
        "metadata": dict(message.metadata),
        "state": message.state,
        "state_reason": message.state_reason,
    }


def message_from_dict(data: Mapping[str, Any]) -> NewMessage:
    """The reverse; raises InvalidInput that names the missing or wrong field."""
    return NewMessage(
        id=_need(data, "id", str),
        session_id=_need(data, "session_id", str),
        role=_need(data, "role", str),  # checked by the class
        content=_need(data, "content", str),
        created_at=_time(_need(data, "created_at", str), "created_at"),
        speaker=data.get("speaker"),
        metadata=data.get("metadata") or {},
    )


def node_to_dict(node: MemoryNode) -> dict[str, Any]:
    """A node as plain data."""
    data: dict[str, Any] = {}
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if isinstance(value, datetime):
            value = value.isoformat()
        elif isinstance(value, Event):
            value = event_to_dict(value)
        elif isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, Mapping):
            value = dict(value)
        data[field.name] = value
    return data


def node_from_dict(data: Mapping[str, Any]) -> MemoryNode:
    """The reverse; raises InvalidInput that names the missing or wrong field."""
    known = {field.name for field in dataclasses.fields(MemoryNode)}
    for key in data:
        if key not in known:
            raise InvalidInput(f"node field {key!r}", "is unknown")
    values = dict(data)
    values["said_at"] = _time(_need(data, "said_at", str), "said_at")
    for name in ("valid_from", "valid_to"):
        if values.get(name) is not None:
            values[name] = _time(values[name], name)
    values["provenance"] = tuple(values.get("provenance") or ())
    if values.get("span") is not None:
        values["span"] = tuple(values["span"])
    if values.get("event") is not None:
        values["event"] = event_from_dict(values["event"])
    values["metadata"] = values.get("metadata") or {}
    try:
        return MemoryNode(**values)
    except TypeError as error:
        raise InvalidInput("node", str(error)) from None


def event_to_dict(event: Event) -> dict[str, Any]:
    """An event as plain data."""
    start, end = event.interval.start, event.interval.end
    return {
        "start": start.isoformat() if start else None,
        "end": end.isoformat() if end else None,
        "grain": event.grain.value,
        "recurrence": dataclasses.asdict(event.recurrence) if event.recurrence else None,
    }


def event_from_dict(data: Mapping[str, Any]) -> Event:
    """The reverse."""
    start, end = data.get("start"), data.get("end")
    recurrence = data.get("recurrence")
    try:
        return Event(
            Interval(
                _time(start, "event start") if start else None,
                _time(end, "event end") if end else None,
            ),
            Grain(data.get("grain", "day")),
            Recurrence(**recurrence) if recurrence else None,
        )
    except (TypeError, ValueError) as error:
        raise InvalidInput("event", str(error)) from None


def _line(kind: str, data: Mapping[str, Any]) -> str:
    return json.dumps({"type": kind, **data}, ensure_ascii=False, allow_nan=False)


def _need(data: Mapping[str, Any], name: str, kind: type) -> Any:
    if name not in data:
        raise InvalidInput(name, "is missing")
    if not isinstance(data[name], kind):
        raise InvalidInput(name, f"must be a {kind.__name__}, not {type(data[name]).__name__}")
    return data[name]


def _time(text: str, name: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise InvalidInput(name, f"{text!r} is no ISO 8601 time") from None
