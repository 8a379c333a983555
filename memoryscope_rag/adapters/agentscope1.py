"""AgentScope 1.x (extra ``agentscope1``): long-term memory for its ``ReActAgent``."""

from __future__ import annotations

from typing import Any, Final

try:
    from agentscope.memory import LongTermMemoryBase
    from agentscope.message import Msg, TextBlock
    from agentscope.tool import ToolResponse
except ImportError as error:
    from memoryscope_rag.errors import MissingExtra

    raise MissingExtra("agentscope1", "memory for AgentScope 1") from error

from memoryscope_rag.adapters import tools
from memoryscope_rag.adapters.session_memory import SessionMemory, Turn, time_of

RETRIEVED: Final = "long_term_memory"
"""The name under which the agent puts what was retrieved into the conversation."""


class AgentScopeLongTermMemory(LongTermMemoryBase):
    """The memory of one user for an AgentScope agent, in every ``long_term_memory_mode``.

    The agent hands in the whole conversation after each reply; what is known of it is passed over.
    Its state is the session: a conversation that is loaded goes on.
    """

    def __init__(self, memory: SessionMemory) -> None:
        super().__init__()
        self.session = memory

    async def record(self, msgs: list[Msg | None], **kwargs: Any) -> None:
        """Record the texts of users and agents."""
        await self.session.record([_turn(msg) for msg in msgs if msg is not None and _said(msg)])

    async def retrieve(
        self, msg: Msg | list[Msg] | None, limit: int | None = None, **kwargs: Any
    ) -> str:
        """Memories for the texts of ``msg``, fenced; empty where there are none."""
        asked = [one for one in (msg if isinstance(msg, list) else [msg]) if one is not None]
        query = "\n".join(_text(one) for one in asked if _said(one))
        return (await self.session.recall(query, limit=limit)).text

    async def record_to_memory(
        self, thinking: str, content: list[str], **kwargs: Any
    ) -> ToolResponse:
        """Keep lasting facts about the user: who, what, when, where and why, in full sentences.

        Args:
            thinking (`str`):
                Why this is worth remembering; it is not kept.
            content (`list[str]`):
                The facts, one sentence each, that can be understood alone.
        """
        return _response(await tools.add(self.session, content))

    async def retrieve_from_memory(
        self, keywords: list[str], limit: int = 5, **kwargs: Any
    ) -> ToolResponse:
        """Search what was said in earlier conversations with this user.

        Args:
            keywords (`list[str]`):
                What to look for: names, dates, places, or short questions.
            limit (`int`, optional):
                How many memories at most.
        """
        return _response(await tools.search(self.session, keywords, limit))

    async def close(self) -> None:
        """Finish what is being recorded, and close the application unless it was lent."""
        await self.session.close()

    def state_dict(self) -> dict[str, Any]:
        """The session, as plain JSON."""
        return {"session_id": self.session.session_id}

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True) -> None:
        """Go on with that session. Raises KeyError where ``strict`` and it is not named."""
        if strict or "session_id" in state_dict:
            self.session.session_id = str(state_dict["session_id"])


def _said(msg: Msg) -> bool:
    return msg.role in ("user", "assistant") and msg.name != RETRIEVED


def _turn(msg: Msg) -> Turn:
    user = msg.role == "user"
    speaker = msg.name if user and msg.name.casefold() != "user" else None
    return Turn(
        "user" if user else "assistant", _text(msg), msg.id, speaker, time_of(msg.timestamp)
    )


def _text(msg: Msg) -> str:
    return msg.get_text_content() or ""


def _response(text: str) -> ToolResponse:
    return ToolResponse(content=[TextBlock(type="text", text=text)])
