"""How well a deadline holds while the beacon memory hangs and its thread computes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.configs.model import Config
from memoryscope_rag.evaluation.synthetic import Texts
from memoryscope_rag.ports import Embedder, MemoryStore
from memoryscope_rag.schema import Message, Scope
from memoryscope_rag.testing.fakes import ScriptedMemory

BUDGETS_MS = (50, 200, 1000)
LONGEST_S = 20.0
"""What a budget is measured for at most, as long as that gives :data:`FEWEST` retrievals."""
FEWEST = 20


async def hanging(
    store: MemoryStore,
    embedder: Embedder,
    scope: Scope,
    read: Sequence[Message],
    queries: int,
    seed: int,
) -> dict[str, float]:
    """For each of :data:`BUDGETS_MS` the 99th percentile of a retrieval in the profile ``clues``.

    ``read`` are the messages that the memory covers. It answers no question, and a thread beside
    it computes all the while, as that of a model would.
    """
    memory = ScriptedMemory(hangs="thread")
    memory.cover(scope, read)
    app = AsyncMemoryScope(Config(), store, embedder, memory=memory)
    result = {}
    try:
        await app.retrieve("warm", scope=scope, profile="fast")
        with _computing():
            for budget in BUDGETS_MS:
                times = min(queries, max(FEWEST, int(1000 * LONGEST_S / budget)))
                texts = Texts(seed + budget).take(times, shortest=4, longest=10)
                spent = [await _milliseconds(app, scope, text, budget) for text in texts]
                result[f"deadline_p99_ms@{budget}"] = float(np.percentile(spent, 99))
    finally:
        await memory.close()
    return result


async def _milliseconds(app: AsyncMemoryScope, scope: Scope, text: str, budget: int) -> float:
    began = time.perf_counter()
    found = await app.retrieve(text, scope=scope, floor=False, profile="clues", budget_ms=budget)
    spent = 1000 * (time.perf_counter() - began)
    assert any(reason.endswith(": deadline") for reason in found.left_out)
    return spent


@contextmanager
def _computing() -> Iterator[None]:
    """A thread that is busy outside of Python."""
    done = threading.Event()

    def work() -> None:
        values = np.ones(1_000_000, dtype=np.float32)
        while not done.is_set():
            np.sqrt(values, out=values)

    thread = threading.Thread(target=work, name="computing")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
