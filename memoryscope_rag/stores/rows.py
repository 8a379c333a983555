"""Messages and nodes as table rows and back, exactly.

A time is two integers, microseconds since 1970 in UTC and the offset of its zone in
microseconds, which carries every aware datetime of the years 1 to 9999 (the zone's name is not
kept). Texts are TEXT cells; SQLite keeps NUL characters in them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from memoryscope_rag.schema import (
    Event,
    Grain,
    Interval,
    MemoryNode,
    Message,
    Metadata,
    NewMessage,
    Recurrence,
    Scope,
)

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_ZERO = timedelta(0)
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

MESSAGE_COLUMNS = (
    "seq, id, session, role, speaker, created_at, created_offset, state, state_reason,"
    " attempts, metadata, content"
)
NODE_COLUMNS = "id, kind, version, seq, rest, content"


def micros(moment: datetime) -> int:
    """Microseconds since 1970 in UTC."""
    return _split(moment)[0]


def micros_or_none(moment: datetime | None) -> int | None:
    """As :func:`micros`, ``None`` for ``None``."""
    return None if moment is None else _split(moment)[0]


def _split(moment: datetime) -> tuple[int, int]:
    offset = moment.utcoffset() or _ZERO
    # the offset is taken from the difference, not the datetime: year 1 in Asia has no UTC datetime
    local = moment.replace(tzinfo=None) - _EPOCH
    return (local - offset) // _MICROSECOND, offset // _MICROSECOND


def _join(moment: int, offset: int) -> datetime:
    local = _EPOCH + timedelta(microseconds=moment + offset)
    return local.replace(tzinfo=timezone(timedelta(microseconds=offset)) if offset else UTC)


def metadata_text(metadata: Metadata) -> str | None:
    """Metadata as JSON, ``None`` for none."""
    return _compact(dict(metadata)) if metadata else None


def _metadata(text: str | None) -> Mapping[str, Any]:
    return json.loads(text) if text else {}


# ---------------------------------------------------------------- messages


def message_row(message: NewMessage) -> tuple[Any, ...]:
    """The cells of :data:`MESSAGE_COLUMNS` after ``seq``, for a pending message."""
    at, offset = _split(message.created_at)
    return (
        message.id,
        message.session_id,
        message.role,
        message.speaker,
        at,
        offset,
        "pending",
        None,
        0,
        metadata_text(message.metadata),
        message.content,
    )


def message_from_row(scope: Scope, row: Sequence[Any]) -> Message:
    """The message in the cells of :data:`MESSAGE_COLUMNS`."""
    seq, name, session, role, speaker, at, offset, state, reason, attempts, metadata, content = row
    return Message(
        name,
        session,
        role,
        content,
        _join(at, offset),
        speaker,
        _metadata(metadata),
        scope=scope,
        seq=seq,
        state=state,
        state_reason=reason,
        attempts=attempts,
    )


def same_message(held: Message, new: NewMessage) -> bool:
    """Whether ``new`` says what is held already: then recording it again is harmless."""
    return (
        held.session_id == new.session_id
        and held.role == new.role
        and held.speaker == new.speaker
        and held.content == new.content
        and micros(held.created_at) == micros(new.created_at)
        # by JSON, for which 1, 1.0 and true are three values
        and _canonical(held.metadata) == _canonical(new.metadata)
    )


def _canonical(metadata: Metadata) -> str:
    return json.dumps(dict(metadata), sort_keys=True)


# ---------------------------------------------------------------- nodes


def node_rest(node: MemoryNode) -> str:
    """Everything of a node but what :data:`NODE_COLUMNS` has a column for, as JSON."""
    rest: dict[str, Any] = {"said_at": _split(node.said_at)}
    for name in ("session_id", "speaker", "role", "span", "superseded_by"):
        value = getattr(node, name)
        if value is not None:
            rest[name] = value
    for name in ("valid_from", "valid_to"):
        moment = getattr(node, name)
        if moment is not None:
            rest[name] = _split(moment)
    if node.provenance:
        rest["provenance"] = node.provenance
    if node.metadata:
        rest["metadata"] = dict(node.metadata)
    if node.event is not None:
        rest["event"] = _event_data(node.event)
    return _compact(rest)


def node_from_row(row: Sequence[Any]) -> MemoryNode:
    """The node in the cells of :data:`NODE_COLUMNS`."""
    name, kind, version, seq, rest_text, content = row
    rest = json.loads(rest_text)
    span = rest.get("span")
    event = rest.get("event")
    return MemoryNode(
        id=name,
        kind=kind,
        content=content,
        said_at=_join(*rest["said_at"]),
        provenance=tuple(rest.get("provenance", ())),
        session_id=rest.get("session_id"),
        speaker=rest.get("speaker"),
        role=rest.get("role"),
        seq=seq,
        span=None if span is None else (span[0], span[1]),
        event=None if event is None else _event(event),
        valid_from=_join_or_none(rest.get("valid_from")),
        valid_to=_join_or_none(rest.get("valid_to")),
        superseded_by=rest.get("superseded_by"),
        version=version,
        metadata=rest.get("metadata", {}),
    )


def without_successor(text: str, *, nested: bool) -> str:
    """The JSON of a node (or, ``nested``, of an old version) without its ``superseded_by``."""
    data = json.loads(text)
    rest = json.loads(data[4]) if nested else data
    rest.pop("superseded_by", None)
    rest_text = _compact(rest)
    return _compact([*data[:4], rest_text, data[5]]) if nested else rest_text


def version_body(row: Sequence[Any]) -> str:
    """The cells of :data:`NODE_COLUMNS` as one JSON text, for the history."""
    return _compact(list(row))


def node_from_body(body: str) -> MemoryNode:
    """The reverse of :func:`version_body`."""
    return node_from_row(json.loads(body))


def _join_or_none(pair: Sequence[int] | None) -> datetime | None:
    return None if pair is None else _join(pair[0], pair[1])


def _split_or_none(moment: datetime | None) -> tuple[int, int] | None:
    return None if moment is None else _split(moment)


def _event_data(event: Event) -> dict[str, Any]:
    data: dict[str, Any] = {
        "start": _split_or_none(event.interval.start),
        "end": _split_or_none(event.interval.end),
        "grain": event.grain.value,
    }
    if (again := event.recurrence) is not None:
        names = ("unit", "every", "month", "day", "weekday", "hour", "minute")
        data["recurrence"] = {name: getattr(again, name) for name in names}
    return data


def _event(data: Mapping[str, Any]) -> Event:
    recurrence = data.get("recurrence")
    return Event(
        Interval(_join_or_none(data["start"]), _join_or_none(data["end"])),
        Grain(data["grain"]),
        None if recurrence is None else Recurrence(**recurrence),
    )
