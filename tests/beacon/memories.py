"""What the tests of the memories of all scopes share: a tiny model, its heads, messages."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from memoryscope_rag.beacon.heads import HeadSet
from memoryscope_rag.beacon.memories import BeaconMemories
from memoryscope_rag.beacon.read_attention import Head
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.beacon.weights import fingerprint
from memoryscope_rag.configs.model import MemoryConfig
from memoryscope_rag.models.torch_runtime import open_decoder
from memoryscope_rag.schema import Message, Scope
from memoryscope_rag.testing.tiny_model import tiny_decoder

T = TypeVar("T")
ANN, BOB = Scope("ann"), Scope("bob")
SAYS = "Jack wins"
START = datetime(2026, 5, 2, 18, 30, tzinfo=UTC)
WORDS = [
    "Otto",
    "tram",
    "Porto",
    "rain",
    "Lena",
    "piano",
    "Jack",
    "race",
    "soup",
    "river",
    "garden",
    "Tuesday",
    "coffee",
    "letter",
]


def made(folder: Path, *, says: str | None = None, context: int = 4096, **shape: Any) -> Path:
    """A tiny model in ``folder``, with heads that were chosen for it."""
    model = tiny_decoder(folder, says=says, context=context, **shape)
    heads = HeadSet("tiny", fingerprint(open_decoder(model, "cpu")[0]), (Head(0, 1), Head(1, 2)))
    (folder / "heads").mkdir()
    (folder / "heads" / "heads.json").write_text(heads.to_json(), "utf-8")
    return model


def config(model: Path, **settings: Any) -> MemoryConfig:
    """Settings for that model."""
    given = {"window": 64, "threads": 1, "heads": model / "heads" / "heads.json"}
    return MemoryConfig(**{"model": str(model), **given, **settings})


def said(count: int, *, first: int = 0, scope: Scope = ANN, sessions: int = 5) -> list[Message]:
    """Messages ``m<first>``, …: each session holds so many in a row; the text is of the number."""
    found = []
    for number in range(first, first + count):
        random = Random(number)
        found.append(
            Message(
                id=f"m{number}",
                session_id=f"s{number // sessions}",
                role="user",
                speaker="Ann" if number % 2 else "Ben",
                content=" ".join(random.choices(WORDS, k=random.randint(2, 9))) + ".",
                created_at=START + timedelta(hours=number),
                scope=scope,
                seq=number + 1,
            )
        )
    return found


def finished(work: Coroutine[Any, Any, T]) -> T:
    """``work``, in a loop of its own."""
    return asyncio.run(asyncio.wait_for(work, 300))


def but(message: Message, **changes: Any) -> Message:
    """``message`` with other values."""
    return replace(message, **changes)


Step = tuple[int, Sequence[Message]]


async def written(
    settings: MemoryConfig, folder: Path, steps: Sequence[Step], scope: Scope = ANN
) -> BeaconMemories:
    """Memories after these writes: each with how many to keep, and the messages."""
    memories = BeaconMemories(settings, folder)
    for keep, messages in steps:
        await memories.write(scope, messages, keep=keep)
    return memories


async def states(memories: BeaconMemories, scope: Scope = ANN) -> dict[str, MemoryState]:
    """All that is kept of ``scope``, by part."""
    _, bank = await memories._open()
    parts = await bank.heads(scope)
    return {part: await bank.read(scope, part) for part in ("", *parts)}


async def checksums(memories: BeaconMemories, scope: Scope = ANN) -> dict[str, str]:
    """One of each memory: equal, where every row is, bit for bit."""
    return {part: state.checksum() for part, state in (await states(memories, scope)).items()}
