"""A month of chat by a seeded generator, and the processes that live through it.

Children are forked from a server that has torch loaded, so that they can be killed often.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random

import transformers.models.llama.modeling_llama  # noqa: F401  # once for all children

from memoryscope_rag import AsyncMemoryScope, NewMessage, Scope, load_config
from memoryscope_rag.beacon.memories import BeaconMemories
from memoryscope_rag.configs.model import Config
from memoryscope_rag.ports import Coverage
from memoryscope_rag.schema import Message
from memoryscope_rag.testing.fakes import HashEmbedder

MIA = Scope("mia")
FIRST = datetime(2026, 5, 1, 8, tzinfo=UTC)
SESSIONS, TURNS = 60, 10
A_LIFE = 12
"""Messages that one process records."""
_WHO = ("Ann", "Ben", "my sister", "the neighbour", "Li Na", "my boss", "our dog")
_DID = ("called", "met", "visited", "saw", "missed", "wrote to", "waited for")
_WHERE = ("in Lisbon", "at the harbour", "by train", "at the market", "in the rain", "at home")
_WHEN = ("yesterday", "this morning", "last week", "on Monday", "before lunch")
_ASKED = ("Who was in Lisbon?", "What happened on Monday?", "Who waited at home?", "谁来了？")


def script() -> list[NewMessage]:
    """600 messages in 60 sessions of 30 days; the same every time."""
    random = Random(7)
    found = []
    for session in range(SESSIONS):
        began = FIRST + timedelta(hours=12 * session, minutes=random.randrange(300))
        for turn in range(TURNS):
            who, did, where, when = map(random.choice, (_WHO, _DID, _WHERE, _WHEN))
            mine = turn % 2 == 0
            found.append(
                NewMessage(
                    f"{session}-{turn}",
                    f"session {session}",
                    "user" if mine else "assistant",
                    f"I {did} {who} {where} {when}." if mine else f"And what did {who} say?",
                    began + timedelta(minutes=turn),
                    speaker="Mia" if mine else None,
                )
            )
    return found


def settings(folder: Path, model: Path) -> Config:
    """A tiny model, short leases, and a schedule that is always at it."""
    return load_config(
        overrides={
            "store": {"path": folder / "memory.db"},
            "memory": {
                "model": str(model),
                "heads": model / "heads" / "heads.json",
                "window": 64,
                "threads": 1,
                "step_tokens": 512,
                "lease_s": 1.0,
            },
            "schedule": {
                "refresh_after_tokens": 32,
                "tick_s": 0.02,
                "backoff_s": 0.05,
                "backoff_limit_s": 0.2,
                "consolidate_every_s": 1e6,
                "after_idle_s": 1e6,
                "after_messages": 10**6,
                "close_s": 0.0,
            },
        }
    )


class Noted(BeaconMemories):
    """Memories that put down, before each write, what was covered and what is to be written."""

    def __init__(self, config: Config, notes: Path) -> None:
        super().__init__(config.memory, config.memory_folder)
        self._notes = notes

    async def write(self, scope: Scope, messages: Sequence[Message], *, keep: int) -> Coverage:
        before = len((await self.coverage(scope)).message_ids)
        note = {"before": before, "keep": keep, "ids": [message.id for message in messages]}
        with self._notes.open("a") as file:
            file.write(json.dumps(note) + "\n")
        return await super().write(scope, messages, keep=keep)


def splits(notes: Path, covered: int) -> list[tuple[int, list[str]]]:
    """The writes that were committed: those that the next one, or the end, found done."""
    found = [json.loads(line) for line in notes.read_text().splitlines()]
    ends = [note["before"] for note in found[1:]] + [covered]
    return [
        (note["keep"], note["ids"])
        for note, end in zip(found, ends, strict=True)
        if note["keep"] + len(note["ids"]) == end != note["before"]
    ]


async def _live(folder: Path, model: Path, told: Connection | None, count: int) -> None:
    """Record up to ``count`` messages, asking all the while; ``told`` hears of every answer."""
    config, random = settings(folder, model), Random()
    memory = Noted(config, folder / "notes.jsonl")
    async with await AsyncMemoryScope.open(
        config=config, embedder=HashEmbedder(), memory=memory
    ) as app:
        known = (await app.stats(scope=MIA)).messages
        if told is not None:
            await app.start()
        for message in script()[known : known + count]:
            await app.record_many([message], scope=MIA)
            if told is None:
                continue
            for profile in ("fast", "read"):
                asked = random.choice(_ASKED)
                found = await app.retrieve(asked, scope=MIA, floor=False, profile=profile)
                told.send((len(found.items), found.left_out))
        while told is not None:  # until it is killed
            await asyncio.sleep(0.01)
        report = await app.refresh(scope=MIA)
        while report.busy:
            await asyncio.sleep(0.1)
            report = await app.refresh(scope=MIA)
        assert (report.left, report.failed) == (0, None), report


def live(folder: Path, model: Path, told: Connection) -> None:
    """A process that is to be killed. What goes wrong is told."""
    try:
        asyncio.run(_live(folder, model, told, A_LIFE))
    except Exception as error:
        told.send(repr(error))
        raise


def live_to_the_end(folder: Path, model: Path) -> None:
    """Record the rest of the month and refresh the memory."""
    asyncio.run(_live(folder, model, None, SESSIONS * TURNS))


def started(folder: Path, model: Path, told: Connection) -> ForkServerProcess:
    """A process that lives through some of the month."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    child = context.Process(target=live, args=(folder, model, told))
    child.start()
    return child
