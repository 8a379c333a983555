"""Items of a LangGraph store, as JSON: ``[item.dict() for item in store.search(())]``.

Known from ``langgraph.store.base.Item`` (langgraph-checkpoint 4): an item has ``namespace`` (a list
of labels), ``key``, ``value`` (an object), ``created_at`` and ``updated_at`` (ISO 8601); the server
of the platform gives pages of them as ``{"items": [...]}``.

An item becomes a note. Its text is the string that its value has as ``text``, ``content``,
``memory`` or ``data``, also one level down (LangMem nests ``content`` in ``content``); else the
whole value as JSON. All else of the value is metadata, and so are namespace and key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.operations.foreign.found import (
    Fact,
    Found,
    event_of,
    facts_in,
    flat,
    text_in,
    time_in,
)
from memoryscope_rag.schema import MemoryNode

_TEXTS = ("text", "content", "memory", "data")


def read(value: Any) -> Iterator[Found]:
    """The items in ``value``, one or a page of them."""
    return facts_in(value, "items", "item", _fact)


def namespace_of(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The namespace that the metadata of a note keeps."""
    return tuple(json.loads(metadata["namespace"]))


def _fact(item: Mapping[str, Any]) -> Fact:
    namespace = item.get("namespace")
    if not isinstance(namespace, list) or not all(isinstance(label, str) for label in namespace):
        raise InvalidInput("namespace", "is missing or no list of strings")
    key, value = text_in(item, "key"), item.get("value")
    if not isinstance(value, dict):
        raise InvalidInput("value", "is missing or no object")
    said_at = time_in(item, "created_at") or time_in(item, "updated_at")
    if said_at is None:
        raise InvalidInput("created_at", "is missing")
    content, rest = _text(value)
    place = json.dumps([namespace, key], ensure_ascii=False)
    described = {"origin": "langgraph", "namespace": namespace, "key": key}
    node = MemoryNode(
        id=f"langgraph-{hashlib.sha256(place.encode(errors='replace')).hexdigest()[:24]}",
        kind="note",
        content=content,
        said_at=said_at,
        event=event_of(content, said_at),
        valid_from=time_in(item, "updated_at") or said_at,
        metadata=flat({**rest, **described}),
    )
    return Fact(node)


def _text(value: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The text of a value and what else it holds."""
    for name in _TEXTS:
        inner = value.get(name)
        rest = {key: other for key, other in value.items() if key != name}
        if isinstance(inner, str) and inner.strip():
            return inner, rest
        if isinstance(inner, dict):
            for deeper in _TEXTS:
                if isinstance(text := inner.get(deeper), str) and text.strip():
                    return text, {**{k: v for k, v in inner.items() if k != deeper}, **rest}
    return json.dumps(value, ensure_ascii=False, sort_keys=True), {}
