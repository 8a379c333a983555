"""A context provider for Agent Framework: recalls before a run, records both sides."""

from __future__ import annotations

import asyncio
import json

from agent_framework import Agent, AgentSession
from agent_framework.openai import OpenAIChatCompletionClient

from memoryscope_rag import MemoryScope
from memoryscope_rag.adapters import SessionMemory
from memoryscope_rag.adapters.agent_framework import MemoryContextProvider
from tests.adapters.talking import (
    SCRIPTS,
    AcrossProcesses,
    Model,
    fenced,
    scripted_model,
)


class TestAcrossProcesses(AcrossProcesses):
    script = SCRIPTS / "agent_framework_agent.py"
    heading = "Microsoft Agent Framework"


def test_each_run_recalls_and_each_session_is_recorded(with_cats: MemoryScope) -> None:
    async def talk(model: Model) -> None:
        client = OpenAIChatCompletionClient("gpt-4o-mini", api_key="sk-test", base_url=model.url)
        memory = MemoryContextProvider(SessionMemory(with_cats, user_id="ann"))
        agent = Agent(client, context_providers=[memory])
        one, two = (AgentSession(session_id=name) for name in ("one", "two"))
        await agent.run("What is my cat called?", session=one)
        one = AgentSession.from_dict(json.loads(json.dumps(one.to_dict())))
        await agent.run("What is my cat called, once more?", session=one)
        # what the history shows is not repeated as a memory
        assert "once more" not in model.memories[0]
        assert "What is my cat called?" not in model.memories[0]
        await agent.run("And what is my cat called here?", session=two)
        assert "What is my cat called?" in model.memories[0]
        for call in range(3):
            messages = model.messages_of(call)
            (block,) = fenced("\n".join(message["content"] for message in messages))
            assert "Otto" in block
            assert "Mia" not in block
            assert "<" not in block
            assert fenced(messages[-1]["content"]) == []
        await client.client.close()

    with scripted_model() as model:
        asyncio.run(talk(model))
    said = [(m.session_id, m.role, m.content) for m in with_cats.messages(scope="ann", after=1)]
    assert said == [
        ("one", "user", "What is my cat called?"),
        ("one", "assistant", "I see."),
        ("one", "user", "What is my cat called, once more?"),
        ("one", "assistant", "I see."),
        ("two", "user", "And what is my cat called here?"),
        ("two", "assistant", "I see."),
    ]
