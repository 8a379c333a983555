"""How much the HTTP service carries: requests a second and their times, by clients at once.

The service runs in processes of its own and clients in this one, on the same machine, so both
share its cores: ``client_cpu_ms`` is what a request costs on this side. Each client has a user, a
connection and a request at a time: three retrievals, then a message, over and over. Nothing is
consolidated meanwhile.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from memoryscope_rag.client import AsyncClient
from memoryscope_rag.configs.load import parse_config
from memoryscope_rag.configs.model import Config, StoreConfig
from memoryscope_rag.evaluation.places import temporary
from memoryscope_rag.evaluation.speed import Metrics, percentiles
from memoryscope_rag.evaluation.synthetic import START, Texts
from memoryscope_rag.schema import NewMessage
from memoryscope_rag.service.keys import create_key
from memoryscope_rag.service.process import running
from memoryscope_rag.service.state import StateFile, state_path

CLIENTS = (1, 8, 64)
HISTORY = 200
"""Messages of each user before it begins."""
READS = 3
"""Retrievals for every message."""

Say = Callable[[str], None]


async def measure(
    config: Config,
    *,
    clients: Sequence[int] = CLIENTS,
    seconds: float = 10.0,
    workers: int = 2,
    say: Say = lambda text: None,
) -> Metrics:
    """Requests a second and percentiles, with 1, 8, 64 clients; ``name@N`` is with N of them.

    The store is made on the database of ``config`` and removed.
    """
    result: Metrics = {}
    with tempfile.TemporaryDirectory(prefix="memoryscope-rag-bench-") as name:
        folder = Path(name)
        async with temporary(config) as place:
            tree = _settings(config, folder, place.settings("service"))
            file = StateFile(state_path(parse_config(tree)))
            try:
                _, key = create_key(file, "bench", tenants=["default"], rights=["read", "write"])
            finally:
                file.close()
            with running(tree, folder, workers=workers) as service:
                async with AsyncClient(service.url, key=key) as client:
                    for number in clients:
                        say(f"{number} clients on {config.store.provider}")
                        result |= await _clients(client, number, seconds)
    return {name: round(value, 2) for name, value in result.items()}


def _settings(config: Config, folder: Path, store: StoreConfig) -> dict[str, Any]:
    return {
        "store": store.model_dump(mode="json", exclude_defaults=True),
        "embedder": config.embedder.model_dump(mode="json", exclude_defaults=True),
        "service": {"rate_per_s": 1e6, "burst": 1_000_000, "state": str(folder / "service.db")},
        # nothing is consolidated meanwhile: what that costs is measured elsewhere
        "schedule": {
            "close_s": 0,
            "after_messages": 1_000_000,
            "after_idle_s": 1e6,
            "consolidate_every_s": 1e6,
        },
    }


async def _clients(client: AsyncClient, number: int, seconds: float) -> Metrics:
    reads: list[float] = []
    writes: list[float] = []
    scopes = [f"user-{uuid.uuid4().hex[:12]}" for _ in range(number)]
    for place, scope in enumerate(scopes):
        texts = Texts(place).take(HISTORY)
        batch = [NewMessage(f"m{n}", "s", "user", text, START) for n, text in enumerate(texts)]
        await client.record_many(batch, scope=scope)
        await client.retrieve("warm", scope=scope)
    end = time.perf_counter() + seconds

    async def one(place: int, scope: str) -> None:
        texts = Texts(1000 + place).take(100, shortest=4, longest=10)
        turn = place  # so that not all record at once
        while (started := time.perf_counter()) < end:
            text = texts[turn % len(texts)]
            turn += 1
            if turn % (READS + 1):
                await client.retrieve(text, scope=scope, floor=False)
                reads.append(time.perf_counter() - started)
            else:
                await client.record(text, scope=scope)
                writes.append(time.perf_counter() - started)

    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one(place, scope) for place, scope in enumerate(scopes)))
    spent, cpu = time.perf_counter() - started, time.process_time() - cpu
    at = f"@{number}"
    return {
        f"requests_per_s{at}": (len(reads) + len(writes)) / spent,
        f"client_cpu_ms{at}": 1000 * cpu / (len(reads) + len(writes)),
        **percentiles("request", at, reads + writes),
        **(percentiles("retrieve", at, reads) if reads else {}),
        **(percentiles("record", at, writes) if writes else {}),
    }
