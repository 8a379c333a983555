"""The application over real files of a tiny model: what forgetting leaves, and other processes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from transformers import AutoTokenizer

from memoryscope_rag import AsyncMemoryScope, MemoryScope, Scope, load_config
from memoryscope_rag.beacon.memories import BeaconMemories
from memoryscope_rag.configs.model import Config
from memoryscope_rag.operations.refresh import RefreshReport
from memoryscope_rag.testing.fakes import HashEmbedder
from tests.beacon.memories import checksums, made
from tests.operations.refreshing import ANN, BEN, turns

CANARY = "xylophone"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("tiny") / "tiny")


def settings(home: Path, tiny: Path, **memory: object) -> Config:
    """A store in ``home`` with the tiny model's memory beside it."""
    given = {
        "model": str(tiny),
        "heads": tiny / "heads" / "heads.json",
        "window": 64,
        "threads": 1,
        "step_tokens": 256,
    }
    return load_config(
        overrides={
            "store": {"path": home / "memory.db"},
            "memory": {**given, **memory},
            "schedule": {"tick_s": 0.01, "close_s": 0.0},
        }
    )


def opened(config: Config) -> MemoryScope:
    return MemoryScope.open(config=config, embedder=HashEmbedder())


def files(folder: Path) -> dict[Path, bytes]:
    """Every file below ``folder``."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def holds_canary(folder: Path) -> bool:
    """Whether a file below ``folder`` has the canary, as text or as tokens of the tiny model."""
    tokenizer = AutoTokenizer.from_pretrained(folder.parent / "tokens")
    ids = np.array(tokenizer(CANARY, add_special_tokens=False)["input_ids"])
    patterns = [CANARY.encode(), *(ids.astype(kind).tobytes() for kind in ("<i4", "<i8", "<i2"))]
    return any(pattern in data for data in files(folder).values() for pattern in patterns)


@pytest.mark.parametrize("how", ["message", "session", "everything", "switched off"])
def test_n11_after_forgetting_no_file_of_the_memory_holds_it(
    tmp_path: Path, tiny: Path, how: str
) -> None:
    (tmp_path / "tokens").symlink_to(tiny)
    config = settings(tmp_path, tiny)
    told = turns(20)
    told[12:13] = turns(1, first=12, text=f"{CANARY} sings")
    with opened(config) as app:
        app.record_many(told, scope=ANN)
        app.record_many(turns(5), scope=BEN)
        for scope in (ANN, BEN):
            app.refresh(scope=scope)
        assert app.coverage(scope=ANN).tokens > 20 * 10
    folder = config.memory_folder
    assert holds_canary(folder)
    other = {path: data for path, data in files(folder).items() if BEN.digest in str(path)}
    assert other
    if how == "switched off":
        config = config.model_copy(
            update={"memory": config.memory.model_copy(update={"model": None})}
        )
    with opened(config) as app:  # a process that has not opened the model
        forgotten = app.forget(
            scope=ANN,
            message_ids=["m12"] if how in {"message", "switched off"} else (),
            session_id="s1" if how == "session" else None,
            everything=how == "everything",
        )
        assert forgotten.proven
        assert not holds_canary(folder)
        assert {p: d for p, d in files(folder).items() if BEN.digest in str(p)} == other
        if how != "switched off":
            report = app.refresh(scope=ANN)
            assert report.covered == {"message": 19, "session": 10, "everything": 0}[how]
            assert not holds_canary(folder)


def test_n21_two_applications_over_one_folder_read_each_message_once(
    tmp_path: Path, tiny: Path
) -> None:
    """Two event loops with models of their own are to the lease and the files two processes."""
    config = settings(tmp_path, tiny, step_tokens=64)

    async def main() -> None:
        async with (
            await AsyncMemoryScope.open(config=config, embedder=HashEmbedder()) as one,
            await AsyncMemoryScope.open(config=config, embedder=HashEmbedder()) as two,
        ):
            await one.record_many(turns(30), scope=ANN)
            reports: list[RefreshReport] = []
            for _ in range(2):
                reports += await asyncio.gather(one.refresh(scope=ANN), two.refresh(scope=ANN))
            assert sum(report.read for report in reports) == 30
            assert any(report.busy for report in reports)
            assert (await one.coverage(scope=ANN)).message_ids == tuple(
                message.id for message in turns(30)
            )
            assert (await two.coverage(scope=ANN)) == await one.coverage(scope=ANN)

    asyncio.run(main())


def test_n10_another_ratio_is_built_beside_and_takes_the_place(tmp_path: Path, tiny: Path) -> None:
    with opened(settings(tmp_path, tiny)) as app:
        app.record_many(turns(10), scope=ANN)
        app.refresh(scope=ANN)
        before = app.coverage(scope=ANN)
    config = settings(tmp_path, tiny, ratio=8)
    with opened(config) as app:
        assert app.coverage(scope=ANN).message_ids == ()
        assert len([*config.memory_folder.glob(f"*/{ANN.digest}")]) == 1
        assert app.refresh(scope=ANN).read == 10
        after = app.coverage(scope=ANN)
        assert after.message_ids == before.message_ids
        assert after.rows < before.rows
        assert len([*config.memory_folder.glob(f"*/{ANN.digest}")]) == 1  # the new one


def test_n17_a_memory_equals_one_that_another_machine_makes_from_the_log(
    tmp_path: Path, tiny: Path
) -> None:
    config = settings(tmp_path, tiny)
    elsewhere = settings(tmp_path, tiny, folder=tmp_path / "elsewhere")
    with opened(config) as app:
        app.record_many(turns(30), scope=ANN)
        first = app.refresh(scope=ANN)
    with opened(elsewhere) as app:
        second = app.refresh(scope=ANN)
    assert (first.covered, first.tokens) == (second.covered, second.tokens)

    async def sums(of: Config) -> dict[str, str]:
        memories = BeaconMemories(of.memory, of.memory_folder, zone=ZoneInfo("UTC"))
        found = await checksums(memories, Scope("ann"))
        await memories.close()
        return found

    left = asyncio.run(sums(config))
    assert left == asyncio.run(sums(elsewhere))
    assert len(left) > 1
