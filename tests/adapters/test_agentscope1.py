"""Long-term memory for AgentScope 1 agents, in all three modes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from agentscope.agent import ReActAgent
from agentscope.formatter import OpenAIChatFormatter
from agentscope.message import Msg, TextBlock, ToolUseBlock
from agentscope.model import ChatModelBase, ChatResponse

from memoryscope_rag import MemoryScope
from memoryscope_rag.adapters import SessionMemory
from memoryscope_rag.adapters.agentscope1 import AgentScopeLongTermMemory
from tests.adapters.talking import (
    INJECTION,
    SCRIPTS,
    AcrossProcesses,
    break_store,
    fenced,
)


class ScriptedModel(ChatModelBase):
    """Replies in order: a text, or the name and the arguments of a tool."""

    def __init__(self, *replies: str | tuple[str, dict[str, Any]]) -> None:
        super().__init__("scripted", stream=False)
        self.replies = list(replies)
        self.prompts: list[str] = []
        self.tools: list[Any] = []

    async def __call__(
        self, messages: list[dict[str, Any]], tools: Any = None, **kwargs: Any
    ) -> ChatResponse:
        self.prompts.append(json.dumps(messages))
        self.tools.append(tools)
        reply = self.replies.pop(0) if self.replies else "I see."
        if isinstance(reply, str):
            return ChatResponse(content=[TextBlock(type="text", text=reply)])
        name, arguments = reply
        use = ToolUseBlock(type="tool_use", id=f"call-{name}", name=name, input=arguments)
        return ChatResponse(content=[use])


def agent(model: ScriptedModel, memory: AgentScopeLongTermMemory, mode: Any) -> ReActAgent:
    made = ReActAgent(
        "bot",
        "Be brief.",
        model,
        OpenAIChatFormatter(),
        long_term_memory=memory,
        long_term_memory_mode=mode,
    )
    made.set_console_output_enabled(False)
    return made


class TestAcrossProcesses(AcrossProcesses):
    script = SCRIPTS / "agentscope1_agent.py"
    heading = "AgentScope 1"


def test_the_whole_conversation_is_recorded_once(store: MemoryScope) -> None:
    store.record(f"My cat is called Otto {INJECTION}", scope="ann", session_id="before")

    async def talk() -> None:
        memory = AgentScopeLongTermMemory(SessionMemory(store, user_id="ann"))
        bot = agent(model := ScriptedModel(), memory, "static_control")
        await bot(Msg("Ann", "What is my cat called?", "user"))
        await bot(Msg("user", "And my dog?", "user"))
        (block,) = fenced(_plain(model.prompts[0]))
        assert "Otto" in block
        assert "<" not in block
        state = json.loads(json.dumps(bot.state_dict()))
        later = AgentScopeLongTermMemory(SessionMemory(store, user_id="ann"))
        other = agent(ScriptedModel(), later, "static_control")
        other.load_state_dict(state)
        await other(Msg("user", "Hello again", "user"))

    asyncio.run(talk())
    recorded = [m for m in store.messages(scope="ann") if m.session_id != "before"]
    assert [(m.role, m.speaker, m.content) for m in recorded] == [
        ("user", "Ann", "What is my cat called?"),
        ("assistant", None, "I see."),
        ("user", None, "And my dog?"),
        ("assistant", None, "I see."),
        ("user", None, "Hello again"),
        ("assistant", None, "I see."),
    ]
    assert len({m.session_id for m in recorded}) == 1


def _plain(prompt: str) -> str:
    return "\n".join(
        part["text"] for message in json.loads(prompt) for part in message["content"] or ()
    )


def test_the_model_searches_and_adds_by_tools(store: MemoryScope) -> None:
    store.record("My cat is called Otto", scope="ann", session_id="before")
    store.record("My cat is called Mia", scope="bob", session_id="before")

    async def talk() -> None:
        memory = AgentScopeLongTermMemory(SessionMemory(store, user_id="ann"))
        model = ScriptedModel(
            ("retrieve_from_memory", {"keywords": ["cat"], "limit": 3}),
            ("record_to_memory", {"thinking": "lasting", "content": ["Ann has a cat, Otto"]}),
            "Otto!",
        )
        bot = agent(model, memory, "agent_control")
        await bot(Msg("user", "What is my cat called?", "user"))
        names = {tool["function"]["name"]: tool["function"] for tool in model.tools[0]}
        wanted = names["retrieve_from_memory"]
        assert wanted["description"].startswith("Search what was said")
        assert set(wanted["parameters"]["properties"]) == {"keywords", "limit"}
        assert "Otto" in model.prompts[1]
        assert "Mia" not in model.prompts[1]
        assert "Kept 1." in model.prompts[2]

    asyncio.run(talk())
    (note,) = store.list(scope="ann", kinds=["note"]).items
    assert note.content == "Ann has a cat, Otto"


def test_tools_of_a_broken_store_say_so(tmp_path: Path) -> None:
    async def talk() -> None:
        memory = AgentScopeLongTermMemory(SessionMemory(break_store(tmp_path), user_id="ann"))
        said = await memory.record_to_memory("", ["a fact"])
        assert "cannot be written" in said.content[0]["text"]
        said = await memory.retrieve_from_memory(["a fact"])
        assert said.content[0]["text"] == "Nothing is remembered about this."
        await memory.close()

    asyncio.run(talk())
