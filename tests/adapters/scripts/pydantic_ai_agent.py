"""One conversation of one turn with a Pydantic AI agent."""

from __future__ import annotations

import asyncio
import sys

from pydantic_ai import Agent

from memoryscope_rag.adapters import SessionMemory
from memoryscope_rag.adapters.pydantic_ai import MemoryCapability


async def main(user: str, text: str) -> None:
    memory = SessionMemory("memory.db", user_id=user)
    agent = Agent("openai-chat:gpt-4o-mini", capabilities=[MemoryCapability(memory)])
    result = await agent.run(text)
    print(result.output)
    await memory.close()


asyncio.run(main(sys.argv[1], sys.argv[2]))
