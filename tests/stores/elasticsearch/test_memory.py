"""The beacon memory of a scope on a cluster: the log there is all that it takes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from zoneinfo import ZoneInfo

from memoryscope_rag import AsyncMemoryScope, load_config
from memoryscope_rag.beacon.memories import BeaconMemories
from memoryscope_rag.configs.model import Config, ElasticsearchConfig
from memoryscope_rag.operations.refresh import RefreshReport
from memoryscope_rag.testing.fakes import HashEmbedder
from tests.beacon.memories import checksums, made
from tests.operations.refreshing import ANN, turns


def settings(cluster: ElasticsearchConfig, tiny: Path, machine: Path) -> Config:
    """One machine's: its folder is its own, the cluster is shared."""
    memory = {
        "model": str(tiny),
        "heads": tiny / "heads" / "heads.json",
        "window": 64,
        "threads": 1,
        "step_tokens": 128,
        "folder": machine / "memory",
    }
    config = load_config(overrides={"memory": memory})
    store = config.store.model_copy(
        update={
            "provider": "elasticsearch",
            "elasticsearch": cluster.model_copy(update={"outbox": machine / "outbox.db"}),
        }
    )
    return config.model_copy(update={"store": store})


def test_a_second_machine_makes_the_same_memory_from_the_log_alone(
    config: ElasticsearchConfig, tmp_path: Path
) -> None:
    tiny = made(tmp_path / "tiny")
    machines = [tmp_path / "one", tmp_path / "two"]
    for machine in machines:
        machine.mkdir()

    async def refreshed(machine: Path, *, forgetting: bool = False) -> RefreshReport:
        async with await AsyncMemoryScope.open(
            config=settings(config, tiny, machine), embedder=HashEmbedder()
        ) as app:
            if machine is machines[0] and not forgetting:
                await app.record_many(turns(40), scope=ANN)
            if forgetting:
                await app.forget(scope=ANN, message_ids=["m20"])
            return await app.refresh(scope=ANN)

    async def sums(machine: Path) -> dict[str, str]:
        of = settings(config, tiny, machine)
        memories = BeaconMemories(of.memory, of.memory_folder, zone=ZoneInfo(of.time_zone))
        found = await checksums(memories, ANN)
        await memories.close()
        return found

    async def check() -> None:
        first, second = await refreshed(machines[0]), await refreshed(machines[1])
        assert (first.read, second.read) == (40, 40)
        assert await sums(machines[0]) == await sums(machines[1])
        # what one machine forgets, the other takes out with its next refresh
        assert (await refreshed(machines[0], forgetting=True)).covered == 39
        again = await refreshed(machines[1])
        assert again.rebuilt
        assert (again.covered, again.left) == (39, 0)

    asyncio.run(check())
