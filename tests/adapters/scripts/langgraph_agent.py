"""One run of a LangGraph graph, whose store is a memory."""

from __future__ import annotations

import asyncio
import sys
import uuid
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import convert_to_openai_messages
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from openai import AsyncOpenAI

from memoryscope_rag.adapters.langgraph import LangGraphStore


@dataclass
class Visitor:
    user_id: str


async def main(user: str, text: str) -> None:
    store = LangGraphStore("memory.db", fields=["text"])
    client = AsyncOpenAI()

    async def answer(state: MessagesState, runtime: Runtime[Visitor]) -> dict[str, Any]:
        assert runtime.store is not None
        said = str(state["messages"][-1].content)
        namespace = ("memories", runtime.context.user_id)
        memories = store.prompt(await runtime.store.asearch(namespace, query=said), said)
        shown: Any = [{"role": "user", "content": memories}] if memories else []
        shown += convert_to_openai_messages(state["messages"])
        reply = await client.chat.completions.create(model="gpt-4o-mini", messages=shown)
        await runtime.store.aput(namespace, uuid.uuid4().hex, {"text": said})
        return {"messages": [("assistant", reply.choices[0].message.content)]}

    graph = StateGraph(MessagesState, context_schema=Visitor)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    agent = graph.compile(store=store)
    told: Any = {"messages": [("user", text)]}
    result = await agent.ainvoke(told, context=Visitor(user))
    print(result["messages"][-1].content)
    await client.close()
    await store.aclose()


asyncio.run(main(sys.argv[1], sys.argv[2]))
