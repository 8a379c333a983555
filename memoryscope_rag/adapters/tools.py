"""What a model is given to search its memory and to add to it, where it decides that itself.

Both answer in words for a model, and a failing memory is such an answer, too. Whose memory it is
was settled before: no argument of a model's can choose another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from memoryscope_rag.adapters.session_memory import SessionMemory

SEARCH: Final = "search_memory"
ADD: Final = "add_memory"
MOST: Final = 50
"""Memories that a search gives at most, and facts that are kept at once."""
NUDGE: Final = (
    f"You remember earlier conversations with this user: {SEARCH} finds what was said, {ADD} keeps "
    "a lasting fact. Search before you say that you do not know something about the user."
)


async def search(memory: SessionMemory, keywords: Sequence[str], limit: int | None = None) -> str:
    """Memories for all ``keywords``, fenced; or that there are none."""
    wanted = None if limit is None else min(max(limit, 1), MOST)
    found = await memory.recall(". ".join(keywords), limit=wanted)
    return found.text or "Nothing is remembered about this."


async def add(memory: SessionMemory, facts: Sequence[str]) -> str:
    """Keep each of ``facts`` as a note; how many were kept."""
    wanted = [fact for fact in facts[:MOST] if fact.strip()]
    kept = [await memory.note(fact) for fact in wanted].count(True)
    if kept < len(wanted):
        return f"Kept {kept} of {len(wanted)}: the memory cannot be written to at the moment."
    return f"Kept {kept}."
