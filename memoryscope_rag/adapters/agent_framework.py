"""Microsoft Agent Framework (extra ``agent-framework``): a context provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

try:
    from agent_framework import (
        AgentSession,
        ContextProvider,
        Message,
        SessionContext,
        SupportsAgentRun,
    )
except ImportError as error:
    from memoryscope_rag.errors import MissingExtra

    raise MissingExtra("agent-framework", "memory for Agent Framework") from error

from memoryscope_rag.adapters.session_memory import SessionMemory, Turn


class MemoryContextProvider(ContextProvider):
    """The memory of one user for an agent, in any number of its sessions.

    Before a run what matters to the input stands before it as a user's message, which no history
    keeps. The input is recorded then, the response after the run, both in the agent's session. What
    it knows of a session is in the session's state, as plain JSON.
    """

    def __init__(self, memory: SessionMemory, *, source_id: str = "memory") -> None:
        super().__init__(source_id)
        self.memory = memory

    async def before_run(
        self,
        *,
        agent: SupportsAgentRun,
        session: AgentSession,
        context: SessionContext,
        state: dict[str, Any],
    ) -> None:
        """Recall, and record what was said to the agent."""
        memory = self._in(session, state)
        said = context.input_messages
        query = "\n".join(message.text for message in said if message.role == "user")
        found = await memory.recall(query)
        if found.text:
            shown = Message(role="user", contents=[found.text])
            context.extend_messages(self, [shown])
        await self._record(memory, said, state)

    async def after_run(
        self,
        *,
        agent: SupportsAgentRun,
        session: AgentSession,
        context: SessionContext,
        state: dict[str, Any],
    ) -> None:
        """Record what the agent said."""
        if context.response is not None:
            await self._record(self._in(session, state), context.response.messages, state)

    async def close(self) -> None:
        """Finish what is being recorded, and close the application unless it was lent."""
        await self.memory.close()

    def _in(self, session: AgentSession, state: dict[str, Any]) -> SessionMemory:
        return self.memory.in_session(session.session_id, state.get("shown", ()))

    async def _record(
        self, memory: SessionMemory, messages: Sequence[Message], state: dict[str, Any]
    ) -> None:
        await memory.record([_turn(message) for message in messages if _said(message)])
        state["shown"] = list(memory.shown)


def _said(message: Message) -> bool:
    return message.role in ("user", "assistant")


def _turn(message: Message) -> Turn:
    user = message.role == "user"
    speaker = message.author_name if user else None
    return Turn("user" if user else "assistant", message.text, message.message_id, speaker)
