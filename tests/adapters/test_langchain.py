"""LangChain's chat history in memory, and what chains and retrievers are given of it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from langchain_core._api import LangChainDeprecationWarning
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import ConfigurableFieldSpec, RunnableLambda, RunnablePassthrough
from langchain_core.runnables.history import RunnableWithMessageHistory

from memoryscope_rag import AsyncMemoryScope, InvalidInput, MemoryScope
from memoryscope_rag.adapters import MemoryDoor, SessionMemory
from memoryscope_rag.adapters.langchain import MemoryChatHistory, MemoryRetriever, recalling
from memoryscope_rag.testing.fakes import HashEmbedder
from tests.adapters.talking import SCRIPTS, AcrossProcesses, break_store, fenced

PROMPT = ChatPromptTemplate.from_messages(
    [("system", "{memories}"), MessagesPlaceholder("history"), ("user", "{question}")]
)
EVERY_TYPE: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("Привет, 世界", name="Ann", id="human-1", additional_kwargs={"seen": True}),
    HumanMessage(
        [
            {"type": "text", "text": "What is in this picture?"},
            {"type": "image", "base64": "iVBORw0KGgo" * 9000, "mime_type": "image/png"},
        ]
    ),
    AIMessage(
        "",
        tool_calls=[{"name": "weather", "args": {"city": "Lisbon"}, "id": "call-1"}],
        usage_metadata={"input_tokens": 3, "output_tokens": 5, "total_tokens": 8},
        response_metadata={"finish_reason": "tool_calls", "logprobs": None},
    ),
    ToolMessage("Sunny", tool_call_id="call-1", artifact={"raw": [1, 2]}, status="error"),
    FunctionMessage("42", name="count"),
    ChatMessage("As the narrator", role="narrator"),
    AIMessageChunk("a piece", id="run-1"),
    RemoveMessage(id="human-1"),
    HumanMessage("half of a pair: \ud800"),
    HumanMessage("the same"),
    HumanMessage("the same"),
    AIMessage("", name="a\nname"),
]


class TestAcrossProcesses(AcrossProcesses):
    script = SCRIPTS / "langchain_agent.py"
    heading = "LangChain"


def test_every_type_of_message_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    with MemoryScope.open(path, embedder=HashEmbedder()) as store:
        history = MemoryChatHistory(SessionMemory(store, user_id="ann", session_id="monday"))
        for message in EVERY_TYPE[:2]:
            history.add_message(message)
        history.add_messages(EVERY_TYPE[2:])
        assert history.messages == EVERY_TYPE
    with MemoryScope.open(path, embedder=HashEmbedder()) as store:
        door = MemoryDoor(store)

        def of(user: str, session: str) -> MemoryChatHistory:
            return MemoryChatHistory(SessionMemory(door, user_id=user, session_id=session))

        assert of("ann", "monday").messages == EVERY_TYPE
        assert of("ann", "tuesday").messages == []
        assert of("bob", "monday").messages == []
        first = store.messages(scope="ann", session_id="monday")[:2]
        assert [(m.role, m.speaker, m.content) for m in first] == [
            ("system", None, "Be brief."),
            ("user", "Ann", "Привет, 世界"),
        ]
        found = store.retrieve("What is in this picture?", scope="ann", floor=False)
        assert "iVBOR" not in found.text
        assert all(item.node.content.strip() for item in found)
        of("ann", "tuesday").add_ai_message("kept")
        assert str(of("ann", "tuesday")) == "AI: kept"
        of("ann", "monday").clear()
        assert of("ann", "monday").messages == []
        assert of("ann", "tuesday").messages == [AIMessage("kept")]


def test_what_others_recorded_in_the_session_is_in_the_history(store: MemoryScope) -> None:
    for role in ("user", "assistant", "tool"):
        store.record("hello", scope="ann", role=role, session_id="monday")
    history = MemoryChatHistory(SessionMemory(store, user_id="ann", session_id="monday"))
    assert history.messages == [
        HumanMessage("hello"),
        AIMessage("hello"),
        ChatMessage("hello", role="tool"),
    ]


def test_a_message_of_which_a_piece_was_forgotten_keeps_its_words(store: MemoryScope) -> None:
    history = MemoryChatHistory(SessionMemory(store, user_id="ann", session_id="monday"))
    history.add_messages([EVERY_TYPE[2], HumanMessage("next")])
    first, *pieces, _ = (message.id for message in store.messages(scope="ann"))
    assert pieces
    store.forget(scope="ann", message_ids=pieces[:1])
    assert history.messages == [HumanMessage("What is in this picture?"), HumanMessage("next")]
    store.forget(scope="ann", message_ids=[first])
    assert history.messages == [HumanMessage("next")]


def test_more_messages_than_are_read_at_once(store: MemoryScope) -> None:
    history = MemoryChatHistory(SessionMemory(store, user_id="ann", session_id="monday"))
    messages = [HumanMessage(str(number)) for number in range(1001)]
    history.add_messages(messages)
    assert history.messages == messages


def test_what_is_no_json_is_refused(store: MemoryScope) -> None:
    history = MemoryChatHistory(SessionMemory(store, user_id="ann"))
    with pytest.raises(InvalidInput, match="is no JSON"):
        history.add_message(ToolMessage("x", tool_call_id="1", artifact=object()))
    assert history.messages == []


class Chain:
    """A chain with history, for any user, and the prompts that its model was given."""

    def __init__(self, door: MemoryDoor) -> None:
        self.prompts: list[Sequence[BaseMessage]] = []

        def history(user_id: str, session_id: str) -> MemoryChatHistory:
            memory = SessionMemory(door, user_id=user_id, session_id=session_id)
            return MemoryChatHistory(memory)

        def answer(prompt: PromptValue) -> AIMessage:
            self.prompts.append(prompt.to_messages())
            return AIMessage("I see.")

        ids = [ConfigurableFieldSpec(id=each, annotation=str) for each in ("user_id", "session_id")]
        with pytest.warns(LangChainDeprecationWarning, match="RunnableWithMessageHistory"):
            self.runnable = RunnableWithMessageHistory(
                RunnablePassthrough.assign(memories=itemgetter("question") | recalling())
                | PROMPT
                | RunnableLambda(answer),
                history,
                input_messages_key="question",
                history_messages_key="history",
                history_factory_config=ids,
            )

    def memories(self) -> list[str]:
        return fenced(str(self.prompts[-1][0].content))


def ids(user: str, session: str) -> Any:
    return {"configurable": {"user_id": user, "session_id": session}}


@pytest.mark.parametrize("blocking", [True, False])
def test_a_chain_with_history_recalls_what_its_history_does_not_show(
    with_cats: MemoryScope, blocking: bool
) -> None:
    chain = Chain(MemoryDoor(with_cats))

    def ask(user: str, session: str, question: str) -> None:
        asked = {"question": question}
        if blocking:
            chain.runnable.invoke(asked, ids(user, session))
        else:
            asyncio.run(chain.runnable.ainvoke(asked, ids(user, session)))

    ask("ann", "one", "What is my cat called?")
    (block,) = chain.memories()
    assert "Otto" in block
    assert "Mia" not in block
    assert "<" not in block
    ask("ann", "one", "What is my cat called, once more?")
    shown = [message.content for message in chain.prompts[-1][1:]]
    assert shown == ["What is my cat called?", "I see.", "What is my cat called, once more?"]
    (block,) = chain.memories()
    assert "Otto" in block
    assert "What is my cat called?" not in block
    ask("ann", "two", "And what is my cat called here?")
    assert "What is my cat called?" in chain.memories()[0]
    ask("bob", "one", "What is my cat called?")
    assert "Mia" in chain.memories()[0]
    assert "Otto" not in str(chain.prompts[-1])
    said = [(m.session_id, m.role) for m in with_cats.messages(scope="ann", after=1)]
    assert said == [
        (name, role) for name in ("one", "one", "two") for role in ("user", "assistant")
    ]


def test_a_retriever_gives_documents_of_one_user(with_cats: MemoryScope) -> None:
    retriever = MemoryRetriever(memory=SessionMemory(with_cats, user_id="ann"))
    found = retriever.invoke("What is my cat called?")
    assert found == asyncio.run(retriever.ainvoke("What is my cat called?"))
    assert found[0].page_content.startswith("My cat is called Otto")
    assert all("<" not in each.page_content for each in found)
    assert "Mia" not in str(found)
    assert set(found[0].metadata) == {"id", "score", "kind", "said_at"}
    text = recalling(SessionMemory(with_cats, user_id="ann")).invoke("What is my cat called?")
    assert "Otto" in fenced(text)[0]
    with pytest.raises(InvalidInput, match="no MemoryChatHistory"):
        recalling().invoke("cat?")


def test_a_memory_of_the_callers_own_loop_is_for_async_calls(tmp_path: Path) -> None:
    async def talk() -> None:
        async with await AsyncMemoryScope.open(
            tmp_path / "memory.db", embedder=HashEmbedder()
        ) as store:
            history = MemoryChatHistory(SessionMemory(store, user_id="ann"))
            await history.aadd_messages([HumanMessage("hello")])
            assert await history.aget_messages() == [HumanMessage("hello")]
            with pytest.raises(InvalidInput, match="async calls only"):
                _ = history.messages
            await history.aclear()
            assert await history.aget_messages() == []

    asyncio.run(talk())


def test_a_broken_store_costs_the_chain_nothing_but_memories(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chain = Chain(door := MemoryDoor(break_store(tmp_path)))
    with caplog.at_level(logging.WARNING):
        reply = chain.runnable.invoke({"question": "secret words"}, ids("ann", "one"))
    assert reply == AIMessage("I see.")
    assert chain.memories() == []
    # the history, the search, the turn: a line each
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    assert "StoreCorrupt" in caplog.text
    assert "secret" not in caplog.text
    asyncio.run(door.close())


def test_the_log_holds_plain_json(store: MemoryScope) -> None:
    history = MemoryChatHistory(SessionMemory(store, user_id="ann"))
    history.add_message(HumanMessage("hello", id="1"))
    (message,) = store.messages(scope="ann")
    kept = json.loads(str(message.metadata["langchain"]))
    assert kept["type"] == "human"
    assert kept["data"]["id"] == "1"
    assert "content" not in kept["data"]
