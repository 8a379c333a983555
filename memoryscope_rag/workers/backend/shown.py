"""Facts as a model is shown them: numbered, dated, with their speaker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from memoryscope_rag.schema import MemoryNode

MAX_SHOWN = 1000
"""Characters of one fact; a note may be a whole document."""


def numbered_facts(facts: Sequence[MemoryNode], zone: tzinfo | None) -> str:
    """``facts`` as lines, numbered from 1: when said, by whom, the words."""
    return "\n".join(fact_line(number, fact, zone) for number, fact in enumerate(facts, 1))


def fact_line(number: int, fact: MemoryNode, zone: tzinfo | None) -> str:
    """One fact as a line."""
    who = f" {fact.speaker}:" if fact.speaker else ""
    # on one line, so that a stored text cannot pose as another fact
    text = " ".join(fact.content.split())[:MAX_SHOWN]
    return f"{number}. [{fact.said_at.astimezone(zone):%Y-%m-%d}]{who} {text}"
