"""One turn with a LangChain chain, whose history is in memory."""

from __future__ import annotations

import asyncio
import sys
from operator import itemgetter
from typing import Any

from langchain_core.messages import AIMessage, convert_to_openai_messages
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.runnables.history import RunnableWithMessageHistory
from openai import AsyncOpenAI

from memoryscope_rag.adapters import MemoryDoor, SessionMemory
from memoryscope_rag.adapters.langchain import MemoryChatHistory, recalling

PROMPT = ChatPromptTemplate.from_messages(
    [("user", "{memories}"), MessagesPlaceholder("history"), ("user", "{question}")]
)


async def main(user: str, text: str) -> None:
    door = MemoryDoor("memory.db")
    client = AsyncOpenAI()

    async def answer(prompt: PromptValue) -> AIMessage:
        shown: Any = convert_to_openai_messages(prompt.to_messages())
        reply = await client.chat.completions.create(model="gpt-4o-mini", messages=shown)
        return AIMessage(reply.choices[0].message.content or "")

    chain = RunnableWithMessageHistory(
        RunnablePassthrough.assign(memories=itemgetter("question") | recalling())
        | PROMPT
        | RunnableLambda(answer),
        lambda session_id: MemoryChatHistory(SessionMemory(door, user_id=user)),
        input_messages_key="question",
        history_messages_key="history",
    )
    config: Any = {"configurable": {"session_id": "any"}}
    reply = await chain.ainvoke({"question": text}, config)
    print(reply.content)
    await client.close()
    await door.close()


asyncio.run(main(sys.argv[1], sys.argv[2]))
