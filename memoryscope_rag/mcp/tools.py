"""The five tools: what each does with the memory of one scope, answered in words for a model."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.errors import UnknownId
from memoryscope_rag.indexing import piece_id
from memoryscope_rag.mcp.arguments import Arguments, Forget, List, Recall, Remember, Why
from memoryscope_rag.mcp.showing import LONG, belief, message_lines, node_lines, signals, told
from memoryscope_rag.schema import KINDS, Kind, MemoryNode, Scope, utc_now
from memoryscope_rag.workers.prompts import Prompts

FACTS: Final[tuple[Kind, ...]] = tuple(kind for kind in KINDS if kind != "conversation")
NOTHING: Final = "Nothing is remembered about this."
TURNS = 50
"""Turns of one page of the history."""
SEARCHED = 50
"""Memories among which ``why`` looks for the one that it explains."""
BEHIND = 10
"""Memories and earlier contents that ``why`` shows at most, of each."""


class ScopeTools:
    """What the tools do, for one scope of an open memory.

    Each method answers with text in which whatever was stored stands between fences. They raise
    what the memory raises.
    """

    def __init__(self, memory: AsyncMemoryScope, scope: Scope) -> None:
        self._memory, self._scope = memory, scope
        self._zone = ZoneInfo(memory.config.time_zone)
        self._prompts = Prompts.load(memory.config.prompts)

    async def remember(self, fact: Remember) -> str:
        """Keep a fact as a note; the same again is the note that is there."""
        said_at = fact.said_at
        if said_at is not None and said_at.tzinfo is None:
            said_at = said_at.replace(tzinfo=self._zone)
        node = await self._memory.add_note(fact.content, scope=self._scope, said_at=said_at)
        return f"Kept as {node.id}."

    async def recall(self, question: Recall) -> str:
        """The memories that matter to a question, in order of time."""
        found = await self._memory.retrieve(question.query, scope=self._scope, limit=question.limit)
        return self._told(found.text.split("\n"), question.query) if found.text else NOTHING

    async def list_(self, page: List) -> str:
        """A page of what is remembered, oldest first."""
        kinds = FACTS if page.kind is None else (page.kind,)
        found = await self._memory.list(
            scope=self._scope, kinds=kinds, cursor=page.cursor, limit=page.limit
        )
        if not found.items:
            return "Nothing is remembered." if page.cursor is None else "That was all."
        shown = self._told(node_lines(found.items, self._zone))
        if found.cursor is None:
            return shown
        return f"{shown}\n\nThere is more: call list again with the cursor {found.cursor}"

    async def forget(self, choice: Forget) -> str:
        """Remove facts, and messages with all that rests on them; nothing if an id is unknown."""
        facts: list[str] = []
        messages: list[str] = []
        for name in dict.fromkeys(choice.ids):
            try:
                node = await self._memory.get(name, scope=self._scope)
            except UnknownId:
                messages.append(name)
            else:
                (messages if node.kind == "conversation" else facts).append(_name(node))
        proof = ""
        if messages:  # first: it removes nothing when one of them is not there
            messages = list(dict.fromkeys(messages))
            gone = await self._memory.forget(scope=self._scope, message_ids=messages)
            if not gone.proven:
                return "Removed, but the search afterwards still found traces. Try again."
            proof = " A search afterwards found nothing of the messages."
        for name in facts:
            with contextlib.suppress(UnknownId):  # it rested on one of the messages
                await self._memory.delete(name, scope=self._scope)
        return f"Removed {len(messages)} messages and {len(facts)} facts for good.{proof}"

    async def why(self, memory: Why) -> str:
        """What a memory rests on, what it said earlier, and what speaks for it in a search."""
        node = await self._node(memory.id)
        parts = [belief(node, self._zone)]
        lines = node_lines([node], self._zone, LONG)
        behind = [] if node.kind == "conversation" else await self._behind(node)
        if behind:
            parts.append("The lines after the first are what it rests on.")
            lines += node_lines(behind, self._zone, LONG)
        if node.version > 1:
            earlier = (await self._memory.history(node.id, scope=self._scope))[:-1][-BEHIND:]
            parts.append(f"The last {len(earlier)} lines are what it said earlier, oldest first.")
            lines += node_lines(earlier, self._zone, LONG)
        if memory.query is not None:
            parts.append(await self._found(node, memory.query))
        return f"{' '.join(parts)}\n\n{self._told(lines)}"

    async def history(self, after: int) -> str:
        """A page of what was said, oldest first, from the turn after number ``after`` on."""
        turns = await self._memory.messages(scope=self._scope, after=after, limit=TURNS)
        if not turns:
            return "That was all." if after else "Nothing was said yet."
        shown = self._told(message_lines(turns, self._zone, LONG // 4))
        more = f"\n\nThe next page is memory://history/{turns[-1].seq}"
        return shown + (more if len(turns) == TURNS else "")

    def _told(self, lines: list[str], query: str = "") -> str:
        return told(self._prompts, lines, now=utc_now().astimezone(self._zone), query=query)

    async def _node(self, name: str) -> MemoryNode:
        """The node of that id, or the beginning of the message of that id. Raises UnknownId."""
        with contextlib.suppress(UnknownId):
            return await self._memory.get(name, scope=self._scope)
        with contextlib.suppress(UnknownId):
            return await self._memory.get(piece_id(name, 0), scope=self._scope)
        raise UnknownId("id", f"no memory or message {name!r}; the other tools show ids")

    async def _behind(self, node: MemoryNode) -> list[MemoryNode]:
        found = []
        for name in node.provenance[:BEHIND]:
            with contextlib.suppress(UnknownId):  # forgotten meanwhile
                found.append(await self._node(name))
        return found

    async def _found(self, node: MemoryNode, query: str) -> str:
        evidence = await self._memory.retrieve(
            query, scope=self._scope, limit=SEARCHED, floor=False, explain=True
        )
        for rank, item in enumerate(evidence.items, 1):
            if _name(item.node) == _name(node):
                return signals(item, rank, len(evidence))
        return f"It is not among the {len(evidence)} memories that a search for this finds."


def _name(node: MemoryNode) -> str:
    """The id that forgetting takes: of the message for a turn, else its own."""
    return node.provenance[0] if node.kind == "conversation" else node.id


@dataclass(frozen=True)
class Tool:
    """A tool as the model is told of it. ``writes`` and ``removes`` are what it may change."""

    title: str
    description: str
    arguments: type[Arguments]
    run: Callable[[ScopeTools, Any], Awaitable[str]]
    writes: bool = False
    removes: bool = False


TOOLS: Final = {
    "remember": Tool(
        "Remember a fact",
        "Keep a lasting fact about the user for later conversations, word for word: who they are, "
        "what they like, what they plan. The same fact again changes nothing.",
        Remember,
        ScopeTools.remember,
        writes=True,
    ),
    "recall": Tool(
        "Recall memories",
        "Find what matters to a question among everything remembered about the user. Call it "
        "before saying that you do not know something about them. Dates such as 'last week' are "
        "understood.",
        Recall,
        ScopeTools.recall,
    ),
    "list": Tool(
        "List memories",
        "Show what is remembered about the user, oldest first, a page at a time.",
        List,
        ScopeTools.list_,
    ),
    "forget": Tool(
        "Forget memories",
        "Remove memories for good, by their ids; with a message also all that was drawn from it. "
        "Only when the user asks for it: it cannot be undone.",
        Forget,
        ScopeTools.forget,
        writes=True,
        removes=True,
    ),
    "why": Tool(
        "Explain a memory",
        "Where a memory comes from, what it said earlier, and, with a question, what speaks for it "
        "in the search.",
        Why,
        ScopeTools.why,
    ),
}
