"""The scripted beacon memory keeps to the port."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.ports import Coverage, HistoryMemory
from memoryscope_rag.schema import Clue, Message, Scope
from memoryscope_rag.testing.fakes import ScriptedMemory

ANN, BOB = Scope("ann"), Scope("bob")
ONE = Message(
    "m1", "s", "user", "four words of text", datetime(2026, 1, 1, tzinfo=UTC), scope=ANN, seq=1
)
TWO, THREE = replace(ONE, id="m2", seq=2), replace(ONE, id="m3", seq=3)


def test_what_is_written_is_covered_and_can_be_taken_back() -> None:
    async def run() -> None:
        memory: HistoryMemory = ScriptedMemory()
        assert await memory.coverage(ANN) == Coverage()
        await memory.write(ANN, [ONE, TWO], keep=0)
        found = await memory.write(ANN, [THREE], keep=1)
        assert found.message_ids == ("m1", "m3")
        assert found == await memory.coverage(ANN)
        assert sum(block.tokens for block in found.blocks) == found.tokens > 0
        for wrong, keep in (([TWO], 3), ([ONE], 1), ([TWO, TWO], 0)):
            with pytest.raises(InvalidInput):
                await memory.write(ANN, wrong, keep=keep)
        assert await memory.coverage(ANN) == found
        assert await memory.coverage(BOB) == Coverage()
        await memory.drop(ANN)
        assert await memory.coverage(ANN) == Coverage()

    asyncio.run(run())


def test_the_script_goes_by_scope_and_kind_and_may_fail() -> None:
    async def run() -> None:
        span, draft = Clue("a b", "span"), Clue("c d", "draft")
        memory = ScriptedMemory(
            clues={ANN: lambda query: [span, draft] if query == "who" else []},
            attention={ANN: {"m1": 1.0}},
        )
        assert await memory.clues(ANN, "who", ["draft", "span"]) == (draft, span)
        assert await memory.clues(ANN, "what", ["span"]) == ()
        assert await memory.clues(BOB, "who", ["span"]) == ()
        assert await memory.attention(ANN, "who") == {"m1": 1.0}
        memory.failure = ModelError("out")
        with pytest.raises(ModelError, match="out"):
            await memory.attention(ANN, "who")
        assert memory.calls == {"clues": 3, "attention": 2}
        await memory.close()
        assert memory.closed

    asyncio.run(run())


@pytest.mark.parametrize("how", ["await", "thread"])
def test_it_hangs_until_it_is_cancelled(how: str) -> None:
    async def run() -> None:
        memory = ScriptedMemory(hangs=how)  # type: ignore[arg-type]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(memory.attention(ANN, "who"), 0.05)
        await memory.close()

    asyncio.run(run())
