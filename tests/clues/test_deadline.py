"""A deadline holds although the beacon memory hangs for ever; what was late is named."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from memoryscope_rag import Evidence
from memoryscope_rag.ports import ChatMessage, JsonSchema, Reply, Sampling
from memoryscope_rag.schema import Clue, Profile
from memoryscope_rag.testing.fakes import HashEmbedder, ScriptedGenerator
from tests.clues.remembering import ANN, ids, never, remembering

SPAN = Clue("Clara plays the cello in Leeds", "span", provenance=("m2",))
LATE: dict[Profile, set[str]] = {
    "read": {"read_memory: deadline"},
    "clues": {"read_memory: deadline", "recall_clues: deadline"},
    "deep": {"read_memory: deadline", "recall_clues: deadline"},
    "auto": {"read_memory: deadline"},
}


@pytest.mark.parametrize("hangs", ["await", "thread"])
@pytest.mark.parametrize("profile", LATE)
def test_a_memory_that_hangs_is_cut_off_and_named(
    tmp_path: Path, profile: Profile, hangs: Literal["await", "thread"]
) -> None:
    settings = {"retrieval": {"auto": {"below": 1.0}}}

    async def run() -> tuple[Evidence, Evidence]:
        async with remembering(tmp_path, settings=settings) as (app, memory):
            fast = await app.retrieve("late train", scope=ANN, profile="fast")
            memory.hangs = hangs
            return fast, await app.retrieve("late train", scope=ANN, profile=profile, budget_ms=400)

    fast, evidence = asyncio.run(run())
    assert ids(evidence) == ids(fast)
    # a slow machine may cut off the whole profile
    assert LATE[profile] <= set(evidence.left_out) or any(
        reason.endswith(": deadline") for reason in evidence.left_out
    )


class Defiant(ScriptedGenerator):
    """A chat model that does not end when it is cancelled, until it is let go."""

    def __init__(self) -> None:
        super().__init__([])
        self.free = asyncio.Event()

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: Sampling = Sampling(),
        schema: JsonSchema | None = None,
    ) -> Reply:
        try:
            await never()
        finally:
            await self.free.wait()
        raise AssertionError("never ends by itself")


def test_a_model_that_defies_being_cancelled_keeps_nobody_waiting(tmp_path: Path) -> None:
    async def run() -> Evidence:
        generator = Defiant()
        async with remembering(tmp_path, generator=generator) as (app, _):
            evidence = await app.retrieve("train", scope=ANN, profile="clues", budget_ms=200)
            generator.free.set()
            return evidence

    evidence = asyncio.run(run())
    assert evidence.left_out == ("clues: deadline",)
    assert evidence.profile == "fast"
    assert ids(evidence)[0] == "m5"


def test_clues_that_are_late_do_not_cost_the_attention_that_is_not(tmp_path: Path) -> None:
    async def run() -> Evidence:
        attention = {f"m{n}": 0.0 for n in range(8)} | {"m6": 30.0}
        async with remembering(tmp_path, attention=attention) as (app, memory):

            async def slow(*args: Any) -> tuple[Clue, ...]:
                await never()
                return ()

            memory.clues = slow  # type: ignore[method-assign, assignment]
            return await app.retrieve("train", scope=ANN, profile="clues", budget_ms=3000)

    evidence = asyncio.run(run())
    assert evidence.left_out == ("recall_clues: deadline",)
    assert evidence.profile == "read"
    assert ids(evidence)[0] == "m6"


def test_no_time_is_left_for_a_profile_where_fast_has_taken_it(tmp_path: Path) -> None:
    async def run() -> Evidence:
        embedder = HashEmbedder(256)
        async with remembering(tmp_path, clues=[SPAN], embedder=embedder) as (app, memory):
            embedder.delay = 60.0
            evidence = await app.retrieve("late train", scope=ANN, profile="clues", budget_ms=50)
            assert not memory.calls["clues"]
            return evidence

    evidence = asyncio.run(run())
    assert evidence.left_out == ("dense search: deadline", "clues: deadline")
    assert ids(evidence)[0] == "m5"


def test_a_chat_model_that_hangs_is_cut_off(tmp_path: Path) -> None:
    async def run() -> Evidence:
        generator = ScriptedGenerator([], delay=3600.0)
        async with remembering(tmp_path, generator=generator) as (app, _):
            return await app.retrieve("late train", scope=ANN, profile="deep", budget_ms=500)

    evidence = asyncio.run(run())
    assert any(reason.endswith(": deadline") for reason in evidence.left_out)
    assert ids(evidence)[0] == "m5"


def test_a_caller_who_leaves_takes_the_question_with_them(tmp_path: Path) -> None:
    async def run() -> None:
        async with remembering(tmp_path) as (app, memory):
            memory.hangs = "await"
            asking = asyncio.create_task(app.retrieve("train", scope=ANN, profile="read"))
            while not memory.calls["attention"]:
                await asyncio.sleep(0.01)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    asyncio.run(run())
