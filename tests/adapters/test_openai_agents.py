"""A session for the OpenAI Agents SDK: history inside, memory beyond it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    RunConfig,
    Runner,
    SQLiteSession,
    function_tool,
    set_tracing_disabled,
)
from agents.memory import Session
from agents.run import CallModelData, ModelInputData
from openai import AsyncOpenAI

from memoryscope_rag import MemoryScope
from memoryscope_rag.adapters import SessionMemory
from memoryscope_rag.adapters.openai_agents import MemorySession
from tests.adapters.talking import (
    SCRIPTS,
    AcrossProcesses,
    Model,
    fenced,
    scripted_model,
    tool_call,
)


class TestAcrossProcesses(AcrossProcesses):
    script = SCRIPTS / "openai_agents_agent.py"
    heading = "OpenAI Agents SDK"


def test_a_run_with_tools_recalls_once_and_the_history_holds_no_memories(
    with_cats: MemoryScope, tmp_path: Path
) -> None:
    set_tracing_disabled(True)

    def weather() -> str:
        """How is the weather?"""
        return "Sunny."

    def shout(data: CallModelData[None]) -> ModelInputData:
        instructions = (data.model_data.instructions or "").upper()
        return ModelInputData(input=data.model_data.input, instructions=instructions)

    async def talk(model: Model) -> None:
        client = AsyncOpenAI(api_key="sk-test", base_url=model.url)
        chat_model = OpenAIChatCompletionsModel("gpt-4o-mini", client)
        agent = Agent(
            "bot", instructions="be brief", model=chat_model, tools=[function_tool(weather)]
        )
        inner = SQLiteSession("one", tmp_path / "history.db")
        session = MemorySession(SessionMemory(with_cats, user_id="ann", session_id="one"), inner)
        assert isinstance(session, Session)
        config = session.run_config(RunConfig(call_model_input_filter=shout))
        for text in ("What is my cat called?", "And how is my cat?"):
            await Runner.run(agent, text, session=session, run_config=config)
        for call in range(3):
            messages = model.messages_of(call)
            assert messages[0]["content"] == "BE BRIEF"
            (block,) = fenced("\n".join(message["content"] for message in messages))
            assert "Otto" in block
            assert "Mia" not in block
            assert "<" not in block
            place = [message["role"] for message in messages].index("user")
            assert place == 1
        history = await session.get_items()
        assert len(history) == 6
        assert "<memory>" not in str(history)
        await session.pop_item()
        await session.clear_session()
        assert await session.get_items() == []
        inner.close()
        await client.close()

    with scripted_model(tool_call("weather")) as model:
        asyncio.run(talk(model))
    said = [(m.session_id, m.role, m.content) for m in with_cats.messages(scope="ann", after=1)]
    assert said == [
        ("one", "user", "What is my cat called?"),
        ("one", "assistant", "I see."),
        ("one", "user", "And how is my cat?"),
        ("one", "assistant", "I see."),
    ]
