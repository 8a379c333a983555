"""Stored texts for a model: as lines between fences, after a word on what they are.

Whatever a memory says, it reaches the model as data (:mod:`..operations.chat_prompt`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo

from memoryscope_rag.operations.chat_prompt import as_data, system_message
from memoryscope_rag.schema import EvidenceItem, MemoryNode, Message
from memoryscope_rag.workers.frontend.pack_evidence import message_line, node_line
from memoryscope_rag.workers.prompts import Prompts

SHORT = 500
LONG = 8000
"""Characters of one text, where there are many and where there are few."""


def told(prompts: Prompts, lines: Sequence[str], *, now: datetime, query: str = "") -> str:
    """``lines`` behind the fence, in the language of ``query`` what the model is told of them."""
    return system_message(
        prompts, query, now=now, memory=as_data("\n".join(lines)), system_prompt=""
    )


def node_lines(nodes: Sequence[MemoryNode], zone: tzinfo, longest: int = SHORT) -> list[str]:
    """Each as the packed evidence has it, cut after ``longest`` characters."""
    return [node_line(node.with_(content=_cut(node.content, longest)), zone) for node in nodes]


def message_lines(messages: Sequence[Message], zone: tzinfo, longest: int = SHORT) -> list[str]:
    """The same of messages."""
    return [_cut(message_line(message, zone), longest) for message in messages]


def belief(node: MemoryNode, zone: tzinfo) -> str:
    """What kind of memory it is and since when it is believed, in one sentence of ours."""
    article = "an" if node.kind[0] in "aeiou" else "a"
    until = f", not believed since {_day(node.valid_to, zone)}" if node.valid_to else ""
    changed = f", changed {node.version - 1} times" if node.version > 1 else ""
    return f"It is {article} {node.kind} of {_day(node.said_at, zone)}{changed}{until}."


def signals(item: EvidenceItem, rank: int, of: int) -> str:
    """What spoke for and against an item of a search, the strongest first."""
    parts = sorted(item.parts, key=lambda part: -abs(part.contribution))
    shares = ", ".join(f"{part.signal} {part.contribution:+.2f}" for part in parts[:8])
    return f"In this search it has place {rank} of {of} with a score of {item.score:.2f}: {shares}."


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return f"{text[:longest]} … ({len(text)} characters in all)"


def _day(moment: datetime, zone: tzinfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d")
