"""OpenAI Agents SDK (extra ``openai-agents``): a session that remembers beyond itself.

A ``Session`` of the SDK is the history of one conversation. :class:`MemorySession` wraps one,
records what goes into it, and recalls what matters of all earlier ones before each run's model
calls, by :meth:`~MemorySession.run_config`; what is recalled goes into no history.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

try:
    from agents import RunConfig, SessionSettings, SQLiteSession, TResponseInputItem
    from agents.memory import Session
    from agents.run import CallModelData, ModelInputData
except ImportError as error:
    from memoryscope_rag.errors import MissingExtra

    raise MissingExtra("openai-agents", "memory for the OpenAI Agents SDK") from error

from memoryscope_rag.adapters.session_memory import SessionMemory, Turn


class MemorySession:
    """The memory of one user in one conversation, whose history ``inner`` keeps.

    Without ``inner`` the history is the SDK's own in this process. Use both halves:
    ``Runner.run(agent, text, session=session, run_config=session.run_config())``.
    """

    session_settings: SessionSettings | None = None

    def __init__(self, memory: SessionMemory, inner: Session | None = None) -> None:
        self.memory = memory
        self._inner: Session = inner or SQLiteSession(memory.session_id)
        self.session_id = self._inner.session_id
        self._asked: tuple[str, str] = ("", "")

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """The history, the last ``limit`` items of it."""
        return list(await self._inner.get_items(limit))

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Add to the history, and record what user and agent said."""
        await self._inner.add_items(items)
        turns = [_turn(item) for item in items]
        await self.memory.record([turn for turn in turns if turn is not None])

    async def pop_item(self) -> TResponseInputItem | None:
        """Take the last item out of the history; what was recorded stays in memory."""
        return await self._inner.pop_item()

    async def clear_session(self) -> None:
        """Clear the history; what was recorded stays in memory."""
        await self._inner.clear_session()

    def run_config(self, config: RunConfig | None = None) -> RunConfig:
        """``config``, in which the model is also shown what matters to the user's last message."""
        config = config or RunConfig()
        before = config.call_model_input_filter

        async def recall(data: CallModelData[Any]) -> ModelInputData:
            given = data.model_data
            if before is not None:
                filtered = before(data)
                given = await filtered if inspect.isawaitable(filtered) else filtered
            return await self._with_memories(given)

        return dataclasses.replace(config, call_model_input_filter=recall)

    async def close(self) -> None:
        """Finish what is being recorded, and close the application unless it was lent."""
        await self.memory.close()

    async def _with_memories(self, data: ModelInputData) -> ModelInputData:
        items = list(data.input)
        turns = [_turn(item) for item in items]
        asked = [place for place, turn in enumerate(turns) if turn and turn.role == "user"]
        if not asked:
            return data
        turn = turns[asked[-1]]
        query = turn.content if turn is not None else ""
        if self._asked[0] != query:  # a run asks the model once more after every tool
            self._asked = (query, (await self.memory.recall(query)).text)
        text = self._asked[1]
        if text:
            items.insert(asked[-1], {"role": "user", "content": text})
        return ModelInputData(input=items, instructions=data.instructions)


def _turn(item: TResponseInputItem) -> Turn | None:
    """What a user or an agent said; ``None`` for calls of tools, their results and reasoning."""
    fields: dict[str, Any] = dict(item)
    if fields.get("type", "message") != "message":
        return None
    content = fields.get("content")
    parts = [] if isinstance(content, str) else content or []
    text = content if isinstance(content, str) else "\n".join(p.get("text") or "" for p in parts)
    # its id is no name: behind Chat Completions all items have the same one
    if fields.get("role") == "user":
        return Turn("user", text)
    return Turn("assistant", text) if fields.get("role") == "assistant" else None
