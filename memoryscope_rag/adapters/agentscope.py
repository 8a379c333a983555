"""AgentScope 2.x (extra ``agentscope``): a middleware that recalls, records and offers tools."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, Literal

try:
    from agentscope.event import ReplyStartEvent
    from agentscope.message import AssistantMsg, HintBlock, Msg, TextBlock
    from agentscope.middleware import MiddlewareBase
    from agentscope.permission import PermissionBehavior, PermissionDecision
    from agentscope.tool import FunctionTool, ToolBase, ToolChunk
except ImportError as error:
    from memoryscope_rag.errors import MissingExtra

    raise MissingExtra("agentscope", "memory for AgentScope 2") from error

from memoryscope_rag.adapters import tools
from memoryscope_rag.adapters.session_memory import SessionMemory, Turn, time_of
from memoryscope_rag.errors import InvalidInput

NAME: Final = "memory"
"""Who speaks where memories stand in the agent's context."""
Mode = Literal["static_control", "agent_control", "both"]


class MemoryMiddleware(MiddlewareBase):
    """The memory of one user for an AgentScope agent.

    Before each reply what matters to the user's message is put before it in the agent's context, in
    the place of what was put there for the last one. Both sides of the turn are recorded. With
    ``mode="agent_control"`` the model searches by the tools instead, with ``"both"`` besides: they
    go into the toolkit, ``Toolkit(tools=await middleware.list_tools())``.

    Unless the memory's session was named, the agent's own is recorded: a state that is loaded goes
    on with its conversation.
    """

    def __init__(self, memory: SessionMemory, *, mode: Mode = "static_control") -> None:
        if mode not in ("static_control", "agent_control", "both"):
            raise InvalidInput(
                "mode", f"{mode!r} is none of static_control, agent_control and both"
            )
        self.session = memory
        self.mode = mode

    async def on_reply(
        self,
        agent: Any,
        input_kwargs: dict[str, Any],
        next_handler: Callable[..., AsyncGenerator[Any, None]],
    ) -> AsyncGenerator[Any, None]:
        """Recall, record what the user said, let the agent reply, record the reply."""
        if self.session.state.session_id is None:
            self.session.session_id = agent.state.session_id
        given = input_kwargs.get("inputs")
        msgs = given if isinstance(given, list) else [given]  # not messages where a reply goes on
        said = [msg for msg in msgs if isinstance(msg, Msg)]
        memories = ""
        if self.mode != "agent_control":
            query = "\n".join(_text(msg) for msg in said if msg.role == "user")
            memories = (await self.session.recall(query)).text
        await self.session.record([_turn(msg) for msg in said])
        reply: Msg | None = None
        try:
            async for item in next_handler(**input_kwargs):
                if isinstance(item, ReplyStartEvent) and said:
                    _show(agent.state.context, memories, before=said[0].id)
                if isinstance(item, Msg) and item.role == "assistant":
                    reply = item
                yield item
        finally:
            if reply is not None:
                await self.session.record([_turn(reply)])

    async def on_system_prompt(self, agent: Any, current_prompt: str) -> str:
        """Mention the tools where the model has them."""
        if self.mode == "static_control":
            return current_prompt
        return f"{current_prompt}\n\n{tools.NUDGE}"

    async def list_tools(self) -> list[ToolBase]:
        """``search_memory`` and ``add_memory``, unless the mode is ``static_control``."""
        if self.mode == "static_control":
            return []

        async def search_memory(keywords: list[str], limit: int = 5) -> ToolChunk:
            """Search what was said in earlier conversations with this user.

            Args:
                keywords: What to look for: names, dates, places, or short questions.
                limit: How many memories at most.
            """
            return _chunk(await tools.search(self.session, keywords, limit))

        async def add_memory(content: list[str]) -> ToolChunk:
            """Keep lasting facts about the user: who, what, when, where and why.

            Args:
                content: The facts, one full sentence each, that can be understood alone.
            """
            return _chunk(await tools.add(self.session, content))

        allowed = PermissionDecision(
            behavior=PermissionBehavior.ALLOW, message="the agent's own memory"
        )
        return [
            FunctionTool(search_memory, is_read_only=True, permission=allowed),
            FunctionTool(add_memory, permission=allowed),
        ]

    async def close(self) -> None:
        """Finish what is being recorded, and close the application unless it was lent."""
        await self.session.close()


def _show(context: list[Msg], memories: str, *, before: str) -> None:
    """Put ``memories`` before the message of that id, and take older ones out."""
    context[:] = [msg for msg in context if not _is_ours(msg)]
    if memories:
        place = next((n for n, msg in enumerate(context) if msg.id == before), len(context))
        # users' messages hold no hints; the formatter shows a hint as a user's message all the same
        context.insert(place, AssistantMsg(name=NAME, content=[HintBlock(hint=memories)]))


def _is_ours(msg: Msg) -> bool:
    return msg.name == NAME and all(isinstance(block, HintBlock) for block in msg.content)


def _turn(msg: Msg) -> Turn:
    user = msg.role == "user"
    speaker = msg.name if user and msg.name.casefold() != "user" else None
    return Turn(
        "user" if user else "assistant", _text(msg), msg.id, speaker, time_of(msg.created_at)
    )


def _text(msg: Msg) -> str:
    return msg.get_text_content() or ""


def _chunk(text: str) -> ToolChunk:
    return ToolChunk(content=[TextBlock(text=text)])
