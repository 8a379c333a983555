"""A chatbot backend that remembers: one function a turn. Run it: python examples/chatbot_backend.py

``answer`` stands where your language model goes; this one repeats the best evidence.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from memoryscope_rag import Evidence, MemoryScope

PROMPT = "What you know of the user, with dates:\n{evidence}\n\nThe user says: {text}"


def answer(prompt: str, evidence: Evidence) -> str:
    """Your model call goes here: it gets ``prompt``. This stand-in needs no model."""
    best = evidence.items[0].node.content if evidence.items else "nothing yet"
    return f"[{len(prompt)} characters of prompt] I remember: {best}"


def turn(memory: MemoryScope, user: str, session: str, text: str) -> str:
    """Answer one message and remember both sides of the exchange."""
    evidence = memory.retrieve(text, scope=user, current_session=session, budget_tokens=800)
    memory.record(text, scope=user, session_id=session, speaker=user)
    reply = answer(PROMPT.format(evidence=evidence.text, text=text), evidence)
    memory.record(reply, scope=user, session_id=session, role="assistant", speaker="Bot")
    return reply


def main() -> None:
    """Two conversations, days apart as far as the memory can tell."""
    with (
        tempfile.TemporaryDirectory() as folder,
        MemoryScope.open(Path(folder) / "memory.db") as memory,
    ):
        for session, text in (
            ("monday", "I moved to Lisbon in May, close to the river."),
            ("monday", "My cat Otto hates the boat horns."),
            ("friday", "Which city did I move to?"),
        ):
            print(f"user: {text}")
            print(f"bot:  {turn(memory, 'ann', session, text)}")


if __name__ == "__main__":
    main()
