"""An AutoGen agent that remembers in ``memory.db``; docs/autogen.md says how to run it.

Without OPENAI_API_KEY a script stands in for the model.
"""

from __future__ import annotations

import asyncio
import os
import sys

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import MemoryQueryEvent
from autogen_core.models import ChatCompletionClient
from autogen_ext.models.openai import OpenAIChatCompletionClient
from autogen_ext.models.replay import ReplayChatCompletionClient

from memoryscope_rag.adapters import SessionMemory
from memoryscope_rag.adapters.autogen import AutoGenMemory


async def main(user: str, text: str) -> None:
    """One conversation of one turn."""
    memory = AutoGenMemory(SessionMemory("memory.db", user_id=user))
    model: ChatCompletionClient = ReplayChatCompletionClient(["(a script, for want of a key)"])
    if "OPENAI_API_KEY" in os.environ:
        model = OpenAIChatCompletionClient(model="gpt-4o-mini")
    agent = AssistantAgent("assistant", model_client=model)
    memory.attach(agent)
    result = await agent.run(task=text)
    for message in result.messages:
        if isinstance(message, MemoryQueryEvent):
            print("remembered:", *(found.content for found in message.content), sep="\n  ")
    print(result.messages[-1].to_text())
    await asyncio.gather(memory.close(), model.close())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
