"""One conversation of one turn with an agent of Agent Framework."""

from __future__ import annotations

import asyncio
import sys

from agent_framework import Agent
from agent_framework.openai import OpenAIChatCompletionClient

from memoryscope_rag.adapters import SessionMemory
from memoryscope_rag.adapters.agent_framework import MemoryContextProvider


async def main(user: str, text: str) -> None:
    memory = MemoryContextProvider(SessionMemory("memory.db", user_id=user))
    agent = Agent(OpenAIChatCompletionClient("gpt-4o-mini"), context_providers=[memory])
    reply = await agent.run(text, session=agent.create_session())
    print(reply.text)
    await memory.close()


asyncio.run(main(sys.argv[1], sys.argv[2]))
