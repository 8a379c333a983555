"""Messages, nodes and scopes as documents and back, and the ids under which they lie.

An id is a digest of the scope and our own id, so ids of any script and length fit, and two scopes
never share a document. Times and the rest of a node are kept as in SQLite
(:mod:`memoryscope_rag.stores.rows`). A vector stands in a document twice: as the float16 bytes that
every cosine is computed from, and in ``dense``, which the server derives its index from and drops.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from memoryscope_rag.ports import EmbedderSpec, IndexedNode
from memoryscope_rag.schema import MemoryNode, Message, Scope
from memoryscope_rag.stores.columns import OPEN_END, OPEN_START
from memoryscope_rag.stores.elasticsearch.cluster import Ref
from memoryscope_rag.stores.encoding import VectorPair, vector_blobs, vectors_from_blobs
from memoryscope_rag.stores.rows import (
    MESSAGE_COLUMNS,
    NODE_COLUMNS,
    message_from_row,
    message_row,
    micros,
    micros_or_none,
    node_from_row,
    node_rest,
)

Source = dict[str, Any]
"""The fields of a document."""
Vectors = dict[str, dict[str, str]]
"""Float16 bytes in base64, by :func:`model_key` and then ``turn`` or ``context``."""

_MESSAGE_FIELDS = tuple(name.strip() for name in MESSAGE_COLUMNS.split(","))
_NODE_FIELDS = tuple(name.strip() for name in NODE_COLUMNS.split(","))


def _digest(*parts: str | int) -> str:
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=20).hexdigest()


def scope_key(scope: Scope) -> str:
    """What stands for a scope in documents and decides on which shard they lie."""
    return _digest(scope.tenant_id, scope.user_id, scope.agent_id)


def model_key(spec: EmbedderSpec) -> str:
    """What stands for an embedding model in documents and names of fields."""
    return "m" + _digest(spec.fingerprint, spec.dimension)[:12]


def scope_ref(key: str) -> Ref:
    """Where the state of a scope lies."""
    return Ref("state", f"scope-{key}", key)


def lease_ref(key: str, name: str) -> Ref:
    """Where a lease lies."""
    return Ref("state", f"lease-{_digest(key, name)}", key)


def message_ref(key: str, name: str) -> Ref:
    """Where a message lies."""
    return Ref("messages", _digest(key, name), key)


def node_ref(key: str, name: str) -> Ref:
    """Where a node lies."""
    return Ref("nodes", _digest(key, name), key)


def version_ref(key: str, name: str, version: int) -> Ref:
    """Where an old version of a node lies."""
    return Ref("history", _digest(key, name, version), key)


# ---------------------------------------------------------------- messages


def message_source(key: str, message: Message) -> Source:
    """A pending message as a document."""
    cells = (message.seq, *message_row(message))
    return {"scope": key, **dict(zip(_MESSAGE_FIELDS, cells, strict=True))}


def message_from(scope: Scope, source: Mapping[str, Any]) -> Message:
    """The reverse of :func:`message_source`."""
    return message_from_row(scope, [source.get(name) for name in _MESSAGE_FIELDS])


# ---------------------------------------------------------------- nodes


@dataclass(frozen=True, slots=True)
class Prepared:
    """A node with its checked vectors as base64 of float16."""

    item: IndexedNode
    turn: str | None
    context: str | None

    @property
    def node(self) -> MemoryNode:
        """The node itself."""
        return self.item.node


def prepare(nodes: Sequence[IndexedNode], dimension: int | None) -> list[Prepared]:
    """Check and encode; ``dimension`` is ``None`` for a store that takes no vectors.

    Raises:
        InvalidInput: a vector of the wrong shape, with NaN, or given to a store without model.
    """
    encoded = encode_vectors([(item.vector, item.context_vector) for item in nodes], dimension)
    return [Prepared(item, *pair) for item, pair in zip(nodes, encoded, strict=True)]


def encode_vectors(
    pairs: Sequence[VectorPair], dimension: int | None
) -> list[tuple[str | None, str | None]]:
    """As :func:`~memoryscope_rag.stores.encoding.vector_blobs`, in base64."""
    return [(_text(turn), _text(context)) for turn, context in vector_blobs(pairs, dimension)]


def _text(blob: bytes | None) -> str | None:
    return None if blob is None else base64.b64encode(blob).decode()


def merged_vectors(held: Vectors, model: str | None, new: Prepared) -> Vectors:
    """``held`` with the vectors of ``new``, which are of ``model``; a missing one keeps another."""
    vectors = {name: dict(pair) for name, pair in held.items()}
    given = {"turn": new.turn, "context": new.context}
    present = {name: text for name, text in given.items() if text is not None}
    if model is not None and present:
        vectors[model] = vectors.get(model, {}) | present
    return vectors


def node_source(
    key: str,
    since: int,
    item: IndexedNode,
    node: MemoryNode,
    vectors: Vectors,
    *,
    sources: Sequence[str] = (),
    reflected: bool = False,
) -> Source:
    """A node as a document; ``node`` is that of ``item`` with its ``seq`` and ``version``.

    ``since`` is the age of the scope, ``sources`` what earlier versions rested on.
    """
    start = end = None
    if (event := node.event) is not None:
        interval = event.interval
        start = OPEN_START if interval.start is None else micros(interval.start)
        end = OPEN_END if interval.end is None else micros(interval.end)
    said_at, valid_from = micros(node.said_at), micros_or_none(node.valid_from)
    source = {
        "scope": key,
        "since": since,
        "id": node.id,
        "kind": node.kind,
        "version": node.version,
        "seq": node.seq,
        "session": node.session_id,
        "speaker": node.speaker,
        "question": item.question,
        "length": len(node.content),
        "said_at": said_at,
        "event_start": start,
        "event_end": end,
        "valid_from": said_at if valid_from is None else valid_from,
        "valid_to": micros_or_none(node.valid_to),
        "superseded_by": node.superseded_by,
        "provenance": list(node.provenance),
        "sources": sorted({*sources, *node.provenance}),
        "reflected": reflected,
        "rest": node_rest(node),
        "content": node.content,
    }
    return set_vectors(set_terms(source, item.terms, item.context_terms), vectors)


def set_terms(source: Source, terms: Sequence[str], context: Sequence[str]) -> Source:
    """``source`` found by these tokens, none of which holds white space."""
    source |= {"terms": " ".join(terms), "terms_count": len(terms)}
    source |= {"context": " ".join(context), "context_count": len(context)}
    return source


def set_vectors(source: Source, vectors: Vectors) -> Source:
    """``source`` with these vectors and no others."""
    source["vectors"] = vectors
    source["models"] = sorted(vectors)
    source["embedded"] = sorted(name for name, pair in vectors.items() if len(pair) == 2)
    return source


def complete(source: Source) -> Source:
    """A node's ``source`` as it is sent: with what the server's vector index is made of."""
    dense = {}
    for name, pair in source["vectors"].items():
        if (text := pair.get("turn")) is not None:
            blob = base64.b64decode(text)
            row = vectors_from_blobs([blob], len(blob) // 2)[0]
            # 7 digits are what a float32 has; all 17 would double the size of the request
            dense[name] = row.astype("float64").round(7).tolist()
    return source | {"dense": dense}


def node_from(source: Mapping[str, Any]) -> MemoryNode:
    """The node in a document."""
    return node_from_row([source[name] for name in _NODE_FIELDS])


def node_cells(source: Mapping[str, Any]) -> list[Any]:
    """The cells of :data:`~memoryscope_rag.stores.rows.NODE_COLUMNS`."""
    return [source[name] for name in _NODE_FIELDS]


def search_cells(number: int, source: Mapping[str, Any]) -> tuple[Any, ...]:
    """What :meth:`~memoryscope_rag.stores.columns.Columns.append` takes; ``number`` is the key."""
    return (number, *[source.get(name) for name in SEARCH_FIELDS])


SEARCH_FIELDS = (
    "id", "kind", "seq", "session", "speaker", "question", "length", "said_at", "event_start",
    "event_end", "valid_from", "valid_to",
)  # fmt: skip
"""What search reads of a node besides its terms and vectors."""
