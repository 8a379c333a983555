"""Small exports of other programs, written for these tests after what is known of the formats."""

from __future__ import annotations

from typing import Any


def chatgpt_node(
    name: str, parent: str | None, *children: str, message: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A node of a conversation's tree."""
    return {"id": name, "parent": parent, "children": list(children), "message": message}


def chatgpt_message(name: str, role: str, *parts: Any, **more: Any) -> dict[str, Any]:
    """A message; ``more`` replaces fields of it."""
    return {
        "id": name,
        "author": {"role": role, "name": None, "metadata": {}},
        "create_time": 1_714_550_400.5,
        "content": {"content_type": "text", "parts": list(parts)},
        "recipient": "all",
        "metadata": {},
        **more,
    }


def chatgpt() -> dict[str, Any]:
    """A conversation with a question that was edited, tools, a picture and hidden messages."""
    hidden = {"is_visually_hidden_from_conversation": True}
    model = {"model_slug": "gpt-4o"}
    picture = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://x"}
    messages = {
        "sys": chatgpt_message("sys", "system", "", create_time=None, metadata=hidden),
        "q1": chatgpt_message("q1", "user", "Where is Lissabon?"),
        "a1": chatgpt_message("a1", "assistant", "Do you mean Lisbon?", metadata=model),
        "q2": chatgpt_message(
            "q2",
            "user",
            picture,
            "I moved to Lisbon",
            content={"content_type": "multimodal_text", "parts": [picture, "I moved to Lisbon"]},
        ),
        "call": chatgpt_message("call", "assistant", "search()", recipient="browser"),
        "out": chatgpt_message("out", "tool", "a page"),
        "think": chatgpt_message("think", "assistant", content={"content_type": "thoughts"}),
        "a2": chatgpt_message("a2", "assistant", "How nice", create_time=None, metadata=model),
    }
    links: list[tuple[str, str, tuple[str, ...]]] = [
        ("sys", "root", ("q1", "q2")),
        ("q1", "sys", ("a1",)),
        ("a1", "q1", ()),
        ("q2", "sys", ("call",)),
        ("call", "q2", ("out",)),
        ("out", "call", ("think",)),
        ("think", "out", ("a2",)),
        ("a2", "think", ()),
    ]
    mapping = {"root": chatgpt_node("root", None, "sys")} | {
        name: chatgpt_node(name, parent, *children, message=messages[name])
        for name, parent, children in links
    }
    return {
        "title": "A new home",
        "create_time": 1_714_550_000.0,
        "mapping": mapping,
        "current_node": "a2",
        "conversation_id": "talk-1",
    }


def claude_message(name: str, sender: str, text: str, **more: Any) -> dict[str, Any]:
    """A message; ``more`` adds fields."""
    return {
        "uuid": name,
        "sender": sender,
        "text": text,
        "content": [{"type": "text", "text": text}],
        "created_at": "2026-05-01T08:00:00.123456Z",
        "attachments": [],
        "files": [],
        **more,
    }


def claude() -> dict[str, Any]:
    """A conversation with a thought, a tool, an attachment and another branch."""
    blocks = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "The cello?"},
        {"type": "tool_use", "name": "search", "input": {}},
        {"type": "text", "text": "How nice"},
    ]
    return {
        "uuid": "talk-2",
        "name": "Music",
        "model": "claude-sonnet",
        "created_at": "2026-05-01T08:00:00Z",
        "current_leaf_message_uuid": "c4",
        "chat_messages": [
            claude_message(
                "c1", "human", "I play", parent_message_uuid=None, attachments=[{"file_name": "x"}]
            ),
            claude_message("c2", "assistant", "What?", parent_message_uuid="c1"),
            claude_message("c3", "human", "I play the cello", parent_message_uuid=None),
            claude_message("c4", "assistant", "", parent_message_uuid="c3", content=blocks),
        ],
    }


def mem0_memory(name: str, text: str, **more: Any) -> dict[str, Any]:
    """A memory; ``more`` adds fields."""
    return {
        "id": name,
        "memory": text,
        "hash": "0f",
        "metadata": {"topic": "home", "tags": ["a", "b"]},
        "created_at": "2026-05-01T08:00:00-07:00",
        "updated_at": None,
        "user_id": "ann",
        **more,
    }


def item(namespace: list[str], key: str, value: dict[str, Any]) -> dict[str, Any]:
    """An item of a LangGraph store."""
    return {
        "namespace": namespace,
        "key": key,
        "value": value,
        "created_at": "2026-05-01T08:00:00+00:00",
        "updated_at": "2026-05-02T08:00:00+00:00",
    }
