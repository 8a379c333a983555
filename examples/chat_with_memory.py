"""Chat with memory, two users, streamed. Run it: python examples/chat_with_memory.py

The scripted model stands where yours goes: leave ``generator=`` out, and the one of the settings
replies, such as MEMORYSCOPE_GENERATOR__PROVIDER=ollama with MEMORYSCOPE_GENERATOR__MODEL=qwen3:8b.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from memoryscope_rag import MemoryScope
from memoryscope_rag.ports import ChatMessage
from memoryscope_rag.testing.fakes import ScriptedGenerator, ScriptedReply


def answer(messages: Sequence[ChatMessage]) -> str:
    """What the model would say: here, how many lines of memory it was given, and the first one."""
    block = messages[0].content.partition("<memory>\n")[2].partition("\n</memory>")[0]
    lines = block.splitlines()
    return f"I was given {len(lines)} lines of memory. {lines[0] if lines else ''}".strip()


def script() -> Iterator[ScriptedReply]:
    """The same answer to everything."""
    while True:
        yield answer


def say(memory: MemoryScope, user: str, session: str, text: str) -> None:
    """One turn, printed as it comes."""
    print(f"{user}: {text}\nbot: ", end="")
    for piece in memory.chat_stream(text, scope=user, session_id=session, speaker=user.title()):
        print(piece.text, end="", flush=True)
    print()


def main() -> None:
    """Ann and Bob tell something, and ask for it in another conversation."""
    model = ScriptedGenerator(script())
    with (
        tempfile.TemporaryDirectory() as folder,
        MemoryScope.open(Path(folder) / "memory.db", generator=model) as memory,
    ):
        say(memory, "ann", "monday", "I moved to Lisbon in May.")
        say(memory, "bob", "monday", "I moved to Oslo in March.")
        say(memory, "ann", "friday", "Which city did I move to?")
        say(memory, "bob", "friday", "Which city did I move to?")


if __name__ == "__main__":
    main()
