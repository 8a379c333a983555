"""The eight operations on a user's memory under one roof, callable by name.

For hosts that dispatch by name, and for those who come from MemoryScope: its operations under
their names, for any number of users and agents at once, with typed results and typed errors.
:class:`AsyncMemoryService` stands on an AsyncMemoryScope, :class:`MemoryService` on a MemoryScope;
neither keeps anything of its own or closes what it stands on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.errors import InvalidInput, UnknownId, suggest
from memoryscope_rag.operations.consolidate import ConsolidationReport
from memoryscope_rag.operations.reflect import ReflectionReport
from memoryscope_rag.ports import Forgotten, Page, Recorded
from memoryscope_rag.schema import (
    KINDS,
    Evidence,
    Kind,
    MemoryNode,
    Message,
    Metadata,
    NewMessage,
    Scope,
)
from memoryscope_rag.sync import MemoryScope

T = TypeVar("T")

OPERATIONS: Final = (
    "read_message",
    "retrieve_memory",
    "list_memory",
    "add_memory",
    "delete_memory",
    "delete_all",
    "consolidate_memory",
    "reflect_and_reconsolidate",
)
FACTS: Final[tuple[Kind, ...]] = ("observation", "note", "insight")
_PAGE = 500


class UnknownOperation(InvalidInput):
    """There is no operation of this name; the message names the ones there are."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """The receipt of a deletion.

    ``closed`` are facts that are kept but not believed any more. ``removed`` are facts that are
    gone with their history, ``forgotten`` what became of recorded messages, with the proof.
    """

    closed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    forgotten: Forgotten | None = None


class AsyncMemoryService:
    """See the module. Every operation takes the scope whose memory it works on."""

    def __init__(self, memory: AsyncMemoryScope) -> None:
        self._memory = memory

    async def run(self, operation: str, **arguments: Any) -> Any:
        """Run one of :data:`OPERATIONS` by its name; what it returns.

        Raises:
            UnknownOperation: no such name; the nearest one and all others are named.
            InvalidInput: an argument that the operation does not take, or that it lacks.
        """
        if operation not in OPERATIONS:
            raise UnknownOperation(
                "operation", f"no {operation!r}; {suggest(operation, OPERATIONS)}"
            )
        method = getattr(self, operation)
        signature = inspect.signature(method)
        for name in arguments:
            if name not in signature.parameters:
                raise InvalidInput(operation, f"no {name!r}; {suggest(name, signature.parameters)}")
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise InvalidInput(operation, str(error)) from None
        return await method(**arguments)

    async def add_messages(
        self, messages: Iterable[NewMessage], *, scope: Scope | str
    ) -> tuple[Recorded, ...]:
        """Record what was said, such as a question and its answer, in order of time.

        Durable when this returns, however many are still to be consolidated: nothing is dropped.
        With the same ids again it is harmless. Raises DuplicateId.
        """
        ordered = sorted(messages, key=lambda message: message.created_at)
        return await self._memory.record_many(ordered, scope=scope)

    async def read_message(
        self, *, scope: Scope | str, session_id: str | None = None, pairs: int | None = None
    ) -> tuple[Message, ...]:
        """The messages not consolidated yet, oldest first; the last ``pairs`` of them if given.

        A pair is a message of the user and what follows it.
        """
        if pairs is not None and pairs < 0:
            raise InvalidInput("pairs", "must not be negative")
        pending: list[Message] = []
        after = 0
        while batch := await self._memory.messages(
            scope=scope, session_id=session_id, after=after, limit=1000
        ):
            after = batch[-1].seq
            pending += [message for message in batch if message.state == "pending"]
        if pairs is not None:
            asked = [place for place, message in enumerate(pending) if message.role == "user"]
            if len(asked) > pairs:
                pending = pending[asked[-pairs] :] if pairs else []
        return tuple(pending)

    async def retrieve_memory(
        self,
        query: str,
        *,
        scope: Scope | str,
        now: datetime | None = None,
        kinds: Collection[Kind] = KINDS,
        limit: int | None = None,
        budget_ms: float | None = None,
        explain: bool = True,
    ) -> Evidence:
        """What matters to ``query``: items with ids, scores, times and sources, and ``text``."""
        return await self._memory.retrieve(
            query,
            scope=scope,
            now=now,
            kinds=kinds,
            limit=limit,
            budget_ms=budget_ms,
            explain=explain,
        )

    async def list_memory(
        self,
        *,
        scope: Scope | str,
        query: str | None = None,
        kinds: Collection[Kind] = FACTS,
        closed: bool = True,
        newest: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[MemoryNode]:
        """Facts by time, a page at a time; those with ``valid_to`` are not believed any more.

        With a ``query`` the best fitting ones, with ``newest`` the last ones first; either is one
        page.
        """
        if query is not None:
            found = await self._memory.retrieve(
                query, scope=scope, kinds=kinds, limit=limit, floor=False
            )
            return Page(tuple(item.node for item in found.items), None)
        if newest:
            nodes = await self._all(scope, kinds, closed)
            return Page(tuple(reversed(nodes[-limit:])) if limit > 0 else (), None)
        return await self._memory.list(
            scope=scope, kinds=kinds, closed=closed, cursor=cursor, limit=limit
        )

    async def add_memory(
        self,
        content: str,
        *,
        scope: Scope | str,
        said_at: datetime | None = None,
        metadata: Metadata | None = None,
    ) -> MemoryNode:
        """Keep a fact as a note; the same words again give the note that is there."""
        return await self._memory.add_note(content, scope=scope, said_at=said_at, metadata=metadata)

    async def delete_memory(
        self,
        *,
        scope: Scope | str,
        memory_id: str | None = None,
        content: str | None = None,
        hard: bool = False,
    ) -> Deleted:
        """Delete by id, or everything with exactly this ``content``.

        A fact is closed: not believed any more, still in history. ``hard`` removes it with its
        history, and it is the only way for a recorded message (by the message's or its node's
        id), which goes with all that rests on it. Nothing else changes.

        Raises:
            UnknownId: there is nothing of the kind.
            InvalidInput: both or none of the two are given; a message without ``hard``.
        """
        if (memory_id is None) == (content is None):
            raise InvalidInput("delete_memory", "name either memory_id or content")
        facts, messages = (
            await self._by_id(scope, memory_id)
            if memory_id is not None
            else await self._by_content(scope, content or "", hard)
        )
        if messages and not hard:
            raise InvalidInput("memory_id", "a recorded message is removed with hard=True only")
        if not hard:
            for fact in facts:
                await self._memory.expire(fact, scope=scope)
            return Deleted(closed=facts)
        for fact in facts:
            await self._memory.delete(fact, scope=scope)
        gone = await self._memory.forget(scope=scope, message_ids=messages) if messages else None
        return Deleted(removed=facts, forgotten=gone)

    async def delete_all(self, *, scope: Scope | str) -> Forgotten:
        """Remove everything of the scope, messages included, and prove that it is gone."""
        return await self._memory.forget(scope=scope, everything=True)

    async def consolidate_memory(self, *, scope: Scope | str) -> ConsolidationReport:
        """Turn pending messages into observations; running it again adds nothing."""
        return await self._memory.consolidate(scope=scope)

    async def reflect_and_reconsolidate(self, *, scope: Scope | str) -> ReflectionReport:
        """Build insights from observations that none rests on yet."""
        return await self._memory.reflect(scope=scope)

    # ------------------------------------------------------------ inside

    async def _all(
        self, scope: Scope | str, kinds: Collection[Kind], closed: bool
    ) -> list[MemoryNode]:
        nodes: list[MemoryNode] = []
        cursor: str | None = None
        while True:
            page = await self._memory.list(
                scope=scope, kinds=kinds, closed=closed, cursor=cursor, limit=_PAGE
            )
            nodes += page.items
            cursor = page.cursor
            if cursor is None:
                return nodes

    async def _by_id(
        self, scope: Scope | str, name: str
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(facts, messages) of that id."""
        try:
            node = await self._memory.get(name, scope=scope)
        except UnknownId:
            if await self._has_message(scope, name):
                return (), (name,)
            raise UnknownId("memory_id", f"nothing {name!r} in this scope") from None
        if node.kind == "conversation":
            return (), node.provenance
        return (name,), ()

    async def _has_message(self, scope: Scope | str, name: str) -> bool:
        after = 0
        while batch := await self._memory.messages(scope=scope, after=after, limit=1000):
            if any(message.id == name for message in batch):
                return True
            after = batch[-1].seq
        return False

    async def _by_content(
        self, scope: Scope | str, content: str, messages: bool
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        facts = tuple(
            node.id for node in await self._all(scope, FACTS, False) if node.content == content
        )
        said: list[str] = []
        after = 0
        while messages and (
            batch := await self._memory.messages(scope=scope, after=after, limit=1000)
        ):
            after = batch[-1].seq
            said += [message.id for message in batch if message.content == content]
        if not facts and not said:
            raise UnknownId("content", "no memory in this scope has exactly these words")
        return facts, tuple(said)


class MemoryService:
    """:class:`AsyncMemoryService`, which documents arguments and errors, without an event loop."""

    def __init__(self, memory: MemoryScope) -> None:
        self._memory = memory

    def _call(self, work: Callable[[AsyncMemoryService], Coroutine[Any, Any, T]]) -> T:
        return self._memory.call(lambda memory: work(AsyncMemoryService(memory)))

    def run(self, operation: str, **arguments: Any) -> Any:
        """Run one of :data:`OPERATIONS` by its name; what it returns."""
        return self._call(lambda service: service.run(operation, **arguments))

    def add_messages(
        self, messages: Sequence[NewMessage], *, scope: Scope | str
    ) -> tuple[Recorded, ...]:
        """Record what was said, such as a question and its answer, in order of time."""
        return self._call(lambda service: service.add_messages(messages, scope=scope))

    def read_message(
        self, *, scope: Scope | str, session_id: str | None = None, pairs: int | None = None
    ) -> tuple[Message, ...]:
        """The messages not consolidated yet, oldest first; the last ``pairs`` of them if given."""
        return self._call(
            lambda service: service.read_message(scope=scope, session_id=session_id, pairs=pairs)
        )

    def retrieve_memory(
        self,
        query: str,
        *,
        scope: Scope | str,
        now: datetime | None = None,
        kinds: Collection[Kind] = KINDS,
        limit: int | None = None,
        budget_ms: float | None = None,
        explain: bool = True,
    ) -> Evidence:
        """What matters to ``query``: items with ids, scores, times and sources, and ``text``."""
        return self._call(
            lambda service: service.retrieve_memory(
                query,
                scope=scope,
                now=now,
                kinds=kinds,
                limit=limit,
                budget_ms=budget_ms,
                explain=explain,
            )
        )

    def list_memory(
        self,
        *,
        scope: Scope | str,
        query: str | None = None,
        kinds: Collection[Kind] = FACTS,
        closed: bool = True,
        newest: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[MemoryNode]:
        """Facts by time, a page at a time; those with ``valid_to`` are not believed any more."""
        return self._call(
            lambda service: service.list_memory(
                scope=scope,
                query=query,
                kinds=kinds,
                closed=closed,
                newest=newest,
                cursor=cursor,
                limit=limit,
            )
        )

    def add_memory(
        self,
        content: str,
        *,
        scope: Scope | str,
        said_at: datetime | None = None,
        metadata: Metadata | None = None,
    ) -> MemoryNode:
        """Keep a fact as a note; the same words again give the note that is there."""
        return self._call(
            lambda service: service.add_memory(
                content, scope=scope, said_at=said_at, metadata=metadata
            )
        )

    def delete_memory(
        self,
        *,
        scope: Scope | str,
        memory_id: str | None = None,
        content: str | None = None,
        hard: bool = False,
    ) -> Deleted:
        """Delete by id, or everything with exactly this ``content``."""
        return self._call(
            lambda service: service.delete_memory(
                scope=scope, memory_id=memory_id, content=content, hard=hard
            )
        )

    def delete_all(self, *, scope: Scope | str) -> Forgotten:
        """Remove everything of the scope, messages included, and prove that it is gone."""
        return self._call(lambda service: service.delete_all(scope=scope))

    def consolidate_memory(self, *, scope: Scope | str) -> ConsolidationReport:
        """Turn pending messages into observations; running it again adds nothing."""
        return self._call(lambda service: service.consolidate_memory(scope=scope))

    def reflect_and_reconsolidate(self, *, scope: Scope | str) -> ReflectionReport:
        """Build insights from observations that none rests on yet."""
        return self._call(lambda service: service.reflect_and_reconsolidate(scope=scope))


def as_text(result: object) -> str:
    """The result of an operation as lines for a log or a model, in order.

    Raises:
        InvalidInput: it is no result of an operation.
    """
    if isinstance(result, Evidence):
        return result.text
    if isinstance(result, Page):
        return "\n".join(as_text(item) for item in result.items)
    if isinstance(result, MemoryNode):
        until = f" until {result.valid_to:%Y-%m-%d %H:%M}" if result.valid_to else ""
        return f"[{result.id} | {result.said_at:%Y-%m-%d %a %H:%M} | {result.kind}{until}] " + (
            _one_line(result.content)
        )
    if isinstance(result, Message):
        who = result.speaker or result.role
        moment = f"{result.created_at:%Y-%m-%d %a %H:%M}"
        return f"[{result.id} | {moment} | {who}] {_one_line(result.content)}"
    if isinstance(result, tuple):
        return "\n".join(as_text(item) for item in result)
    if isinstance(result, Forgotten):
        proof = "searched for and not found" if result.proven else "STILL FOUND"
        return f"removed {result.messages} messages and {result.nodes} nodes; {proof}"
    if isinstance(result, Deleted):
        lines = [f"closed {name}" for name in result.closed]
        lines += [f"removed {name}" for name in result.removed]
        return "\n".join([*lines, *([as_text(result.forgotten)] if result.forgotten else [])])
    if isinstance(result, ConsolidationReport | ReflectionReport):
        lines = [f"{one.did} {one.node}: {_one_line(one.content)}" for one in result.actions]
        return "\n".join(lines) or ("another process has this scope" if result.busy else "nothing")
    raise InvalidInput("result", f"a {type(result).__name__} is no result of an operation")


def _one_line(text: str) -> str:
    return " ".join(text.split())
