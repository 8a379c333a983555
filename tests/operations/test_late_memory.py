"""A beacon memory that is made when it is first asked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from memoryscope_rag.errors import ConfigError, ModelError
from memoryscope_rag.operations.late_memory import LateMemory
from memoryscope_rag.ports import Coverage, HistoryMemory
from memoryscope_rag.schema import Scope
from memoryscope_rag.testing.fakes import ScriptedMemory

ANN = Scope("ann")


def test_it_is_made_once_and_closed() -> None:
    made: list[ScriptedMemory] = []

    def make() -> HistoryMemory:
        made.append(ScriptedMemory(attention={ANN: {"m1": 1.0}}))
        return made[-1]

    async def run() -> None:
        memory = LateMemory("tiny", make)
        assert isinstance(memory, HistoryMemory)
        assert not made
        answers = await asyncio.gather(memory.coverage(ANN), memory.coverage(ANN))
        assert list(answers) == [Coverage(), Coverage()]
        assert len(made) == 1
        await memory.close()
        await memory.close()
        with pytest.raises(ModelError, match="closed"):
            await memory.coverage(ANN)

    asyncio.run(run())


def test_what_is_never_asked_is_never_made() -> None:
    def make() -> HistoryMemory:
        raise AssertionError("nobody asked")

    asyncio.run(LateMemory("tiny", make).close())


def test_who_does_not_wait_leaves_it_to_the_next() -> None:
    go, calls = threading.Event(), []

    def make() -> HistoryMemory:
        calls.append(1)
        go.wait(30)
        return ScriptedMemory()

    async def run() -> None:
        memory = LateMemory("tiny", make)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(memory.coverage(ANN), 0.05)
        go.set()
        assert await memory.coverage(ANN) == Coverage()
        assert calls == [1]
        await memory.close()

    asyncio.run(run())


def test_every_call_tells_what_is_wrong() -> None:
    def make() -> HistoryMemory:
        raise ConfigError("setting 'memory.heads': are none")

    async def run() -> None:
        memory = LateMemory("tiny", make)
        for _ in range(2):
            with pytest.raises(ConfigError, match=r"memory\.heads"):
                await memory.clues(ANN, "Who?", ["span"])
        await memory.close()

    asyncio.run(run())


def test_recording_and_a_fast_retrieval_import_no_torch(tmp_path: Path) -> None:
    code = """
import sys
from memoryscope_rag import MemoryScope, load_config
with MemoryScope.open("memory.db") as memory:
    memory.record("I moved to Lisbon", scope="ann")
    memory.retrieve("Where?", scope="ann", profile="fast")
assert "torch" not in sys.modules
"""
    settings = {
        "MEMORYSCOPE_MEMORY__MODEL": "smollm2-135m-instruct",
        "MEMORYSCOPE_EMBEDDER__NAME": "none",
    }
    pytest.importorskip("torch")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=settings, check=True)
