"""What a worker is: one step that reads some fields of a state and gives others.

A worker is a class with a ``name``, the state fields it ``reads`` (must be there), ``uses`` (if
they are there) and ``gives``, its ``Params`` and an async ``run``. An operation checks all of it
when it is built. Other packages add workers through the entry point group
``memoryscope_rag.workers``: the entry's name is the worker's, its value the class.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from memoryscope_rag.ports import (
    Clock,
    Embedder,
    Generator,
    HistoryMemory,
    MemoryStore,
    Reranker,
)
from memoryscope_rag.scoring import LinearRanker
from memoryscope_rag.workers.prompts import Prompts

T = TypeVar("T")
State = TypeVar("State")


NO_PROMPTS = Prompts({})
"""For an application without a chat model."""


class NoParams(BaseModel):
    """A worker without settings; base class of all ``Params``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True, slots=True)
class Services:
    """What the application lends to workers; they own none of it and close none of it."""

    store: MemoryStore
    ranker: LinearRanker
    clock: Clock
    embedder: Embedder | None = None
    reranker: Reranker | None = None
    generator: Generator | None = None
    prompts: Prompts = NO_PROMPTS
    memory: HistoryMemory | None = None


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock after which optional work is left out; ``None``: never."""

    at: float | None = None

    @classmethod
    def after(cls, milliseconds: float | None) -> Deadline:
        """The deadline that many milliseconds from now."""
        return cls(None if milliseconds is None else time.monotonic() + milliseconds / 1000)

    def remaining(self) -> float | None:
        """Seconds left, never negative; ``None`` without a deadline."""
        return None if self.at is None else max(0.0, self.at - time.monotonic())

    async def within(self, work: Awaitable[T]) -> T:
        """The result of ``work``, or TimeoutError when the deadline comes first.

        Work that waits for nothing is never late.
        """
        async with asyncio.timeout(self.remaining()):
            return await work


class Worker(ABC, Generic[State]):
    """One step. Instances hold parameters and services only, so one serves many calls at once.

    An ``optional`` worker that misses the deadline or raises ModelError is left out: the fields
    it gives keep their defaults and the result names it.
    """

    name: ClassVar[str]
    reads: ClassVar[frozenset[str]] = frozenset()
    uses: ClassVar[frozenset[str]] = frozenset()
    gives: ClassVar[frozenset[str]] = frozenset()
    optional: ClassVar[bool] = False
    Params: ClassVar[type[NoParams]] = NoParams

    def __init__(self, services: Services, params: NoParams | None = None) -> None:
        self.services = services
        self.params = self.Params() if params is None else params

    @abstractmethod
    async def run(self, state: State) -> State:
        """A copy of ``state`` with the fields of ``gives`` set; other changes are dropped."""
