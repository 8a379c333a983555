"""ChatGPT's data export: ``conversations.json``, in newer ones ``conversations-000.json`` and on.

OpenAI describes the archive but not the file; what is known of it comes from those who read it
(https://difegam.github.io/chatgpt-to-markdown/explanation/export-format,
https://whychose.com/seo/chatgpt-conversations-json-format, both of 2026):

- A list of conversations: ``conversation_id`` (or ``id``), ``title``, ``create_time`` in POSIX
  seconds, ``mapping`` and ``current_node``.
- ``mapping`` is a tree: node id to ``{"id", "message" or null, "parent", "children"}``. Editing a
  question or asking for another answer makes a branch; the one that was shown leads from
  ``current_node`` up to the root, and only that one is read.
- A message has ``id``, ``author.role``, ``create_time`` or null, ``content.content_type`` with
  ``parts`` (text, or objects for pictures, sound and files), ``recipient`` ("all", or a tool), and
  ``metadata`` with ``model_slug`` and ``is_visually_hidden_from_conversation``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.formats import Problem
from memoryscope_rag.operations.foreign.found import (
    Found,
    LeftOut,
    optional_text,
    text_in,
    time_in,
)
from memoryscope_rag.schema import ROLES, NewMessage, Role

_SPOKEN = frozenset({"text", "multimodal_text"})
_ROLES: Mapping[str, Role] = {role: role for role in ROLES}


def read(conversation: Any) -> Iterator[Found]:
    """The messages of the branch that was shown, and what is left out of the conversation."""
    name = "?"
    try:
        if not isinstance(conversation, dict):
            raise InvalidInput("conversation", "is no object")
        name = optional_text(conversation, "conversation_id") or text_in(conversation, "id")
        mapping = conversation.get("mapping")
        if not isinstance(mapping, dict):
            raise InvalidInput("mapping", "is missing or no object")
        shown = _branch(mapping, conversation.get("current_node"))
        moment = time_in(conversation, "create_time")
    except InvalidInput as error:
        yield Problem(f"conversation {name}: {error}")
        return
    on_branch = {id(node) for node in shown}
    others = sum(_has_message(node) and id(node) not in on_branch for node in mapping.values())
    if others:
        yield LeftOut("messages of other branches", others)
    for node in shown:
        if not _has_message(node):
            continue
        message = node["message"]
        try:
            moment = time_in(message, "create_time") or moment
            yield from _message(conversation, name, message, moment)
        except InvalidInput as error:
            yield Problem(f"conversation {name}, message {message.get('id')!r:.60}: {error}")


def _has_message(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("message"), dict)


def _branch(mapping: Mapping[str, Any], leaf: Any) -> list[Any]:
    """The nodes from the root to ``leaf``; without one, down the last children from the root."""
    path: list[Any] = []
    if leaf is None:
        node = next((n for n in mapping.values() if _linked(n, "parent", mapping) is None), None)
        while node is not None and not any(node is other for other in path):
            path.append(node)
            children = node.get("children") or [None]
            node = mapping.get(children[-1]) if isinstance(children[-1], str) else None
        return path
    if not isinstance(leaf, str) or leaf not in mapping:
        raise InvalidInput("current_node", "is no node of the mapping")
    seen: set[str] = set()
    while isinstance(leaf, str) and leaf not in seen and isinstance(mapping.get(leaf), dict):
        seen.add(leaf)
        path.append(mapping[leaf])
        leaf = mapping[leaf].get("parent")
    return path[::-1]


def _linked(node: Any, name: str, mapping: Mapping[str, Any]) -> Any:
    other = node.get(name) if isinstance(node, dict) else None
    return mapping.get(other) if isinstance(other, str) else None


def _message(
    conversation: Mapping[str, Any],
    session: str,
    message: Mapping[str, Any],
    moment: datetime | None,
) -> Iterator[Found]:
    author, content = message.get("author"), message.get("content")
    metadata = message.get("metadata")
    kept = metadata if isinstance(metadata, dict) else {}
    role = author.get("role") if isinstance(author, dict) else None
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidInput("author.role", f"{role!r:.40} is unknown; known: {', '.join(ROLES)}")
    if not isinstance(content, dict):
        raise InvalidInput("content", "is missing or no object")
    if reason := _unspoken(role, message, content, kept):
        yield LeftOut(reason)
        return
    texts, pictures = _parts(content.get("parts"))
    if pictures:
        yield LeftOut("pictures, sounds and files in messages", pictures)
    if not texts:
        yield LeftOut("messages without text")
        return
    if moment is None:
        raise InvalidInput("create_time", "is missing, in the conversation, too")
    described = {
        "origin": "chatgpt",
        "title": optional_text(conversation, "title"),
        "model": optional_text(kept, "model_slug"),
    }
    yield NewMessage(
        id=f"chatgpt-{text_in(message, 'id')}",
        session_id=session,
        role=_ROLES[role],
        content="\n".join(texts),
        created_at=moment,
        metadata={key: value for key, value in described.items() if value is not None},
    )


def _unspoken(
    role: str, message: Mapping[str, Any], content: Mapping[str, Any], kept: Mapping[str, Any]
) -> str | None:
    """Why a message was not said by anybody to anybody, ``None`` if it was."""
    if kept.get("is_visually_hidden_from_conversation"):
        return "hidden messages"
    if role == "tool":
        return "outputs of tools"
    if message.get("recipient") not in (None, "all"):
        return "calls of tools"
    kind = content.get("content_type")
    return None if kind in _SPOKEN else f"contents of type {kind!r:.40}"


def _parts(parts: Any) -> tuple[list[str], int]:
    """The texts among ``parts``, transcripts of what was spoken too, and how many others."""
    texts, others = [], 0
    for part in parts if isinstance(parts, list) else []:
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str):
            others += 1
        elif text.strip():
            texts.append(text)
    return texts, others
