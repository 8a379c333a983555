"""Collections of documents, when several callers meet over one."""

from __future__ import annotations

import asyncio
from pathlib import Path

from memoryscope_rag.configs.load import parse_config
from memoryscope_rag.errors import UnknownId
from memoryscope_rag.ports import Sampling
from memoryscope_rag.schema import Scope
from memoryscope_rag.service.corpora import Corpus, Making
from memoryscope_rag.service.shelf import Shelf
from memoryscope_rag.testing.fakes import HashEmbedder, ScriptedGenerator

ANN = Scope("ann")
NAME = "Library"


async def read(shelf: Shelf, source: str) -> object:
    """What the last step of reading a text says."""
    steps = shelf.add(ANN, NAME, source, b"The harbour of Leith was built in 1806.", Making())
    return [step async for step in steps][-1]


def test_who_waited_for_a_collection_that_was_removed_is_told_so(tmp_path: Path) -> None:
    embedder, teller = HashEmbedder(), ScriptedGenerator([])
    config = parse_config({"store": {"path": str(tmp_path / "memory.db")}})
    shelf = Shelf(config, embedder, teller)

    async def ask() -> object:
        return await shelf.ask(
            ANN, NAME, "When?", "qa", use_memory_answer=False, sampling=Sampling()
        )

    async def main() -> None:
        await read(shelf, "one.txt")
        before, embedder.delay = len(embedder.calls), 0.5
        reading = asyncio.create_task(read(shelf, "two.txt"))
        while len(embedder.calls) == before:  # until reading has the collection for itself
            await asyncio.sleep(0.01)
        found, *others = await asyncio.gather(
            reading,
            shelf.remove(ANN, NAME),
            shelf.remove(ANN, NAME),
            ask(),
            return_exceptions=True,
        )
        assert isinstance(found, Corpus)
        assert found.sources == ("one.txt", "two.txt")
        assert others[0] is None
        assert [type(one) for one in others[1:]] == [UnknownId, UnknownId]
        assert await shelf.corpora(ANN) == []
        await shelf.close()

    asyncio.run(main())
