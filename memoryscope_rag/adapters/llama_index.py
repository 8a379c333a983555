"""LlamaIndex (extra ``llama-index``): a block of long-term memory for ``Memory``.

``Memory`` asks its blocks at every step, and tells them only what its queue has no room for. So
there are two parts: :class:`LongTermMemoryBlock` recalls, and :class:`RecordingChatStore` records
every message as it is added. :meth:`LongTermMemoryBlock.attach` gives a ``Memory`` both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

try:
    from llama_index.core.llms import ChatMessage, MessageRole
    from llama_index.core.memory import BaseMemoryBlock, Memory
    from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus
except ImportError as error:
    from memoryscope_rag.errors import MissingExtra

    raise MissingExtra("llama-index", "memory for LlamaIndex") from error

from pydantic import BeforeValidator, Field, PlainSerializer, PrivateAttr

from memoryscope_rag.adapters.session_memory import SessionMemory, SessionState, Turn


def _loaded(value: Any) -> Any:
    if isinstance(value, SessionMemory):
        return value
    return SessionMemory.from_state(SessionState.model_validate(value))


class LongTermMemoryBlock(BaseMemoryBlock[list[ChatMessage]]):
    """The memory of one user, for ``Memory.from_defaults(memory_blocks=[block])``.

    What matters to the user's last message is a user's message before the history, and never in
    the history itself. Turns are recorded in the ``Memory``'s session, unless ``memory`` names one.
    The block as JSON holds the place, the ids and the limits, and no secret.
    """

    name: str = "long_term_memory"
    memory: Annotated[
        SessionMemory,
        BeforeValidator(_loaded),
        PlainSerializer(lambda memory: memory.state.model_dump()),
    ] = Field(description="Whose memory it is.")
    _current: SessionMemory | None = PrivateAttr(default=None)
    _asked: tuple[tuple[str, ...], str] | None = PrivateAttr(default=None)

    def attach(self, memory: Memory) -> None:
        """Record all that is added to ``memory``, which has this block; once is enough."""
        if isinstance(memory.sql_store, RecordingChatStore):
            return
        memory.sql_store = RecordingChatStore(inner=memory.sql_store, block=self)
        self.accept_short_term_memory = False  # it is recorded by then

    async def record(self, messages: Sequence[ChatMessage], session_id: str | None = None) -> None:
        """Record what users and agents said."""
        await self._in(session_id).record(
            [_turn(message) for message in messages if _said(message)]
        )

    async def close(self) -> None:
        """Finish what is being recorded, and close the application unless it was lent."""
        await self.memory.close()

    async def _aget(
        self, messages: list[ChatMessage] | None = None, **block_kwargs: Any
    ) -> list[ChatMessage]:
        memory = self._in(block_kwargs.get("session_id"))
        shown = tuple(_words(message) for message in messages or () if _said(message))
        asked = [_words(m) for m in messages or () if m.role == MessageRole.USER]
        if not asked:
            return []
        asking = (memory.session_id, *shown)
        if self._asked is None or self._asked[0] != asking:  # a run asks anew after every tool
            self._asked = (asking, (await memory.recall(asked[-1], shown=shown)).text)
        text = self._asked[1]
        return [ChatMessage(role=MessageRole.USER, content=text)] if text else []

    async def _aput(self, messages: list[ChatMessage]) -> None:
        for message in messages:
            await self.record([message], message.additional_kwargs.get("session_id"))

    def _in(self, session_id: str | None) -> SessionMemory:
        if session_id is None or self.memory.state.session_id is not None:
            return self.memory
        if self._current is None or self._current.session_id != session_id:
            self._current = self.memory.in_session(session_id)
        return self._current


class RecordingChatStore(AsyncDBChatStore):
    """A chat store that also records what is added; ``inner`` keeps the history."""

    inner: AsyncDBChatStore
    block: LongTermMemoryBlock

    async def add_message(
        self, key: str, message: ChatMessage, status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Add a message to the history, and record it."""
        await self.inner.add_message(key, message, status)
        await self.block.record([message], key)

    async def add_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Add messages to the history, and record them."""
        await self.inner.add_messages(key, messages, status)
        await self.block.record(messages, key)

    async def get_messages(
        self,
        key: str,
        status: MessageStatus | None = MessageStatus.ACTIVE,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[ChatMessage]:
        """The history."""
        return list(await self.inner.get_messages(key, status, limit, offset))

    async def count_messages(
        self, key: str, status: MessageStatus | None = MessageStatus.ACTIVE
    ) -> int:
        """How long the history is."""
        return int(await self.inner.count_messages(key, status))

    async def set_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Replace the history. Nothing is recorded: most of it was there before."""
        await self.inner.set_messages(key, messages, status)

    async def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Take a message out of the history; what was recorded stays in memory."""
        return await self.inner.delete_message(key, idx)

    async def delete_messages(self, key: str, status: MessageStatus | None = None) -> None:
        """Clear the history; what was recorded stays in memory."""
        await self.inner.delete_messages(key, status)

    async def delete_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Take the oldest messages out of the history; they stay in memory."""
        return list(await self.inner.delete_oldest_messages(key, n))

    async def archive_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Put the oldest messages of the history aside."""
        return list(await self.inner.archive_oldest_messages(key, n))

    async def get_keys(self) -> list[str]:
        """The sessions of the history."""
        return list(await self.inner.get_keys())


def _said(message: ChatMessage) -> bool:
    return message.role in (MessageRole.USER, MessageRole.ASSISTANT) and bool(_words(message))


def _words(message: ChatMessage) -> str:
    return message.content or ""


def _turn(message: ChatMessage) -> Turn:
    return Turn("user" if message.role == MessageRole.USER else "assistant", _words(message))
