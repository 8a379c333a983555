"""Memory for AutoGen agents: read, written, replaced, saved; and agents that go on without."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Literal

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import TextMessage
from autogen_core.memory import MemoryContent, MemoryMimeType
from autogen_core.model_context import BufferedChatCompletionContext, ChatCompletionContext
from autogen_core.models import ModelFamily, ModelInfo, SystemMessage, UserMessage
from autogen_ext.models.replay import ReplayChatCompletionClient

from memoryscope_rag import AsyncMemoryScope, InvalidInput, MemoryScope
from memoryscope_rag.adapters import SessionMemory
from memoryscope_rag.adapters.autogen import AutoGenMemory, RecordingContext
from memoryscope_rag.testing.fakes import HashEmbedder
from tests.adapters.talking import (
    EXAMPLES,
    INJECTION,
    AcrossProcesses,
    break_store,
    fenced,
    run_agent,
)


def client(*replies: str, several_system: bool = False) -> ReplayChatCompletionClient:
    return ReplayChatCompletionClient(
        replies or ["I see."] * 20,
        model_info=ModelInfo(
            vision=False,
            function_calling=True,
            json_output=False,
            family=ModelFamily.UNKNOWN,
            structured_output=False,
            multiple_system_messages=several_system,
        ),
    )


def seen(model: ReplayChatCompletionClient, call: int = -1) -> list[Any]:
    return list(model.create_calls[call]["messages"])


def memories(model: ReplayChatCompletionClient, call: int = -1) -> list[str]:
    return fenced("\n".join(str(message.content) for message in seen(model, call)))


def said(store: MemoryScope, user: str = "ann") -> list[tuple[str, str | None, str]]:
    return [(m.role, m.speaker, m.content) for m in store.messages(scope=user)]


# ---------------------------------------------------------------- processes


class TestAcrossProcesses(AcrossProcesses):
    script = EXAMPLES / "autogen_agent.py"
    heading = "AutoGen"

    def test_without_a_key_the_example_shows_what_is_remembered(self, tmp_path: Path) -> None:
        told = run_agent(self.script, tmp_path, None, "ann", "I moved to Lisbon in May.")
        assert "remembered" not in told
        asked = run_agent(self.script, tmp_path, None, "ann", "Which city did I move to?")
        assert asked.startswith("remembered:\n  I moved to Lisbon in May.\n")
        assert "remembered" not in run_agent(self.script, tmp_path, None, "bob", "Which city?")


# ---------------------------------------------------------------- an agent and its memory


def test_both_sides_are_recorded_once_and_come_back(store: MemoryScope) -> None:
    async def talk() -> None:
        model = client("Lisbon it is.", "Still Lisbon.")
        agent = AssistantAgent("bot", model_client=model)
        memory = AutoGenMemory(SessionMemory(store, user_id="ann"))
        memory.attach(agent)
        await agent.run(task="I moved to Lisbon")
        await agent.run(task=[TextMessage(content="Hello again", source="Ann")])
        await memory.close()

    asyncio.run(talk())
    assert said(store) == [
        ("user", None, "I moved to Lisbon"),
        ("assistant", None, "Lisbon it is."),
        ("user", "Ann", "Hello again"),
        ("assistant", None, "Still Lisbon."),
    ]
    assert len({m.session_id for m in store.messages(scope="ann")}) == 1


@pytest.mark.parametrize("role", ["user", "system"])
@pytest.mark.parametrize("recording", [True, False])
def test_one_message_of_memories_stands_before_the_question(
    store: MemoryScope, role: Literal["user", "system"], recording: bool
) -> None:
    for text in ("My cat is called Otto", f"My dog is called Rex {INJECTION}"):
        store.record(text, scope="ann", session_id="before")

    async def talk() -> None:
        model = client(several_system=role == "system")
        context: ChatCompletionContext = BufferedChatCompletionContext(buffer_size=20)
        agent = AssistantAgent(
            "bot",
            model_client=model,
            memory=[AutoGenMemory(SessionMemory(store, user_id="ann"), inject_as=role)],
            model_context=RecordingContext(context) if recording else context,
        )
        first = await agent.run(task="What is my cat called?")
        await agent.run(task="What is my dog called?")
        await agent.run(task="What is my dog called, once more?")
        assert [message.type for message in first.messages] == [
            "TextMessage",
            "MemoryQueryEvent",
            "TextMessage",
        ]
        for call in range(3):
            (block,) = memories(model, call)
            assert "Otto" in block
            assert "<" not in block
            *_, shown, question = seen(model, call)
            assert isinstance(shown, UserMessage if role == "user" else SystemMessage)
            assert isinstance(question, UserMessage)
            assert question.content.startswith("What is my")
        saved = json.dumps(await agent.save_state())
        assert saved.count(r"<memory>\n") == (0 if recording else 1)

    asyncio.run(talk())


def test_another_process_takes_over_the_message_of_memories(store: MemoryScope) -> None:
    store.record("My cat is called Otto", scope="ann", session_id="before")

    def agent(model: ReplayChatCompletionClient) -> AssistantAgent:
        memory = AutoGenMemory(SessionMemory(store, user_id="ann"))
        return AssistantAgent("bot", model_client=model, memory=[memory])

    async def talk() -> None:
        first = agent(client())
        await first.run(task="What is my cat called?")
        state = json.loads(json.dumps(await first.save_state()))
        model = client()
        second = agent(model)
        await second.load_state(state)
        await second.run(task="And how is my cat Otto?")
        assert len(memories(model)) == 1
        assert [m.type for m in seen(model)[1:]] == [
            "UserMessage",
            "AssistantMessage",
            "UserMessage",
            "UserMessage",
        ]

    asyncio.run(talk())


def test_the_state_of_an_agent_that_records_goes_on(store: MemoryScope) -> None:
    async def talk() -> None:
        memory = AutoGenMemory(SessionMemory(store, user_id="ann"))
        first = AssistantAgent("bot", model_client=client())
        memory.attach(first)
        await first.run(task="My cat is called Otto")
        second = AssistantAgent("bot", model_client=(model := client()))
        memory.attach(second)
        await second.load_state(await first.save_state())
        await second.run(task="Hello")
        assert [m.content for m in seen(model)[1:]] == ["My cat is called Otto", "I see.", "Hello"]

    asyncio.run(talk())
    assert [text for _, _, text in said(store)] == [
        "My cat is called Otto",
        "I see.",
        "Hello",
        "I see.",
    ]


def test_a_component_is_dumped_and_loaded(tmp_path: Path) -> None:
    async def talk() -> None:
        memory = AutoGenMemory(
            SessionMemory(tmp_path / "memory.db", user_id="ann", agent_id="bot", limit=3),
            inject_as="system",
        )
        agent = AssistantAgent("bot", model_client=client())
        memory.attach(agent)
        dumped = json.loads(agent.dump_component().model_dump_json())
        loaded = AssistantAgent.load_component(dumped)
        assert loaded._memory is not None
        (other,) = loaded._memory
        assert isinstance(other, AutoGenMemory)
        assert isinstance(loaded.model_context, RecordingContext)
        assert other.session.state == memory.session.state
        assert other.session.scope == memory.session.scope
        assert other.inject_as == "system"
        await loaded.run(task="I moved to Lisbon")
        await other.close()
        found = await memory.query("Lisbon")
        assert found.results[0].content == "I moved to Lisbon"
        await memory.close()

    asyncio.run(talk())


def test_only_people_are_recorded_as_users(store: MemoryScope) -> None:
    async def talk() -> None:
        agent = AssistantAgent(
            "bot",
            model_client=client(),
            memory=[AutoGenMemory(SessionMemory(store, user_id="ann"))],
            model_context=RecordingContext(people=["user", "Ann"]),
        )
        await agent.run(
            task=[
                TextMessage(content="I like tea", source="Ann"),
                TextMessage(content="She likes tea", source="critic"),
            ]
        )

    asyncio.run(talk())
    assert [(role, name) for role, name, _ in said(store)] == [
        ("user", "Ann"),
        ("assistant", "critic"),
        ("assistant", None),
    ]


# ---------------------------------------------------------------- asked and told by the host


def test_query_add_and_clear(store: MemoryScope) -> None:
    async def use() -> None:
        memory = AutoGenMemory(SessionMemory(store, user_id="ann"))
        await memory.add(MemoryContent(content="Ann is a vet", mime_type=MemoryMimeType.TEXT))
        await memory.add(MemoryContent(content={"city": "Lisbon"}, mime_type=MemoryMimeType.JSON))
        question = MemoryContent(content="Who is a vet?", mime_type=MemoryMimeType.TEXT)
        found = (await memory.query(question)).results
        assert found[0].content == "Ann is a vet"
        assert found[0].metadata is not None
        assert set(found[0].metadata) == {"id", "score", "kind", "said_at"}
        with pytest.raises(InvalidInput, match="is no text"):
            await memory.add(MemoryContent(content=b"x", mime_type=MemoryMimeType.BINARY))
        other = AutoGenMemory(SessionMemory(store, user_id="bob"))
        assert (await other.query("vet")).results == []
        await other.clear()
        assert (await memory.query("vet")).results
        await memory.clear()
        assert (await memory.query("vet")).results == []

    asyncio.run(use())


def test_what_is_no_agent_is_refused(store: MemoryScope) -> None:
    memory = AutoGenMemory(SessionMemory(store, user_id="ann"))
    with pytest.raises(InvalidInput, match="a str has no model context"):
        memory.attach("agent")
    with pytest.raises(InvalidInput, match="neither 'user' nor 'system'"):
        AutoGenMemory(SessionMemory(store, user_id="ann"), inject_as="tool")  # type: ignore[arg-type]


# ---------------------------------------------------------------- failures


def test_a_broken_store_costs_the_agent_nothing_but_memories(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk() -> str:
        agent = AssistantAgent("bot", model_client=client("Hello."))
        memory = AutoGenMemory(SessionMemory(break_store(tmp_path), user_id="ann"))
        memory.attach(agent)
        result = await agent.run(task="secret words")
        await memory.close()
        return str(result.messages[-1].to_text())

    assert asyncio.run(talk()) == "Hello."
    # the user's turn, the search, the reply: a line each
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    assert "StoreCorrupt" in caplog.text
    assert "secret" not in caplog.text


def test_a_memory_of_the_agents_own_loop_can_be_lent(tmp_path: Path) -> None:
    async def talk() -> None:
        async with await AsyncMemoryScope.open(
            tmp_path / "memory.db", embedder=HashEmbedder()
        ) as store:
            await store.record("My cat is called Otto", scope="ann", session_id="before")
            agent = AssistantAgent("bot", model_client=(model := client()))
            memory = AutoGenMemory(SessionMemory(store, user_id="ann"))
            memory.attach(agent)
            await agent.run(task="What is my cat called?")
            assert "Otto" in memories(model)[0]
            await memory.close()
            assert len(await store.messages(scope="ann")) == 3

    asyncio.run(talk())
