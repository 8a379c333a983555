"""A capability for Pydantic AI agents: one user's memory, or each run's own."""

from __future__ import annotations

import asyncio
import json

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from memoryscope_rag import MemoryScope
from memoryscope_rag.adapters import MemoryDoor, SessionMemory
from memoryscope_rag.adapters.pydantic_ai import MemoryCapability
from tests.adapters.talking import (
    SCRIPTS,
    AcrossProcesses,
    Model,
    fenced,
    scripted_model,
    tool_call,
)


class TestAcrossProcesses(AcrossProcesses):
    script = SCRIPTS / "pydantic_ai_agent.py"
    heading = "Pydantic AI"


def openai_model(model: Model) -> OpenAIChatModel:
    return OpenAIChatModel(
        "gpt-4o-mini", provider=OpenAIProvider(base_url=model.url, api_key="sk-test")
    )


def test_users_of_one_agent_share_a_door_and_no_memory(with_cats: MemoryScope) -> None:
    door = MemoryDoor(with_cats)

    async def talk(model: Model) -> None:
        chat_model = openai_model(model)
        memory = MemoryCapability(lambda ctx: SessionMemory(door, user_id=ctx.deps))
        agent = Agent(chat_model, deps_type=str, capabilities=[memory])
        runs = (agent.run("What is my cat called?", deps=user) for user in ("ann", "bob"))
        await asyncio.gather(*runs)
        await chat_model.client.close()

    with scripted_model() as model:
        asyncio.run(talk(model))
        seen = [
            fenced("\n".join(message["content"] for message in model.messages_of(call)))
            for call in range(2)
        ]
    assert all(len(blocks) == 1 for blocks in seen)
    (ann,) = (block for (block,) in seen if "Otto" in block)
    (bob,) = (block for (block,) in seen if "Mia" in block)
    assert "Mia" not in ann
    assert "<" not in ann
    assert "Otto" not in bob
    for user in ("ann", "bob"):
        said = [(m.role, m.content) for m in with_cats.messages(scope=user)][1:]
        assert said == [("user", "What is my cat called?"), ("assistant", "I see.")]


def test_the_model_searches_and_adds_by_tools(with_cats: MemoryScope) -> None:
    async def talk(model: Model) -> None:
        chat_model = openai_model(model)
        memory = MemoryCapability(SessionMemory(with_cats, user_id="ann"), tools=True)
        await Agent(chat_model, capabilities=[memory]).run("Hello")
        await chat_model.client.close()

    with scripted_model(
        tool_call("search_memory", keywords=["cat"]),
        tool_call("add_memory", content=["Ann has a cat, Otto"]),
    ) as model:
        asyncio.run(talk(model))
        offered = json.dumps(model.server.bodies[0])
        assert "You remember earlier conversations" in offered
        assert "Search what was said" in offered
        assert "Otto" in model.messages_of(1)[-1]["content"]
        assert model.messages_of(2)[-1]["content"] == "Kept 1."
    (note,) = with_cats.list(scope="ann", kinds=["note"]).items
    assert note.content == "Ann has a cat, Otto"
