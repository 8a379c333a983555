"""An AgentScope agent that remembers in ``memory.db``; docs/agentscope.md says how to run it."""

from __future__ import annotations

import asyncio
import os
import sys

from agentscope.agent import Agent
from agentscope.credential import OpenAICredential
from agentscope.message import UserMsg
from agentscope.model import OpenAIChatModel

from memoryscope_rag.adapters import SessionMemory
from memoryscope_rag.adapters.agentscope import MemoryMiddleware


async def main(user: str, text: str) -> None:
    """One conversation of one turn."""
    memory = MemoryMiddleware(SessionMemory("memory.db", user_id=user))
    key = OpenAICredential(
        api_key=os.environ["OPENAI_API_KEY"], base_url=os.environ.get("OPENAI_BASE_URL")
    )
    model = OpenAIChatModel(key, "gpt-4o-mini")
    agent = Agent("assistant", "You are a helpful assistant.", model, middlewares=[memory])
    reply = await agent.reply(UserMsg(name="user", content=text))
    print(reply.get_text_content())
    await memory.close()


if __name__ == "__main__":
    if "OPENAI_API_KEY" not in os.environ:
        sys.exit("OPENAI_API_KEY is not set; docs/agentscope.md says what to set")
    asyncio.run(main(sys.argv[1], sys.argv[2]))
