"""Rows A1 and A2 of the parity list: ways to construct a memory, and how it ends."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memoryscope_rag import MemoryScope, NewMessage, load_config
from memoryscope_rag.configs.load import parse_config
from memoryscope_rag.configs.model import (
    ChatConfig,
    Config,
    ConsolidationConfig,
    RetrievalConfig,
    StoreConfig,
)
from memoryscope_rag.errors import ConfigError, StoreError
from memoryscope_rag.testing.fakes import HashEmbedder

MORNING = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_a1_three_constructions_give_equal_settings(tmp_path: Path) -> None:
    store = tmp_path / "memory.db"
    file = tmp_path / "settings.yaml"
    file.write_text(
        f"store: {{path: '{store}'}}\nretrieval: {{limit: 7, floor: false}}\n"
        "consolidation: {batch_messages: 30}\nchat: {history_turns: 2}\ntime_zone: Asia/Shanghai\n",
        "utf-8",
    )
    as_arguments = {
        "store": {"path": str(store)},
        "retrieval": {"limit": 7, "floor": False},
        "consolidation": {"batch_messages": 30},
        "chat": {"history_turns": 2},
        "time_zone": "Asia/Shanghai",
    }
    as_objects = Config(
        store=StoreConfig(path=store),
        retrieval=RetrievalConfig(limit=7, floor=False),
        consolidation=ConsolidationConfig(batch_messages=30),
        chat=ChatConfig(history_turns=2),
        time_zone="Asia/Shanghai",
    )
    dumps = []
    for config in (load_config(file), load_config(overrides=as_arguments), as_objects):
        with MemoryScope.open(config=config, embedder=HashEmbedder()) as memory:
            dumps.append(memory.config.dump())
    assert dumps[0] == dumps[1] == dumps[2]
    assert dumps[0]["retrieval"]["limit"] == 7
    assert parse_config(dumps[0]) == as_objects


def test_a1_an_unknown_key_is_an_error_that_names_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("retrieval: {limits: 7}\n", "utf-8")
    with pytest.raises(ConfigError, match=r"'retrieval\.limits'; did you mean 'limit'\?"):
        load_config(file)
    with pytest.raises(ConfigError, match=r"did you mean 'limit'\?"):
        load_config(overrides={"retrieval": {"limits": 7}})
    with pytest.raises(ValueError, match="limits"):
        RetrievalConfig(limits=7)  # type: ignore[call-arg]


def open_files() -> list[str]:
    """What this process has open: files and sockets, by where they lead."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(entry))
        except FileNotFoundError:  # the one that lists the folder
            continue
    return sorted(found)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no list of open files here")
@pytest.mark.parametrize(
    ("seconds", "state"), [(60.0, "consolidated"), (0.0, "pending")], ids=["flushed", "queued"]
)
def test_a2_after_the_block_nothing_lives_and_no_message_is_lost(
    tmp_path: Path, seconds: float, state: str
) -> None:
    config = load_config(overrides={"schedule": {"close_s": seconds}})
    path = tmp_path / "memory.db"
    with MemoryScope.open(path, config=config, embedder=HashEmbedder()) as warm:
        warm.retrieve("what a library opens once and for all", scope="nobody")
    threads, files = set(threading.enumerate()), open_files()
    turns = [
        NewMessage(f"m{n}", "s", "user", f"I like tea number {n}", MORNING + timedelta(minutes=n))
        for n in range(45)  # two batches of consolidation and a bit
    ]
    with MemoryScope.open(path, config=config, embedder=HashEmbedder()) as memory:
        memory.start()
        memory.record_many(turns, scope="ann")
        memory.retrieve("tea", scope="ann")
    assert set(threading.enumerate()) <= threads
    assert open_files() == files
    memory.close()  # again does nothing
    with pytest.raises(StoreError, match="closed"):
        memory.record("too late", scope="ann")
    config = load_config(overrides={"schedule": {"close_s": 0}})
    with MemoryScope.open(path, config=config, embedder=HashEmbedder()) as again:
        kept = again.messages(scope="ann")
        assert [message.id for message in kept] == [turn.id for turn in turns]
        assert {message.state for message in kept} == {state}
        assert again.flush(scope="ann") == 0
        assert {message.state for message in again.messages(scope="ann")} == {"consolidated"}
