"""What the children of the tests of the memories of all scopes do, until they are killed."""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import torch
from transformers.models.llama import modeling_llama

from memoryscope_rag.beacon.memories import BeaconMemories
from memoryscope_rag.configs.model import MemoryConfig
from tests.beacon.memories import ANN, Step, config, said

PRELOADED = modeling_llama
"""Loaded once, in the process that children are forked from: a child is to write, not to import."""
TOTAL = 36


def steps(seed: int) -> list[Step]:
    """Writes that anybody does alike; once, what was written last is taken back."""
    random = Random(seed)
    found: list[Step] = []
    covered = number = 0
    while covered < TOTAL:
        back = 3 if len(found) == 6 else 0
        count = random.randint(2, 5)
        found.append((covered - back, said(count, first=number)))
        covered, number = covered - back + count, number + count
    return found


def settings(model: Path, encoding: str) -> MemoryConfig:
    """Those of every child."""
    return config(model, encoding=encoding)


def write_on(model: Path, encoding: str, folder: Path, told: Connection) -> None:
    """Do what is left of the writes, and tell of each."""
    torch.set_num_threads(1)

    async def run() -> None:
        memories = BeaconMemories(settings(model, encoding), folder)
        plan = steps(1)
        for number in range(_done((await memories.coverage(ANN)).message_ids), len(plan)):
            told.send(number)
            keep, messages = plan[number]
            await memories.write(ANN, messages, keep=keep)
        await memories.close()

    asyncio.run(run())


def _done(covered: tuple[str, ...]) -> int:
    """How many of the writes made the memory cover this."""
    ids: list[str] = []
    for number, (keep, messages) in enumerate(steps(1)):
        if tuple(ids) == covered:
            return number
        ids = ids[:keep] + [message.id for message in messages]
    assert tuple(ids) == covered
    return len(steps(1))
