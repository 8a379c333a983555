"""An application whose beacon memory is a script, for tests of what retrieval makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from memoryscope_rag import AsyncMemoryScope, load_config
from memoryscope_rag.ports import Embedder, Generator, Reranker
from memoryscope_rag.schema import Clue, Evidence, NewMessage, Scope
from memoryscope_rag.testing.fakes import HashEmbedder, ScriptedMemory

ANN = Scope("ann")
NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
TURNS = (
    "I walked along the canal this morning",
    "The neighbours painted their fence yellow",
    "My sister Clara plays the cello in Leeds",
    "We ate mushroom soup with garlic bread",
    "Nadia brought a lemon cake to the club",
    "The train from Derby was two hours late",
    "Otto slept on the warm radiator",
    "I bought rubber boots for the garden",
)
"""Messages ``m0``, ``m1`` … of one session, ten days apart."""


def messages(
    turns: Sequence[str] = TURNS, *, step: timedelta = timedelta(days=10)
) -> list[NewMessage]:
    """``turns`` as messages, the first on 1 January."""
    first = datetime(2026, 1, 1, 9, tzinfo=UTC)
    return [
        NewMessage(f"m{place}", "s", "user", turn, first + place * step)
        for place, turn in enumerate(turns)
    ]


@asynccontextmanager
async def remembering(
    folder: Path,
    *,
    clues: Sequence[Clue] | Callable[[str], Sequence[Clue]] = (),
    attention: Mapping[str, float] | None = None,
    turns: Sequence[str] = TURNS,
    covered: int | None = None,
    embedder: Embedder | None = None,
    generator: Generator | None = None,
    reranker: Reranker | None = None,
    settings: Mapping[str, object] | None = None,
) -> AsyncIterator[tuple[AsyncMemoryScope, ScriptedMemory]]:
    """A memory of ``turns`` whose beacon memory has read the first ``covered`` (all) of them."""
    memory = ScriptedMemory(clues={ANN: clues}, attention={ANN: attention or {}})
    config = load_config(overrides={"schedule": {"close_s": 0}, **(settings or {})})
    async with await AsyncMemoryScope.open(
        folder / "memory.db",
        config=config,
        embedder=embedder or HashEmbedder(256),
        generator=generator,
        reranker=reranker,
        memory=memory,
    ) as app:
        recorded = await app.record_many(messages(turns), scope=ANN)
        memory.cover(ANN, [one.message for one in recorded][:covered])
        yield app, memory


def ids(evidence: Evidence) -> list[str]:
    """The messages of the evidence, best first."""
    return [item.node.provenance[0] for item in evidence.items]


def never() -> asyncio.Future[None]:
    """Something that never ends."""
    return asyncio.get_running_loop().create_future()
