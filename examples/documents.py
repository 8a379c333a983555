"""A memory of documents: clues lead to passages. Run it: python examples/documents.py

The tiny model and the scripted one stand where yours go: name a chat model of your machine in
``MemoryOptions(model=...)``, leave ``generator=`` out to have that one write the answers too, or
give any of ``memoryscope_rag.models``, such as ``OpenAIGenerator``.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path

from memoryscope_rag.beacon.memory import MemoryOptions
from memoryscope_rag.documents.memory import DocumentMemory, DocumentOptions
from memoryscope_rag.documents.vectors import IndexOptions
from memoryscope_rag.models.onnx import OnnxEmbedder
from memoryscope_rag.ports import ChatMessage
from memoryscope_rag.testing.fakes import ScriptedGenerator
from memoryscope_rag.testing.tiny_model import tiny_decoder

GUIDE = """The front door is opened with the blue key. Turn it twice to the left.

When the water stays cold, press the red button on the boiler for five seconds.

The ferry to the island leaves from pier four at noon. In winter it does not go at all."""


def answer(messages: Sequence[ChatMessage]) -> str:
    """What the model would say: here, how the first passage begins that it was given."""
    return f"The first passage begins: {messages[-1].content[:28]}"


async def main() -> None:
    """A guide is memorized, asked, saved, and asked again with a page more."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        guide = place / "guide.md"
        guide.write_text(GUIDE, "utf-8")
        model = tiny_decoder(place / "tiny", context=4096, says="cold water")
        options = DocumentOptions(
            memory=MemoryOptions(model=str(model), window=64),
            index=IndexOptions(tokens=32),
            hits=1,
        )
        embedder = OnnxEmbedder.load()
        writer = ScriptedGenerator(repeat(answer))

        async with await DocumentMemory.open(
            options, embedder=embedder, generator=writer, threads=1
        ) as memory:
            stats = await memory.memorize(guide)
            print(f"{stats.chunks} passages, {stats.memory.tokens} tokens in memory")
            told = await memory.ask("How do I get hot water?")
            print(told.text)
            for passage in told.evidence:
                print(f"  {passage.citation.removeprefix(folder)}, found by {passage.found_by}")
            await memory.save(place / "saved")

        async with await DocumentMemory.load(
            place / "saved", embedder=embedder, generator=writer, threads=1
        ) as memory:
            await memory.append("Dogs are welcome in the garden rooms.", source="dogs")
            for told in await memory.ask_many(["When does the boat leave?", "May I bring a dog?"]):
                print(told.query, [passage.text[:24] for passage in told.evidence])
            summary = await memory.ask(task="summarize")
            print(summary.text)
        embedder.close()


if __name__ == "__main__":
    asyncio.run(main())
