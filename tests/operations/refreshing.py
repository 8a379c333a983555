"""What the tests of refreshing share: a file with messages, and a beacon memory beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from memoryscope_rag.configs.load import packaged_text
from memoryscope_rag.operations.record import record
from memoryscope_rag.operations.refresh import (
    RefreshOptions,
    RefreshReport,
    build_refresh,
    refresh,
)
from memoryscope_rag.operations.scope_work import ScopeWork
from memoryscope_rag.ports import HistoryMemory, MemoryStore
from memoryscope_rag.schema import NewMessage, Scope
from memoryscope_rag.scoring import LinearRanker
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.fakes import FrozenClock
from memoryscope_rag.workers.base import Services

ANN, BEN = Scope("ann"), Scope("ben")
START = datetime(2026, 5, 4, 8, tzinfo=UTC)


def turns(count: int, *, first: int = 0, text: str = "message") -> list[NewMessage]:
    """``count`` messages ``m0``, ``m1`` … of some ten tokens each, ten a session."""
    return [
        NewMessage(
            f"m{number}",
            f"s{number // 10}",
            "user",
            f"{text} number {number} of mine",
            START + timedelta(minutes=number),
        )
        for number in range(first, first + count)
    ]


async def tell(store: MemoryStore, messages: Sequence[NewMessage], scope: Scope = ANN) -> None:
    """Record ``messages``."""
    await record(store, None, scope, messages)


async def covered(memory: HistoryMemory, scope: Scope = ANN) -> list[str]:
    """The ids that ``memory`` covers."""
    return list((await memory.coverage(scope)).message_ids)


@dataclass(frozen=True)
class Refreshing:
    """A store, a memory, and the operation between them."""

    store: MemoryStore
    services: Services

    async def refresh(
        self,
        *,
        step: int = 64,
        scope: Scope = ANN,
        seconds: float | None = None,
        work: ScopeWork | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> RefreshReport:
        """One run, in steps of ``step`` tokens."""
        return await refresh(
            self.services,
            scope,
            operation=build_refresh(self.services),
            options=RefreshOptions(step_tokens=step, seconds=seconds),
            work=work,
            progress=progress,
        )


def over(store: MemoryStore, memory: HistoryMemory) -> Refreshing:
    """Refreshing ``memory`` from ``store``."""
    ranker = LinearRanker.from_json(packaged_text("configs/rankers", "generic.json"))
    return Refreshing(store, Services(store, ranker, FrozenClock(START), memory=memory))


@asynccontextmanager
async def refreshing(path: Path, memory: HistoryMemory) -> AsyncIterator[Refreshing]:
    """The same with a file at ``path``."""
    store = SQLiteStore.open(path, embedder=None)
    try:
        yield over(store, memory)
    finally:
        await store.close()
