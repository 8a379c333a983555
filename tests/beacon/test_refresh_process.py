"""A beacon memory that follows the log in a process of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from memoryscope_rag import AsyncMemoryScope, NewMessage
from memoryscope_rag.configs.load import parse_config
from memoryscope_rag.configs.model import Config
from tests.beacon.memories import ANN, START, made

WAIT_S = 240


def settings(tmp_path: Path) -> Config:
    model = made(tmp_path / "tiny")
    heads = model / "heads" / "heads.json"
    return parse_config(
        {
            "store": {"path": tmp_path / "memory.db"},
            "embedder": {"name": "none"},
            "memory": {"model": str(model), "heads": heads, "window": 64, "threads": 1},
            "schedule": {
                "tick_s": 0.05,
                "refresh_after_tokens": 16,
                "consolidate_every_s": 1e6,
                "after_idle_s": 1e6,
                "after_messages": 10**6,
                "close_s": 0.0,
            },
        }
    )


async def read(app: AsyncMemoryScope, ids: list[str]) -> None:
    async with asyncio.timeout(WAIT_S):
        while list((await app.coverage(scope=ANN)).message_ids) != ids:
            await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_is_read_there_asked_here_and_what_is_forgotten_is_in_neither(tmp_path: Path) -> None:
    async def check() -> None:
        config = settings(tmp_path)
        ids = [f"m{n}" for n in range(12)]
        async with await AsyncMemoryScope.open(config=config) as app:
            batch = [NewMessage(name, "s", "user", f"Otto met {name}.", START) for name in ids]
            await app.record_many(batch, scope=ANN)
            await app.start()
            await read(app, ids)
            assert (await app.stats()).detail["background"][-1].isdigit()
            assert set(await app.attention("Otto", scope=ANN)) == set(ids)
            report = await app.refresh(scope=ANN)
            assert (report.covered, report.left, report.busy) == (12, 0, False)
            forgotten = await app.forget(scope=ANN, message_ids=["m5"])
            assert forgotten.proven
            assert "m5" not in (await app.coverage(scope=ANN)).message_ids
            ids.remove("m5")
            await read(app, ids)
            assert set(await app.attention("Otto", scope=ANN)) == set(ids)

    asyncio.run(check())
