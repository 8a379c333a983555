"""Claude's data export: ``conversations.json``, also with a conversation a line.

Anthropic does not describe the file; what is known of it comes from those who read it
(https://portable-ai-memory.org/providers/anthropic, which looked at 90 conversations in February
2026; https://whychose.com/seo/claude-conversation-export-format, 2026):

- A list of conversations: ``uuid``, ``name``, ``created_at`` (ISO 8601), ``chat_messages`` and, in
  newer ones, ``current_leaf_message_uuid`` and ``model``.
- A message has ``uuid``, ``sender`` ("human" or "assistant"), ``created_at``, ``text`` and
  ``content``, a list of blocks by ``type``: text, thinking, tool_use, tool_result, token_budget;
  further ``attachments``, ``files`` and, in newer ones, ``parent_message_uuid``. Where the leaf is
  named, the branch that leads to it is the one that was shown, and only that one is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
from memoryscope_rag.schema import NewMessage, Role

_ROLES: Mapping[str, Role] = {"human": "user", "assistant": "assistant"}


def read(conversation: Any) -> Iterator[Found]:
    """The messages that were shown, and what is left out of the conversation."""
    name = "?"
    try:
        if not isinstance(conversation, dict):
            raise InvalidInput("conversation", "is no object")
        name = text_in(conversation, "uuid")
        messages = conversation.get("chat_messages")
        if not isinstance(messages, list):
            raise InvalidInput("chat_messages", "is missing or no list")
    except InvalidInput as error:
        yield Problem(f"conversation {name}: {error}")
        return
    shown = _branch(messages, conversation.get("current_leaf_message_uuid"))
    if len(shown) < len(messages):
        yield LeftOut("messages of other branches", len(messages) - len(shown))
    for place, message in enumerate(shown, 1):
        try:
            if not isinstance(message, dict):
                raise InvalidInput("message", "is no object")
            yield from _message(conversation, name, message)
        except InvalidInput as error:
            yield Problem(f"conversation {name}, message {place}: {error}")


def _branch(messages: Sequence[Any], leaf: Any) -> Sequence[Any]:
    by_id = {m["uuid"]: m for m in messages if isinstance(m, dict) and _is_text(m.get("uuid"))}
    if not _is_text(leaf) or leaf not in by_id:
        return messages
    path: dict[str, Any] = {}
    while _is_text(leaf) and leaf in by_id and leaf not in path:
        path[leaf] = by_id[leaf]
        leaf = by_id[leaf].get("parent_message_uuid")
    if not any("parent_message_uuid" in message for message in path.values()):
        return messages
    return list(path.values())[::-1]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _message(
    conversation: Mapping[str, Any], session: str, message: Mapping[str, Any]
) -> Iterator[Found]:
    sender = text_in(message, "sender")
    if sender not in _ROLES:
        raise InvalidInput("sender", f"{sender!r:.40} is unknown; known: {', '.join(_ROLES)}")
    text, others = _said(message)
    for kind, count in others.items():
        yield LeftOut(f"contents of type {kind!r:.40}", count)
    for name in ("attachments", "files"):
        if isinstance(attached := message.get(name), list) and attached:
            yield LeftOut(name, len(attached))
    if not text.strip():
        yield LeftOut("messages without text")
        return
    moment = time_in(message, "created_at") or time_in(conversation, "created_at")
    if moment is None:
        raise InvalidInput("created_at", "is missing, in the conversation, too")
    described = {
        "origin": "claude",
        "title": optional_text(conversation, "name"),
        "model": optional_text(conversation, "model") if sender == "assistant" else None,
    }
    yield NewMessage(
        id=f"claude-{text_in(message, 'uuid')}",
        session_id=session,
        role=_ROLES[sender],
        content=text,
        created_at=moment,
        metadata={key: value for key, value in described.items() if value is not None},
    )


def _said(message: Mapping[str, Any]) -> tuple[str, Counter[str]]:
    """The text, from the blocks if one of them is text, and how many others there are by type."""
    blocks = message.get("content")
    texts, others = [], Counter[str]()
    for block in blocks if isinstance(blocks, list) else []:
        kind = block.get("type") if isinstance(block, dict) else None
        if isinstance(block, dict) and kind == "text" and _is_text(block.get("text")):
            texts.append(block["text"])
        else:
            others[str(kind)] += 1
    if texts:
        return "\n".join(texts), others
    return optional_text(message, "text") or "", others
