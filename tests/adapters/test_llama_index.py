"""A block of long-term memory for LlamaIndex: recalls at each step, and hears every message."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import Memory
from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore

from memoryscope_rag import MemoryScope
from memoryscope_rag.adapters import SessionMemory
from memoryscope_rag.adapters.llama_index import LongTermMemoryBlock, RecordingChatStore
from tests.adapters.talking import SCRIPTS, AcrossProcesses, break_store, fenced


class TestAcrossProcesses(AcrossProcesses):
    script = SCRIPTS / "llama_index_agent.py"
    heading = "LlamaIndex"


def made(
    block: LongTermMemoryBlock,
    session: str,
    *,
    attached: bool = True,
    limit: int = 30_000,
    history: str | None = None,
) -> Memory:
    memory = Memory.from_defaults(
        session_id=session,
        memory_blocks=[block],
        token_limit=limit,
        tokenizer_fn=str.split,
        async_database_uri=history,
    )
    if attached:
        block.attach(memory)
        block.attach(memory)  # once is enough
    return memory


async def finish(memory: Memory) -> None:
    """Close what the framework's own history leaves open."""
    store = memory.sql_store
    inner = store.inner if isinstance(store, RecordingChatStore) else store
    assert isinstance(inner, SQLAlchemyChatStore)
    if inner._async_engine is not None:
        await inner._async_engine.dispose()


async def turn(memory: Memory, question: str) -> list[ChatMessage]:
    await memory.aput(ChatMessage(role="user", content=question))
    shown = list(await memory.aget())
    await memory.aput(ChatMessage(role="assistant", content="I see."))
    return shown


def memories(shown: list[ChatMessage]) -> list[str]:
    return fenced("\n".join(message.content or "" for message in shown))


def said(store: MemoryScope, user: str = "ann") -> list[tuple[str | None, str, str]]:
    return [(m.session_id, m.role, m.content) for m in store.messages(scope=user, after=1)]


def test_both_sides_are_recorded_and_what_the_history_shows_is_not_recalled(
    with_cats: MemoryScope, tmp_path: Path
) -> None:
    uri = f"sqlite+aiosqlite:///{tmp_path / 'history.db'}"

    async def talk() -> None:
        block = LongTermMemoryBlock(memory=SessionMemory(with_cats, user_id="ann"))
        one = made(block, "one", history=uri)
        shown = await turn(one, "What is my cat called?")
        (block_text,) = memories(shown)
        assert "Otto" in block_text
        assert "Mia" not in block_text
        assert "<" not in block_text
        assert [message.role.value for message in shown] == ["user", "user"]
        assert "<memory>" not in str(await one.aget_all())
        await finish(one)

        block = LongTermMemoryBlock(memory=SessionMemory(with_cats, user_id="ann"))
        again = made(block, "one", history=uri)
        shown = await turn(again, "And what is its name, my cat's?")
        assert [m.content for m in shown[1:]] == [
            "What is my cat called?",
            "I see.",
            "And what is its name, my cat's?",
        ]
        assert "Otto" in memories(shown)[0]
        assert "What is my cat called?" not in memories(shown)[0]
        await finish(again)

        two = made(block, "two")
        shown = await turn(two, "What is my cat called here?")
        assert "What is my cat called?" in memories(shown)[0]
        await finish(two)

    asyncio.run(talk())
    assert said(with_cats) == [
        ("one", "user", "What is my cat called?"),
        ("one", "assistant", "I see."),
        ("one", "user", "And what is its name, my cat's?"),
        ("one", "assistant", "I see."),
        ("two", "user", "What is my cat called here?"),
        ("two", "assistant", "I see."),
    ]


@pytest.mark.parametrize("attached", [True, False])
def test_what_the_queue_has_no_room_for_is_recorded_once(
    store: MemoryScope, attached: bool
) -> None:
    async def talk() -> None:
        block = LongTermMemoryBlock(memory=SessionMemory(store, user_id="ann", session_id="named"))
        memory = made(block, "any", attached=attached, limit=60)
        for number in range(8):
            await turn(memory, f"My number {number} is a cat, a dog and a bird")
        await finish(memory)

    asyncio.run(talk())
    messages = store.messages(scope="ann")
    asked = [m.content.split()[2] for m in messages if m.role == "user"]
    assert asked == [str(number) for number in range(8 if attached else len(asked))]
    assert 0 < len(asked) <= 8
    assert {m.session_id for m in messages} == {"named"}


def test_a_run_with_tools_recalls_once(with_cats: MemoryScope) -> None:
    async def talk() -> None:
        block = LongTermMemoryBlock(memory=SessionMemory(with_cats, user_id="ann"))
        memory = made(block, "one")
        await memory.aput(ChatMessage(role="user", content="What is my cat called?"))
        first = await memory.aget()
        with_cats.record("My cat Otto sleeps", scope="ann", session_id="elsewhere")
        await memory.aput(ChatMessage(role="tool", content="a result"))
        assert memories(await memory.aget()) == memories(first)
        await finish(memory)

    asyncio.run(talk())
    assert [role for _, role, _ in said(with_cats)] == ["user", "user"]


def test_the_history_is_changed_and_memory_keeps_what_was_said(store: MemoryScope) -> None:
    async def talk() -> None:
        block = LongTermMemoryBlock(memory=SessionMemory(store, user_id="ann"))
        memory = made(block, "one")
        await memory.aput_messages([ChatMessage(role="user", content=text) for text in "abc"])
        kept = memory.sql_store
        assert await kept.count_messages("one") == 3
        assert await kept.get_keys() == ["one"]
        assert [m.content for m in await kept.delete_oldest_messages("one", 1)] == ["a"]
        assert [m.content for m in await kept.archive_oldest_messages("one", 1)] == ["b"]
        await memory.aset([ChatMessage(role="user", content="d")])
        assert [m.content for m in await memory.aget_all()] == ["d"]
        await memory.areset()
        assert await memory.aget_all() == []
        await finish(memory)

    asyncio.run(talk())
    assert [m.content for m in store.messages(scope="ann")] == ["a", "b", "c"]


def test_a_block_is_dumped_and_loaded(tmp_path: Path) -> None:
    memory = SessionMemory(tmp_path / "memory.db", user_id="ann", agent_id="bot", limit=3)
    block = LongTermMemoryBlock(memory=memory, priority=2)
    dumped = json.loads(block.model_dump_json())
    loaded = LongTermMemoryBlock.model_validate(dumped)
    assert loaded.memory.state == memory.state
    assert loaded.memory.scope == memory.scope
    assert (loaded.name, loaded.priority) == ("long_term_memory", 2)


def test_a_broken_store_costs_the_agent_nothing_but_memories(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk() -> None:
        block = LongTermMemoryBlock(memory=SessionMemory(break_store(tmp_path), user_id="ann"))
        memory = made(block, "one")
        shown = await turn(memory, "secret words")
        assert [message.content for message in shown] == ["secret words"]
        await block.close()
        await finish(memory)

    with caplog.at_level(logging.WARNING):
        asyncio.run(talk())
    # the user's turn, the search, the reply: a line each
    ours = [record for record in caplog.records if record.name.startswith("memoryscope_rag")]
    assert [record.levelname for record in ours] == ["WARNING"] * 3
    assert "StoreCorrupt" in caplog.text
    assert "secret" not in caplog.text
