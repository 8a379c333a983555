"""A middleware for AgentScope 2 agents: recalls, records, offers tools, and fails softly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from agentscope.agent import Agent
from agentscope.credential import OpenAICredential
from agentscope.message import Msg, UserMsg
from agentscope.model import OpenAIChatModel
from agentscope.state import AgentState
from agentscope.tool import Toolkit

from memoryscope_rag import InvalidInput, MemoryScope
from memoryscope_rag.adapters import SessionMemory
from memoryscope_rag.adapters.agentscope import MemoryMiddleware
from tests.adapters.talking import (
    EXAMPLES,
    INJECTION,
    AcrossProcesses,
    Model,
    fenced,
    scripted_model,
    tool_call,
)


@asynccontextmanager
async def agent(
    model: Model, memory: MemoryMiddleware, state: AgentState | None = None
) -> AsyncIterator[Agent]:
    key = OpenAICredential(api_key="sk-test", base_url=model.url)
    chat_model = OpenAIChatModel(key, "gpt-4o-mini", stream=False)
    toolkit = Toolkit(tools=await memory.list_tools())
    yield Agent("bot", "", chat_model, toolkit=toolkit, middlewares=[memory], state=state)
    await chat_model.client.close()  # the framework leaves it open


class TestAcrossProcesses(AcrossProcesses):
    script = EXAMPLES / "agentscope_agent.py"
    heading = "AgentScope 2"


def test_memories_are_replaced_and_turns_recorded_once(store: MemoryScope) -> None:
    store.record(f"My cat is called Otto {INJECTION}", scope="ann", session_id="before")

    async def talk(model: Model) -> None:
        memory = MemoryMiddleware(SessionMemory(store, user_id="ann"))
        async with agent(model, memory) as bot:
            await bot.reply(UserMsg(name="Ann", content="What is my cat called?"))
            async for _ in bot.reply_stream(UserMsg(name="user", content="What is its name?")):
                pass
            state = AgentState.model_validate_json(bot.state.model_dump_json())
        memory = MemoryMiddleware(SessionMemory(store, user_id="ann"))
        async with agent(model, memory, state) as bot:
            await bot.reply(UserMsg(name="user", content="What is its name, once more?"))
        for call, question in enumerate(
            ("What is my cat called?", "What is its name?", "What is its name, once more?")
        ):
            messages = model.messages_of(call)
            (block,) = fenced("\n".join(message["content"] for message in messages))
            assert "Otto" in block
            assert "<" not in block
            place = [message["content"] for message in messages].index(question)
            assert messages[place - 1]["role"] == "user"
            assert fenced(messages[place - 1]["content"]) == [block]

    with scripted_model() as model:
        asyncio.run(talk(model))
    recorded = [m for m in store.messages(scope="ann") if m.session_id != "before"]
    assert [(m.role, m.speaker, m.content) for m in recorded] == [
        ("user", "Ann", "What is my cat called?"),
        ("assistant", None, "I see."),
        ("user", None, "What is its name?"),
        ("assistant", None, "I see."),
        ("user", None, "What is its name, once more?"),
        ("assistant", None, "I see."),
    ]
    assert len({m.session_id for m in recorded}) == 1


def test_the_model_searches_and_adds_by_tools(store: MemoryScope) -> None:
    store.record("My cat is called Otto", scope="ann", session_id="before")
    store.record("My cat is called Mia", scope="bob", session_id="before")

    async def talk(model: Model) -> None:
        memory = MemoryMiddleware(SessionMemory(store, user_id="ann"), mode="agent_control")
        async with agent(model, memory) as bot:
            reply = await bot.reply(UserMsg(name="user", content="My cat?"))
        assert reply.get_text_content() == "I see."

    with scripted_model(
        tool_call("search_memory", keywords=["cat"], limit=1000),
        tool_call("add_memory", content=["Ann has a cat, Otto", " "]),
    ) as model:
        asyncio.run(talk(model))
    first = model.server.bodies[0]
    assert {tool["function"]["name"] for tool in first["tools"]} >= {"search_memory", "add_memory"}
    assert "You remember earlier conversations" in json.dumps(first["messages"][0])
    assert fenced(json.dumps(first)) == []
    assert "Otto" in model.messages_of(1)[-1]["content"]
    assert "Mia" not in json.dumps(model.server.bodies)
    assert "Kept 1." in model.messages_of(2)[-1]["content"]
    (note,) = store.list(scope="ann", kinds=["note"]).items
    assert note.content == "Ann has a cat, Otto"


def test_a_named_session_is_kept_and_a_reply_without_words_is_passed_over(
    store: MemoryScope,
) -> None:
    async def talk(model: Model) -> None:
        memory = MemoryMiddleware(SessionMemory(store, user_id="ann", session_id="monday"))
        two = [UserMsg(name="user", content="One"), UserMsg(name="user", content="Two")]
        async with agent(model, memory) as bot:
            await bot.reply(two)
            await bot.reply(Msg(name="user", content=[], role="user"))

    with scripted_model() as model:
        asyncio.run(talk(model))
    said = [m.content for m in store.messages(scope="ann", session_id="monday")]
    assert said == ["One", "Two", "I see.", "I see."]


def test_an_unknown_mode_is_refused(store: MemoryScope) -> None:
    with pytest.raises(InvalidInput, match="none of static_control"):
        MemoryMiddleware(SessionMemory(store, user_id="ann"), mode="auto")  # type: ignore[arg-type]
