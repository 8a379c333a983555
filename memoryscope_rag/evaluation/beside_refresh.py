"""What the refresh of a beacon memory costs those who retrieve at the same time."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.build import build_memory
from memoryscope_rag.configs.model import Config, MemoryConfig
from memoryscope_rag.evaluation.synthetic import START, Texts
from memoryscope_rag.ports import Embedder, MemoryStore
from memoryscope_rag.schema import NewMessage, Scope

_READER = Scope("refreshed")
_MESSAGES = 2_000
"""More than a model reads while the others ask."""
_PAUSE_S = 0.02
"""Somebody asks, reads and asks again."""


async def beside_refresh(
    store: MemoryStore,
    embedder: Embedder,
    scope: Scope,
    memory: MemoryConfig,
    models_dir: Path | None,
    queries: int,
    seed: int,
) -> dict[str, float]:
    """The 95th percentile of ``fast`` in ``scope`` before, while and after another one is read.

    The memory's files are made in a temporary folder. Raises ModelError, MissingExtra.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = Config(memory=memory.model_copy(update={"folder": Path(folder)}))
        config = config.model_copy(
            update={"embedder": config.embedder.model_copy(update={"models_dir": models_dir})}
        )
        made = build_memory(config)
        app = AsyncMemoryScope(config, store, embedder, memory=made)
        texts = Texts(seed).take(_MESSAGES)
        batch = [NewMessage(f"r{n}", f"s{n // 20}", "user", t, START) for n, t in enumerate(texts)]
        await app.record_many(batch, scope=_READER)
        asked = iter(Texts(seed + 1).take(3 * queries + 5, shortest=4, longest=10))

        async def p95() -> float:
            spent = []
            for _ in range(queries):
                began = time.perf_counter()
                await app.retrieve(next(asked), scope=scope, floor=False, profile="fast")
                spent.append(time.perf_counter() - began)
                await asyncio.sleep(_PAUSE_S)
            return 1000 * float(np.percentile(spent, 95))

        for _ in range(5):
            await app.retrieve(next(asked), scope=scope, floor=False, profile="fast")
        before = await p95()
        reading = asyncio.create_task(app.refresh(scope=_READER))
        while not (await app.coverage(scope=_READER)).message_ids and not reading.done():
            await asyncio.sleep(0.05)  # the model is being opened
        read, began = len((await app.coverage(scope=_READER)).message_ids), time.perf_counter()
        beside = await p95()
        spent = time.perf_counter() - began
        covered = await app.coverage(scope=_READER)
        rate = (len(covered.message_ids) - read) / spent
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        after = await p95()
        if made is not None:
            await made.close()
    alone = (before + after) / 2
    return {
        "refresh_alone_p95_ms": alone,
        "beside_refresh_p95_ms": beside,
        "beside_refresh_p95_ratio": beside / alone,
        "beside_refresh_messages_per_s": rate,
    }
