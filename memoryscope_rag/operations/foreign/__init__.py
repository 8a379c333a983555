"""Exports of other programs as what ``import`` reads: one file a program.

A reader goes from one JSON value of the export (a conversation, a memory, a page of them) to what
is in it: messages, facts, what it leaves out and why, and what it cannot read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

from memoryscope_rag.operations.foreign import chatgpt, claude, langgraph, mem0
from memoryscope_rag.operations.foreign.found import Found

Program = Literal["chatgpt", "claude", "mem0", "langgraph"]
PROGRAMS: tuple[Program, ...] = get_args(Program)
READERS: Mapping[Program, Callable[[Any], Iterator[Found]]] = MappingProxyType(
    {
        "chatgpt": chatgpt.read,
        "claude": claude.read,
        "mem0": mem0.read,
        "langgraph": langgraph.read,
    }
)


def program_of(value: Any) -> Program | None:
    """Which program wrote an export of which ``value`` is the first; ``None`` if none of these."""
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, dict):
        return None
    if isinstance(first.get("mapping"), dict):
        return "chatgpt"
    if isinstance(first.get("chat_messages"), list):
        return "claude"
    for pages in ("results", "items"):
        if isinstance(inside := first.get(pages), list) and inside:
            return program_of(inside[0])
    if "memory" in first and "id" in first:
        return "mem0"
    if {"namespace", "key", "value"} <= first.keys():
        return "langgraph"
    return None
