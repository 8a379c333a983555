"""One conversation of one turn with an AgentScope 1 agent."""

from __future__ import annotations

import asyncio
import os
import sys

from agentscope.agent import ReActAgent
from agentscope.formatter import OpenAIChatFormatter
from agentscope.message import Msg
from agentscope.model import OpenAIChatModel

from memoryscope_rag.adapters import SessionMemory
from memoryscope_rag.adapters.agentscope1 import AgentScopeLongTermMemory


async def main(user: str, text: str) -> None:
    memory = AgentScopeLongTermMemory(SessionMemory("memory.db", user_id=user))
    agent = ReActAgent(
        "assistant",
        "You are a helpful assistant.",
        OpenAIChatModel(
            "gpt-4o-mini",
            stream=False,
            client_kwargs={"base_url": os.environ["OPENAI_BASE_URL"]},
        ),
        OpenAIChatFormatter(),
        long_term_memory=memory,
        long_term_memory_mode="static_control",
    )
    agent.set_console_output_enabled(False)
    reply = await agent(Msg("user", text, "user"))
    print(reply.get_text_content())
    await memory.close()


asyncio.run(main(sys.argv[1], sys.argv[2]))
