"""One turn with a model whose messages are those of a LlamaIndex memory."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.core.memory import Memory
from openai import AsyncOpenAI

from memoryscope_rag.adapters import SessionMemory
from memoryscope_rag.adapters.llama_index import LongTermMemoryBlock


async def main(user: str, text: str) -> None:
    block = LongTermMemoryBlock(memory=SessionMemory("memory.db", user_id=user))
    memory = Memory.from_defaults(memory_blocks=[block], tokenizer_fn=str.split)
    block.attach(memory)
    client = AsyncOpenAI()
    await memory.aput(ChatMessage(role="user", content=text))
    shown: Any = [{"role": m.role.value, "content": m.content} for m in await memory.aget()]
    reply = await client.chat.completions.create(model="gpt-4o-mini", messages=shown)
    said = reply.choices[0].message.content or ""
    await memory.aput(ChatMessage(role="assistant", content=said))
    print(said)
    await client.close()
    await block.close()


asyncio.run(main(sys.argv[1], sys.argv[2]))
