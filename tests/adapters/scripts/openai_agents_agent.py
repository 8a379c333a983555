"""One conversation of one turn with an agent of the OpenAI Agents SDK."""

from __future__ import annotations

import asyncio
import sys

from agents import Agent, Runner, set_default_openai_api, set_tracing_disabled

from memoryscope_rag.adapters import SessionMemory
from memoryscope_rag.adapters.openai_agents import MemorySession


async def main(user: str, text: str) -> None:
    set_tracing_disabled(True)
    set_default_openai_api("chat_completions")
    session = MemorySession(SessionMemory("memory.db", user_id=user))
    agent = Agent("assistant", model="gpt-4o-mini")
    result = await Runner.run(agent, text, session=session, run_config=session.run_config())
    print(result.final_output)
    await session.close()


asyncio.run(main(sys.argv[1], sys.argv[2]))
