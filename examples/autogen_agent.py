"""An AutoGen agent that remembers. Needs ``memoryscope-rag[autogen]`` and ``autogen-ext[openai]``.

Run it twice: ``python examples/autogen_agent.py ann "I moved to Lisbon in May."``, then
``python examples/autogen_agent.py ann "Which city did I move to?"``. The memory is the file
``memory.db``; the model is OpenAI's, or any that OPENAI_BASE_URL names.
"""

from __future__ import annotations

import asyncio
import sys

from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient

from memoryscope_rag.adapters import SessionMemory
from memoryscope_rag.adapters.autogen import AutoGenMemory


async def main(user: str, text: str) -> None:
    """One conversation of one turn."""
    memory = AutoGenMemory(SessionMemory("memory.db", user_id=user))
    model = OpenAIChatCompletionClient(model="gpt-4o-mini")
    agent = AssistantAgent("assistant", model_client=model)
    memory.attach(agent)
    result = await agent.run(task=text)
    print(result.messages[-1].to_text())
    await memory.close()
    await model.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
