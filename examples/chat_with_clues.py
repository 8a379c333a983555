"""Chat whose memory is led by clues. Run it: python examples/chat_with_clues.py

Scripts stand where models go: leave ``generator=`` and ``memory=`` out and set generator.model and
memory.model, such as MEMORYSCOPE_MEMORY__MODEL=smollm2-135m-instruct; see docs/clues.md.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from memoryscope_rag import MemoryScope
from memoryscope_rag.schema import Clue, Scope
from memoryscope_rag.testing.fakes import ScriptedGenerator, ScriptedMemory

ANN = Scope("ann")
CLUE = Clue("Clara teaches at a music school in Leeds", "span", provenance=("m2",))


def main() -> None:
    """A question whose words stand nowhere in what was said, found by a clue."""
    model = ScriptedGenerator(["For your sister? Perhaps a new bow for her cello."])
    recall = ScriptedMemory(clues={ANN: [CLUE]}, attention={ANN: {"m1": 0.1, "m2": 2.1, "m3": 0.2}})
    with (
        tempfile.TemporaryDirectory() as folder,
        MemoryScope.open(Path(folder) / "memory.db", generator=model, memory=recall) as memory,
    ):
        for name, text in (
            ("m1", "It has rained for nine days."),
            ("m2", "Clara plays the cello and teaches at a music school in Leeds."),
            ("m3", "I repaired a puncture, badly."),
        ):
            memory.record(text, scope=ANN, session_id="monday", message_id=name)
        memory.refresh(scope=ANN)  # in a service the background does it
        question = "What would please my nearest relative?"
        reply = memory.chat(
            question,
            scope=ANN,
            session_id="friday",
            profile="clues",
            explain=True,
            budget_ms=10_000,
        )
        for number, clue in enumerate(reply.evidence.clues, 1):
            print(f"clue {number} ({clue.kind}): {clue.text}")
        best = reply.evidence.items[0]
        print(f"found by {', '.join(best.found_by)}: {best.node.content}")
        print(f"bot: {reply.text}")


if __name__ == "__main__":
    main()
