"""LangChain (extra ``langchain``): a chat history that is the memory's log, and what is recalled.

:class:`MemoryChatHistory` keeps a conversation, of which every message comes back as it was;
:func:`recalling` shows a chain what matters of all others; :class:`MemoryRetriever` gives the same
as documents.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

try:
    from langchain_core.callbacks import (
        AsyncCallbackManagerForRetrieverRun,
        CallbackManagerForRetrieverRun,
    )
    from langchain_core.chat_history import BaseChatMessageHistory
    from langchain_core.documents import Document
    from langchain_core.messages import (
        BaseMessage,
        ChatMessage,
        message_to_dict,
        messages_from_dict,
    )
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
except ImportError as error:
    from memoryscope_rag.errors import MissingExtra

    raise MissingExtra("langchain", "memory for LangChain") from error

from memoryscope_rag.adapters.session_memory import Recalled, SessionMemory, described
from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.operations.chat_prompt import as_data
from memoryscope_rag.schema import MAX_NAME, ROLES, Message, NewMessage, Role, utc_now

PIECE: Final = 30_000
"""Characters of a message's JSON in the metadata of one message of the log."""
KEPT: Final = "langchain"
"""Under which metadata the JSON is; the others say how many pieces it has, and whose one is."""
PIECES: Final = "langchain_pieces"
OF: Final = "langchain_of"
_ROLES: Final[Mapping[str, Role]] = {
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "tool",
}
_TYPES: Final[Mapping[Role, str]] = {"user": "human", "assistant": "ai", "system": "system"}


class MemoryChatHistory(BaseChatMessageHistory):
    """The messages of ``memory``'s session, for ``RunnableWithMessageHistory`` and by hand.

    The log of the memory is the history: messages of every type come back as they were added, in
    any process, and what others recorded in the session is among them. A memory that fails is a
    line in the log and no messages.
    """

    def __init__(self, memory: SessionMemory) -> None:
        super().__init__()
        self.memory = memory
        self.door = memory.door
        self._shown: tuple[str, ...] = ()

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override, unused-ignore]
        """As :meth:`aget_messages`, for callers without an event loop."""
        return self.door.run(self.aget_messages())

    async def aget_messages(self) -> list[BaseMessage]:
        """All messages of the session, oldest first; none where memory fails or is late."""
        logged = await self.memory.logged()
        self._shown = tuple(message.id for message in logged)
        return _from_log(logged)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """As :meth:`aadd_messages`, for callers without an event loop."""
        self.door.run(self.aadd_messages(messages))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Record ``messages``. Raises InvalidInput for one that JSON or UTF-8 cannot carry."""
        session_id = self.memory.session_id
        await self.memory.log([new for each in messages for new in _to_log(each, session_id)])

    def clear(self) -> None:
        """As :meth:`aclear`, for callers without an event loop."""
        self.door.run(self.aclear())

    async def aclear(self) -> None:
        """Forget the session and what rests on it alone. Raises StoreError."""

        async def forget(memory: AsyncMemoryScope) -> None:
            await memory.forget(scope=self.memory.scope, session_id=self.memory.session_id)

        await self.door.call(forget)

    async def recall(self, query: str) -> Recalled:
        """What matters to ``query``, besides the messages that were read last."""
        return await self.memory.in_session(self.memory.session_id, self._shown).recall(query)


def recalling(memory: SessionMemory | None = None) -> Runnable[str, str]:
    """A step of a chain: a query to the memories for its prompt, fenced, or to an empty text.

    Without ``memory`` it is that of the run's :class:`MemoryChatHistory`, so that one chain serves
    many users; ``RunnableWithMessageHistory`` has to be around it.
    """

    def of(config: RunnableConfig) -> SessionMemory | MemoryChatHistory:
        found = memory or config.get("configurable", {}).get("message_history")
        if not isinstance(found, SessionMemory | MemoryChatHistory):
            raise InvalidInput("memory", "is not given, and the run has no MemoryChatHistory")
        return found

    async def recall(query: str, config: RunnableConfig) -> str:
        return (await of(config).recall(query)).text

    def blocking(query: str, config: RunnableConfig) -> str:
        return of(config).door.run(recall(query, config))

    return RunnableLambda(blocking, afunc=recall, name="recall")


class MemoryRetriever(BaseRetriever):
    """Memories as documents, best first; ``metadata`` has their id, score, kind and time.

    Their text holds no angle bracket, so that none can close a fence around them.
    """

    memory: SessionMemory

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return _documents(self.memory.door.run(self.memory.recall(query)))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        return _documents(await self.memory.recall(query))


def _documents(found: Recalled) -> list[Document]:
    return [Document(as_data(item.node.content), metadata=described(item)) for item in found.items]


def _to_log(message: BaseMessage, session_id: str) -> list[NewMessage]:
    """``message`` for the log: its text, and the rest as JSON beside it.

    What is too long to stand beside a text goes on in messages without any.
    """
    kept = message_to_dict(message)
    text = str(message.text).encode(errors="replace").decode()
    if kept["data"]["content"] == text:
        del kept["data"]["content"]
    try:
        whole = json.dumps(kept)
    except (TypeError, ValueError) as error:
        raise InvalidInput("message", f"is no JSON: {error}") from None
    pieces = [whole[start : start + PIECE] for start in range(0, len(whole), PIECE)]
    role = _ROLES.get(message.type.removesuffix("MessageChunk").lower(), "user")
    if isinstance(message, ChatMessage) and message.role in ROLES:
        role = message.role
    name = message.name if role == "user" else None
    first = NewMessage(
        id=uuid.uuid4().hex,
        session_id=session_id,
        role=role,
        content=text,
        created_at=utc_now(),
        speaker=name if name and name.isprintable() and len(name) <= MAX_NAME else None,
        metadata={KEPT: pieces[0], PIECES: len(pieces)},
    )
    following = [
        replace(
            first,
            id=uuid.uuid4().hex,
            content="",
            metadata={KEPT: piece, OF: first.id},
        )
        for piece in pieces[1:]
    ]
    return [first, *following]


def _from_log(logged: Iterable[Message]) -> list[BaseMessage]:
    kept: list[tuple[Message, list[str]]] = []
    for message in logged:
        piece, first = (message.metadata.get(name) for name in (KEPT, OF))
        if first is None:
            kept.append((message, [] if piece is None else [str(piece)]))
        elif kept and kept[-1][0].id == first:
            kept[-1][1].append(str(piece))
    return [
        # a piece may have been forgotten
        _message(first, "".join(pieces) if len(pieces) == first.metadata.get(PIECES) else "")
        for first, pieces in kept
    ]


def _message(logged: Message, whole: str) -> BaseMessage:
    if whole:
        kept = json.loads(whole)
        kept["data"].setdefault("content", logged.content)
    elif logged.role in _TYPES:
        data = {"content": logged.content, "name": logged.speaker}
        kept = {"type": _TYPES[logged.role], "data": data}
    else:  # whose call it answers is not known
        kept = {"type": "chat", "data": {"content": logged.content, "role": logged.role}}
    return messages_from_dict([kept])[0]
