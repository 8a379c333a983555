"""What work in the background costs those who retrieve at the same time.

Once with the work in the application's own process, and once in another one: within a run, since
one machine is not as fast in every minute.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import numpy as np

from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.configs.model import Config, ScheduleConfig
from memoryscope_rag.evaluation.synthetic import START, Texts
from memoryscope_rag.schema import NewMessage, Scope

Metrics = dict[str, float]
Process = Literal["shared", "own"]
PROCESSES: Final[tuple[Process, ...]] = ("shared", "own")
TURNS: Final = 10
"""Messages of a scope that is consolidated."""
_READER: Final = Scope("refreshed")
_MESSAGES: Final = 400
"""More than a model reads while the others ask."""
_PAUSE_S: Final = 0.02
"""Somebody asks, reads and asks again."""
_LONGEST_S: Final = 60.0
"""A model that has taken no step further by then is too slow to wait for."""
_WARM: Final = 5
_LOOK: Final = 10
"""After so many questions it is looked whether the work is done."""


async def beside_consolidation(
    config: Config, scope: Scope, scopes: int, queries: int, seed: int
) -> Metrics:
    """The 95th percentile in ``scope`` while so many others are consolidated, without a chat model.

    Of the questions that are asked meanwhile, those while the process is started included.
    """
    schedule = config.schedule.model_copy(
        update={"after_messages": TURNS, "tick_s": 0.1, "close_s": 0.0}
    )
    memory = await AsyncMemoryScope.open(config=config.model_copy(update={"schedule": schedule}))
    async with memory:
        for number in range(scopes):
            texts = Texts(seed + number).take(TURNS)
            batch = [NewMessage(f"m{n}", "s", "user", t, START) for n, t in enumerate(texts)]
            await memory.record_many(batch, scope=f"user{number}")
        asking = _Asking(memory, scope, seed + 1000)
        before = await asking.some(queries)
        begun = time.perf_counter()
        await memory.start()
        beside = await asking.until(lambda: _done(memory))
        spent = time.perf_counter() - begun
        left = (await memory.stats()).pending
        await memory.stop(wait=False)
        after = await asking.some(queries)
    rate = (scopes - left / TURNS) / spent
    name = f"beside_{scopes}_consolidations"
    return _figures(name, config, before + after, beside, {"per_s": rate})


async def beside_refresh(config: Config, scope: Scope, queries: int, seed: int) -> Metrics:
    """The 95th percentile of ``fast`` in ``scope`` before, while and after another one is read.

    The memory's files are made in a temporary folder. Raises ModelError, MissingExtra.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = config.memory.model_copy(update={"folder": Path(folder)})
        # nothing is consolidated meanwhile
        never = {"after_messages": 10**9, "after_idle_s": 1e9, "consolidate_every_s": 1e9}
        quiet = config.schedule.model_copy(update={**never, "tick_s": 0.1, "close_s": 0.0})
        memory = await AsyncMemoryScope.open(
            config=config.model_copy(update={"memory": place, "schedule": quiet})
        )
        async with memory:
            texts = Texts(seed).take(_MESSAGES)
            batch = [
                NewMessage(f"r{n}", f"s{n // 20}", "user", t, START) for n, t in enumerate(texts)
            ]
            await memory.record_many(batch, scope=_READER)

            async def read() -> int:
                return len((await memory.coverage(scope=_READER)).message_ids)

            asking = _Asking(memory, scope, seed + 1)
            before = await asking.some(queries)
            await memory.start()
            while not await read():
                await asyncio.sleep(0.1)  # the model is being opened
            first, begun = await read(), time.perf_counter()

            async def went_on() -> bool:
                return await read() > first or time.perf_counter() - begun > _LONGEST_S

            beside = await asking.some(queries) + await asking.until(went_on)
            rate = (await read() - first) / (time.perf_counter() - begun)
            await memory.stop(wait=False)
            after = await asking.some(queries)
    return _figures("beside_refresh", config, before + after, beside, {"messages_per_s": rate})


def in_process(config: Config, process: Process) -> Config:
    """``config`` with its background work in that process."""
    schedule = ScheduleConfig(process=process)
    return config.model_copy(update={"schedule": schedule})


class _Asking:
    """Asks one question after the other in a scope, no two alike."""

    def __init__(self, memory: AsyncMemoryScope, scope: Scope, seed: int) -> None:
        self._memory = memory
        self._scope = scope
        self._texts = self._more(seed)

    async def some(self, queries: int) -> list[float]:
        """Seconds of so many, after some that warm up."""
        return [await self._ask() for _ in range(_WARM + queries)][_WARM:]

    async def until(self, done: Callable[[], Awaitable[bool]]) -> list[float]:
        """Seconds of those that are asked until it is ``done``."""
        spent: list[float] = []
        while len(spent) % _LOOK or not spent or not await done():
            spent.append(await self._ask())
        return spent

    async def _ask(self) -> float:
        began = time.perf_counter()
        await self._memory.retrieve(
            next(self._texts), scope=self._scope, floor=False, profile="fast"
        )
        spent = time.perf_counter() - began
        await asyncio.sleep(_PAUSE_S)
        return spent

    @staticmethod
    def _more(seed: int) -> Iterator[str]:
        while True:
            yield from Texts(seed).take(1000, shortest=4, longest=10)
            seed += 1


async def _done(memory: AsyncMemoryScope) -> bool:
    return not (await memory.stats()).pending


def _figures(
    name: str, config: Config, alone: list[float], beside: list[float], more: Metrics
) -> Metrics:
    quiet, busy = (1000 * float(np.percentile(seconds, 95)) for seconds in (alone, beside))
    figures = {"alone_p95_ms": quiet, "p95_ms": busy, "p95_ratio": busy / quiet, **more}
    return {f"{name}_{figure}@{config.schedule.process}": n for figure, n in figures.items()}
