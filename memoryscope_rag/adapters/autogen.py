"""AutoGen 0.7 (extra ``autogen``): a ``Memory`` that is read, and the model context that writes it.

AutoGen asks a memory at the beginning of each run and never tells it anything; what is said passes
through the agent's model context. So there are two parts, joined when they meet in a run:
:class:`AutoGenMemory` and :class:`RecordingContext`. :meth:`AutoGenMemory.attach` gives an agent
both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Self, TypeGuard

try:
    from autogen_core import CancellationToken, Component, ComponentModel
    from autogen_core.memory import (
        Memory,
        MemoryContent,
        MemoryMimeType,
        MemoryQueryResult,
        UpdateContextResult,
    )
    from autogen_core.model_context import (
        ChatCompletionContext,
        ChatCompletionContextState,
        UnboundedChatCompletionContext,
    )
    from autogen_core.models import AssistantMessage, LLMMessage, SystemMessage, UserMessage
except ImportError as error:
    from memoryscope_rag.errors import MissingExtra

    raise MissingExtra("autogen", "memory for AutoGen") from error

from pydantic import BaseModel

from memoryscope_rag.adapters.session_memory import (
    Recalled,
    SessionMemory,
    SessionState,
    Turn,
    described,
)
from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.operations.chat_prompt import CLOSE, OPEN, as_data

SOURCE: Final = "memory"
"""Who speaks where memories are shown as a user's message."""


class AutoGenMemoryConfig(SessionState):
    """An :class:`AutoGenMemory` as a component."""

    inject_as: Literal["user", "system"] = "user"


class AutoGenMemory(Memory, Component[AutoGenMemoryConfig]):
    """The memory of one user for an AutoGen agent.

    One message with what matters to the last thing the user said stands before it in the model
    context; the next run's takes its place. ``inject_as`` is its role: ``"user"`` suits every
    model, ``"system"`` those whose ``model_info`` has ``multiple_system_messages``.
    """

    component_type = "memory"
    component_config_schema = AutoGenMemoryConfig
    component_provider_override = "memoryscope_rag.adapters.autogen.AutoGenMemory"

    def __init__(
        self, memory: SessionMemory, *, inject_as: Literal["user", "system"] = "user"
    ) -> None:
        if inject_as not in ("user", "system"):
            raise InvalidInput("inject_as", f"{inject_as!r} is neither 'user' nor 'system'")
        self.session = memory
        self.inject_as = inject_as

    def attach(self, agent: Any) -> None:
        """Give an ``AssistantAgent`` this memory, and a context that records what it goes through.

        It is for an agent that was built without; a new one takes ``memory=[memory]`` and
        ``model_context=RecordingContext()``. Raises InvalidInput for what is no such agent.
        """
        if not isinstance(getattr(agent, "_model_context", None), ChatCompletionContext):
            raise InvalidInput("agent", f"a {type(agent).__name__} has no model context")
        if not isinstance(agent._model_context, RecordingContext):
            agent._model_context = RecordingContext(agent._model_context)
        agent._memory = [*(agent._memory or ()), self]

    async def update_context(self, model_context: ChatCompletionContext) -> UpdateContextResult:
        """Put what matters to the user's last message before it."""
        if isinstance(model_context, RecordingContext):
            await model_context.recorded_by(self.session)
        messages = await model_context.get_messages()
        asked = next((message for message in reversed(messages) if _said(message)), None)
        found = await self.session.recall(_words(asked)) if asked is not None else Recalled()
        shown = self._message(found.text) if found.text else None
        if isinstance(model_context, RecordingContext):
            model_context.show(shown)
        else:
            await _replace(model_context, shown)
        return UpdateContextResult(memories=MemoryQueryResult(results=_contents(found)))

    async def query(
        self,
        query: str | MemoryContent,
        cancellation_token: CancellationToken | None = None,
        **kwargs: Any,
    ) -> MemoryQueryResult:
        """Memories for ``query``, best first; ``metadata`` has their id, score, kind and time."""
        text = query if isinstance(query, str) else _content_text(query)
        return MemoryQueryResult(results=_contents(await self.session.recall(text)))

    async def add(
        self, content: MemoryContent, cancellation_token: CancellationToken | None = None
    ) -> None:
        """Keep a fact as a note. Raises InvalidInput for what is no text, StoreError."""
        text = _content_text(content)
        scope = self.session.scope
        await self.session.door.call(lambda memory: memory.add_note(text, scope=scope))

    async def clear(self) -> None:
        """Forget everything of this user and agent. Raises StoreError."""
        scope = self.session.scope
        await self.session.door.call(lambda memory: memory.forget(scope=scope, everything=True))

    async def close(self) -> None:
        """Finish what is being recorded, and close the application unless it was lent."""
        await self.session.close()

    def _message(self, text: str) -> LLMMessage:
        if self.inject_as == "system":
            return SystemMessage(content=text)
        return UserMessage(content=text, source=SOURCE)

    def _to_config(self) -> AutoGenMemoryConfig:
        return AutoGenMemoryConfig(**self.session.state.model_dump(), inject_as=self.inject_as)

    @classmethod
    def _from_config(cls, config: AutoGenMemoryConfig) -> Self:
        state = SessionState(**config.model_dump(exclude={"inject_as"}))
        return cls(SessionMemory.from_state(state), inject_as=config.inject_as)


class RecordingContextConfig(BaseModel):
    """A :class:`RecordingContext` as a component."""

    inner: ComponentModel
    people: list[str] | None = None


class RecordingContext(ChatCompletionContext, Component[RecordingContextConfig]):
    """A model context that records what is added to it, once a memory has joined it in a run.

    ``inner`` keeps the messages, and decides which of them the model is shown. ``people`` are the
    sources of messages that are users; other agents in a team are recorded as assistants then.
    """

    component_config_schema = RecordingContextConfig
    component_provider_override = "memoryscope_rag.adapters.autogen.RecordingContext"

    def __init__(
        self, inner: ChatCompletionContext | None = None, *, people: Sequence[str] | None = None
    ) -> None:
        super().__init__()
        self._inner = inner or UnboundedChatCompletionContext()
        self._people = None if people is None else list(people)
        self._session: SessionMemory | None = None
        self._held: list[Turn] = []
        self._memory: LLMMessage | None = None

    async def recorded_by(self, session: SessionMemory) -> None:
        """Record in ``session`` from now on, and what was added since this was made."""
        self._session = session
        held, self._held = self._held, []
        await session.record(held)

    def show(self, memory: LLMMessage | None) -> None:
        """Show the model this message of memories before the user's last one."""
        self._memory = memory

    async def add_message(self, message: LLMMessage) -> None:
        """Add a message; record it if a user or an agent said it."""
        await self._inner.add_message(message)
        turn = self._turn(message)
        if turn is None:
            return
        if self._session is None:
            self._held.append(turn)
        else:
            await self._session.record([turn])

    async def get_messages(self) -> list[LLMMessage]:
        """What the inner context shows, with the memories before the last thing the user said."""
        return _with(await self._inner.get_messages(), self._memory)

    async def clear(self) -> None:
        """Clear the context; what was recorded stays in memory."""
        self._memory = None
        await self._inner.clear()

    async def save_state(self) -> Mapping[str, Any]:
        """The state of the inner context."""
        return dict(await self._inner.save_state())

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there; nothing of it is recorded again."""
        self._memory = None
        await self._inner.load_state(state)

    def _turn(self, message: LLMMessage) -> Turn | None:
        if isinstance(message, AssistantMessage) and isinstance(message.content, str):
            return Turn("assistant", message.content)
        if not _said(message):
            return None
        name = message.source
        person = self._people is None or name in self._people
        # AutoGen's own name for whoever started the run is no name
        speaker = None if name == "user" else name
        return Turn("user" if person else "assistant", _words(message), speaker=speaker)

    def _to_config(self) -> RecordingContextConfig:
        return RecordingContextConfig(inner=self._inner.dump_component(), people=self._people)

    @classmethod
    def _from_config(cls, config: RecordingContextConfig) -> Self:
        inner = ChatCompletionContext.load_component(config.inner)
        return cls(inner, people=config.people)


def is_ours(message: LLMMessage) -> bool:
    """Whether this is a message of memories, also one of another process."""
    text = message.content
    return (
        isinstance(text, str)
        and (isinstance(message, SystemMessage) or getattr(message, "source", None) == SOURCE)
        and f"\n{OPEN}\n" in text
        and text.endswith(f"\n{CLOSE}")
    )


def _said(message: LLMMessage) -> TypeGuard[UserMessage]:
    """Whether a user, or another agent, said this."""
    return isinstance(message, UserMessage) and not is_ours(message) and bool(_words(message))


def _words(message: LLMMessage) -> str:
    parts = [message.content] if isinstance(message.content, str) else message.content
    return "\n".join(part for part in parts if isinstance(part, str))


def _with(messages: Sequence[LLMMessage], memory: LLMMessage | None) -> list[LLMMessage]:
    """``messages`` with ``memory`` before the last thing that was said, and no older memories."""
    kept = [message for message in messages if not is_ours(message)]
    if memory is not None:
        said = [place for place, message in enumerate(kept) if _said(message)]
        kept.insert(said[-1] if said else len(kept), memory)
    return kept


async def _replace(context: ChatCompletionContext, memory: LLMMessage | None) -> None:
    # by its state: what a buffered context shows, and clear() keeps, is not all of it
    held = ChatCompletionContextState.model_validate(await context.save_state())
    wanted = _with(held.messages, memory)
    if wanted != held.messages:
        await context.load_state(ChatCompletionContextState(messages=wanted).model_dump())


def _contents(found: Recalled) -> list[MemoryContent]:
    return [
        MemoryContent(
            content=as_data(item.node.content),
            mime_type=MemoryMimeType.TEXT,
            metadata=described(item),
        )
        for item in found.items
    ]


def _content_text(content: MemoryContent) -> str:
    if isinstance(content.content, str):
        return content.content
    if isinstance(content.content, dict):
        return json.dumps(content.content, ensure_ascii=False)
    raise InvalidInput("content", f"{content.mime_type} is no text; text, Markdown and JSON are")
