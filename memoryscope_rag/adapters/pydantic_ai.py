"""Pydantic AI 2 (extra ``pydantic-ai``): a capability that recalls, records and offers tools."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

try:
    from pydantic_ai import AgentRunResult, RunContext
    from pydantic_ai.capabilities import AbstractCapability
    from pydantic_ai.toolsets import FunctionToolset
except ImportError as error:
    from memoryscope_rag.errors import MissingExtra

    raise MissingExtra("pydantic-ai", "memory for Pydantic AI") from error

from memoryscope_rag.adapters import tools
from memoryscope_rag.adapters.session_memory import SessionMemory, Turn

MemoryOf = Callable[[RunContext[Any]], SessionMemory]


@dataclass
class MemoryCapability(AbstractCapability[Any]):
    """Memory for an agent: what matters to the prompt is in the instructions of the run.

    ``memory`` is one user's, or a function that gives the memory of a run, such as
    ``lambda ctx: SessionMemory(door, user_id=ctx.deps.user_id)``, for an agent that serves many.
    With ``tools`` the model can also search and add by itself.
    """

    memory: SessionMemory | MemoryOf
    tools: bool = False
    _run: SessionMemory | None = field(default=None, repr=False)
    _recalled: str | None = field(default=None, repr=False)

    async def for_run(self, ctx: RunContext[Any]) -> MemoryCapability:
        """The capability of one run; runs at the same time know nothing of each other."""
        memory = self.memory if isinstance(self.memory, SessionMemory) else self.memory(ctx)
        return replace(self, _run=memory, _recalled=None)

    def get_instructions(self) -> Callable[[RunContext[Any]], Any]:
        """The memories that matter to the prompt, fenced; asked for once a run."""

        async def memories(ctx: RunContext[Any]) -> str:
            if self._run is None:
                return ""
            if self._recalled is None:
                self._recalled = (await self._run.recall(_text(ctx.prompt))).text
            return "\n\n".join(part for part in (self._recalled, self._nudge()) if part)

        return memories

    def get_toolset(self) -> FunctionToolset[Any] | None:
        """``search_memory`` and ``add_memory`` where ``tools`` is set."""
        if not self.tools:
            return None
        toolset: FunctionToolset[Any] = FunctionToolset()
        toolset.add_function(self._search, name=tools.SEARCH, takes_ctx=False)
        toolset.add_function(self._add, name=tools.ADD, takes_ctx=False)
        return toolset

    async def before_run(self, ctx: RunContext[Any]) -> None:
        """Record what the user said."""
        if self._run is not None:
            await self._run.record([Turn("user", _text(ctx.prompt))])

    async def after_run(
        self, ctx: RunContext[Any], *, result: AgentRunResult[Any]
    ) -> AgentRunResult[Any]:
        """Record what the agent said, where that is text."""
        if self._run is not None and isinstance(result.output, str):
            await self._run.record([Turn("assistant", result.output)])
        return result

    def _nudge(self) -> str:
        return tools.NUDGE if self.tools else ""

    async def _search(self, keywords: list[str], limit: int = 5) -> str:
        """Search what was said in earlier conversations with this user.

        Args:
            keywords: What to look for: names, dates, places, or short questions.
            limit: How many memories at most.
        """
        return "" if self._run is None else await tools.search(self._run, keywords, limit)

    async def _add(self, content: list[str]) -> str:
        """Keep lasting facts about the user: who, what, when, where and why.

        Args:
            content: The facts, one full sentence each, that can be understood alone.
        """
        return "" if self._run is None else await tools.add(self._run, content)


def _text(prompt: Any) -> str:
    parts = [prompt] if isinstance(prompt, str) else prompt or ()
    return "\n".join(part for part in parts if isinstance(part, str))
