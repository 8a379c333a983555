"""Rows K4 to K6: the front end beside the back end, states, and one process after another."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memoryscope_rag import AsyncMemoryScope, Scope
from memoryscope_rag.configs.load import parse_config
from memoryscope_rag.errors import ModelError
from memoryscope_rag.ports import ChatMessage, NodeFilter, Reply
from memoryscope_rag.testing.fakes import (
    FrozenClock,
    HashEmbedder,
    ScriptedGenerator,
    ScriptedReply,
)
from tests.interpreter import run_alone
from tests.operations.consolidating import reader

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class GatedGenerator(ScriptedGenerator):
    """Answers nobody until the gate is opened; ``asked`` is set by the first question."""

    def __init__(self) -> None:
        super().__init__(itertools.repeat(reader()))
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()

    async def generate(self, messages: Sequence[ChatMessage], **how: Any) -> Reply:
        self.asked.set()
        await self.gate.wait()
        return await super().generate(messages, **how)


@pytest.mark.parametrize("users", [1, 20])
def test_k4_retrieving_and_recording_do_not_wait_for_the_back_end(
    tmp_path: Path, users: int
) -> None:
    async def check() -> None:
        model = GatedGenerator()
        schedule = {"after_messages": 1, "tick_s": 0.01, "workers": 64}
        async with await AsyncMemoryScope.open(
            tmp_path / "memory.db",
            config=parse_config({"schedule": schedule}),
            embedder=HashEmbedder(),
            generator=model,
        ) as memory:
            names = [f"user{number}" for number in range(users)]
            for name in names:
                await memory.record(f"I am {name} and I live in Lisbon.", scope=name)
            await memory.start()
            await model.asked.wait()
            async with asyncio.timeout(60):  # for ever, if it waited
                for name in names:
                    found = await memory.retrieve("Where do I live?", scope=name, floor=False)
                    assert "Lisbon" in found.text
                    assert (await memory.record("And I like it.", scope=name)).status == "stored"
                    found = await memory.retrieve("Do I like it?", scope=name, floor=False)
                    assert "And I like it." in found.text
            assert not model.gate.is_set()
            assert model.calls == 0  # nothing was answered all the while
            assert (await memory.stats()).pending == 2 * users
            model.gate.set()
            assert await memory.flush() == 0
            await memory.stop()
            facts = await memory.list(scope=names[-1], kinds=["observation"])
            assert len(facts.items) >= 2

    asyncio.run(check())


def test_k5_pending_consolidated_parked_and_pending_again(tmp_path: Path) -> None:
    down = ModelError("the server is down", retryable=True)
    script: list[ScriptedReply] = [down, down]

    async def check() -> None:
        config = parse_config({"consolidation": {"attempts": 2}, "schedule": {"close_s": 0.0}})
        async with await AsyncMemoryScope.open(
            tmp_path / "memory.db",
            config=config,
            embedder=HashEmbedder(),
            generator=ScriptedGenerator(itertools.chain(script, itertools.repeat(reader()))),
            clock=FrozenClock(START),
        ) as memory:

            async def state(wanted: str) -> tuple[str, str | None, int]:
                found = await memory.messages(scope="ann")
                (message,) = [m for m in found if m.id == wanted]
                return message.state, message.state_reason, message.attempts

            reason = "ModelError: the server is down"
            await memory.record("I live in Kyoto.", scope="ann", message_id="m0", speaker="Ann")
            assert await state("m0") == ("pending", None, 0)
            assert (await memory.consolidate(scope="ann")).failed == {"m0": reason}
            assert await state("m0") == ("pending", reason, 1)
            assert (await memory.consolidate(scope="ann")).parked == {"m0": reason}
            assert await state("m0") == ("parked", reason, 2)
            assert (await memory.stats()).pending == 0
            assert (await memory.consolidate(scope="ann")).messages == 0  # it stays parked
            assert await memory.flush() == 0
            found = await memory.retrieve("Kyoto", scope="ann", floor=False)
            assert "I live in Kyoto." in found.text  # and is found all the same

            assert await memory.retry_parked(scope="bob") == 0
            assert await memory.retry_parked(scope="ann") == 1
            assert await memory.retry_parked(scope="ann") == 0
            assert await state("m0") == ("pending", None, 0)
            assert (await memory.consolidate(scope="ann")).consolidated == 1
            assert await state("m0") == ("consolidated", None, 0)
            assert await memory.retry_parked(scope="ann") == 0
            assert (await memory.consolidate(scope="ann")).messages == 0
            assert len((await memory.list(scope="ann", kinds=["observation"])).items) == 1

    asyncio.run(check())


def test_k5_fresh_reflected_updated_expired(tmp_path: Path) -> None:
    async def check() -> None:
        config = parse_config({"reflection": {"threshold": 1}, "schedule": {"close_s": 0.0}})
        async with await AsyncMemoryScope.open(
            tmp_path / "memory.db", config=config, embedder=HashEmbedder(), clock=FrozenClock(START)
        ) as memory:

            async def fresh() -> list[str]:
                where = NodeFilter(kinds=frozenset({"observation"}), reflected=False)
                page = await memory._store.list_nodes(Scope("ann"), where)
                return [node.id for node in page.items]

            await memory.record("I work at Google.", scope="ann", speaker="Ann")
            await memory.consolidate(scope="ann")
            (fact,) = (await memory.list(scope="ann", kinds=["observation"])).items
            assert await fresh() == [fact.id]
            report = await memory.reflect(scope="ann")
            assert (report.looked_at, report.left) == (1, 0)
            assert await fresh() == []
            assert (await memory.reflect(scope="ann")).looked_at == 0
            updated = await memory.update(fact.id, "Ann works at Apple.", scope="ann")
            assert updated.version == 2
            assert await fresh() == [fact.id]  # another content is another fact
            expired = await memory.expire(fact.id, scope="ann")
            assert (expired.version, expired.valid_to) == (3, START)
            assert await fresh() == []
            versions = await memory.history(fact.id, scope="ann")
            assert [node.content for node in versions] == [
                fact.content,
                "Ann works at Apple.",
                "Ann works at Apple.",
            ]

    asyncio.run(check())


TALKS = """
from memoryscope_rag import MemoryScope

with MemoryScope.open("memory.db") as memory:
    for turn in (
        "I moved to Lisbon in May.",
        "I work at Bosch as an engineer.",
        "I have a dog called Rex.",
        "My sister Clara plays the cello.",
        "I am allergic to hazelnuts.",
    ):
        memory.record(turn, scope="ann", speaker="Ann")
        memory.record("I see.", scope="ann", role="assistant")
"""
ASKS = """
from memoryscope_rag import MemoryScope

with MemoryScope.open("memory.db") as memory:
    assert memory.stats(scope="ann").pending == 0
    for question, answer in (
        ("Which city does Ann live in?", "Lisbon"),
        ("Where does Ann work?", "Bosch"),
        ("What is Ann's dog called?", "Rex"),
        ("Who plays the cello?", "Clara"),
        ("What is Ann allergic to?", "hazelnuts"),
    ):
        for kinds in (["observation"], ["conversation"]):
            found = memory.retrieve(question, scope="ann", kinds=kinds, limit=3)
            assert answer in found.text, (question, kinds, found.text)
print("all found")
"""


def test_k6_what_one_process_was_told_the_next_one_knows(tmp_path: Path) -> None:
    assert run_alone(TALKS, tmp_path) == ""
    assert run_alone(ASKS, tmp_path) == "all found\n"
