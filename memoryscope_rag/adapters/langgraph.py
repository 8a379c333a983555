"""LangGraph (extra ``langgraph``): a ``BaseStore`` whose items are notes, found by meaning.

A namespace is a scope of its own, so nothing of one is ever ranked, counted or shown with another
unless a prefix of both is asked for. An item is a note: its value is kept as JSON, letter for
letter, its text is what it is found by.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

try:
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        Item,
        ListNamespacesOp,
        Op,
        PutOp,
        Result,
        SearchItem,
        SearchOp,
        get_text_at_path,
        tokenize_path,
        validate_op_namespace,
    )
except ImportError as error:
    from memoryscope_rag.errors import MissingExtra

    raise MissingExtra("langgraph", "memory for LangGraph") from error

from memoryscope_rag.adapters.door import MemoryDoor, Place, Work
from memoryscope_rag.adapters.json_match import matches, matches_path
from memoryscope_rag.adapters.session_memory import softly
from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.errors import DuplicateId, InvalidInput, ModelError, StoreError, UnknownId
from memoryscope_rag.operations.chat import LONGEST
from memoryscope_rag.operations.chat_prompt import as_data
from memoryscope_rag.schema import MemoryNode, Metadata, Scope, check_text

T = TypeVar("T")
Namespace = tuple[str, ...]
Note = tuple[str, Metadata]
"""Content and metadata of the note that an item is."""

IN_METADATA: Final = 60_000
"""Bytes of JSON up to which a value stands beside the text that its item is found by."""
SPARE: Final = 50
"""Hits that are asked for beyond those wanted, since items that are not indexed drop out."""


class LangGraphStore(BaseStore):
    """Long-term memory of a graph: ``builder.compile(store=LangGraphStore("memory.db"))``.

    Args:
        place: a file, a cluster's URL, an open memory that is lent, or a door to one.
        fields: paths into a value whose texts an item is found by, ``"$"`` for the whole of it;
            ``index`` of ``put`` is for one item.
        agent_id, tenant_id: the rest of the scope, whose ``user_id`` is the namespace.
        timeout_s: how long a graph waits for its memory before it goes on without.
        strict: a memory that fails or is late raises StoreError, ModelError or TimeoutError.
            Otherwise it is one line in the log: nothing is found, and a change is not made.

    What the caller gets wrong always raises: InvalidNamespaceError; InvalidInput for a value that
    is no JSON, a namespace of more than 256 characters, an unknown operator of a filter.
    """

    def __init__(
        self,
        place: Place | MemoryDoor = None,
        *,
        fields: Sequence[str] = ("$",),
        agent_id: str = "langgraph",
        tenant_id: str = "default",
        timeout_s: float = 5.0,
        strict: bool = False,
    ) -> None:
        super().__init__()
        if timeout_s <= 0:
            raise InvalidInput("timeout_s", "must be positive")
        self.door = place if isinstance(place, MemoryDoor) else MemoryDoor(place)
        self._fields = tuple(fields)
        self._whose = Scope("any", agent_id, tenant_id)
        self._timeout_s = timeout_s
        self._strict = strict
        self._writing = asyncio.Lock()

    def scope(self, namespace: Namespace) -> Scope:
        """Where the items of ``namespace`` are, to export or to forget them all."""
        return Scope(".".join(namespace), self._whose.agent_id, self._whose.tenant_id)

    def prompt(self, items: Iterable[Item], query: str = "") -> str:
        """``items`` for a model: what the lines are, in the language of ``query``, then a line an
        item between fences that no value can close. Empty where there are none."""
        lines = [as_data(json.dumps(item.value, ensure_ascii=False)) for item in items]
        return self.door.for_prompt(query, "\n".join(lines))

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """As :meth:`abatch`, for callers without an event loop.

        Raises InvalidInput where an AsyncMemoryScope was lent, which serves its own loop only.
        """
        return self.door.run(self.abatch(ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out ``ops``: reads see what was there before, of puts of one key the last holds."""
        asked = list(ops)
        for op in asked:
            validate_op_namespace(op)
        puts = {(op.namespace, op.key): op for op in asked if isinstance(op, PutOp)}
        changes = [
            (self.scope(op.namespace), _id(*place), self._note(op)) for place, op in puts.items()
        ]
        results = [await self._read(op) for op in asked]
        for scope, node_id, note in changes:
            await self._change(scope, node_id, note)
        return results

    def close(self) -> None:
        """Close the application unless it was lent."""
        self.door.shut()

    async def aclose(self) -> None:
        """As :meth:`close`."""
        await self.door.close()

    # ------------------------------------------------------------ reading

    async def _read(self, op: Op) -> Result:
        if isinstance(op, GetOp):
            return await self._ask(lambda memory: self._get(memory, op), "an item not read", None)
        if isinstance(op, SearchOp):
            return await self._ask(lambda memory: self._search(memory, op), "nothing found", [])
        if isinstance(op, ListNamespacesOp):
            return await self._ask(lambda memory: self._list(memory, op), "no namespaces", [])
        if isinstance(op, PutOp):
            return None
        raise InvalidInput("op", f"{type(op).__name__} is no operation of a store")

    async def _get(self, memory: AsyncMemoryScope, op: GetOp) -> Item | None:
        if not op.namespace:
            return None
        try:
            node = await memory.get(_id(op.namespace, op.key), scope=self.scope(op.namespace))
        except UnknownId:
            return None
        return Item(**_fields(op.namespace, node))

    async def _search(self, memory: AsyncMemoryScope, op: SearchOp) -> list[SearchItem]:
        depth, wanted = len(op.namespace_prefix), op.offset + op.limit
        namespaces = await self._namespaces(memory)
        below = [space for space in namespaces if space[:depth] == op.namespace_prefix]
        found: list[SearchItem] = []
        if op.query:
            for space in below:
                found += await self._ranked(memory, space, op)
            found.sort(key=lambda item: -(item.score or 0.0))
        known = {(item.namespace, item.key) for item in found}
        for space in below:  # those that no search found, in order of time
            if len(found) >= wanted:
                break
            async for node in self._items(memory, space):
                item = SearchItem(**_fields(space, node))
                if (space, item.key) not in known and matches(item.value, op.filter):
                    found.append(item)
                if len(found) >= wanted:
                    break
        return found[op.offset : wanted]

    async def _ranked(
        self, memory: AsyncMemoryScope, namespace: Namespace, op: SearchOp
    ) -> list[SearchItem]:
        evidence = await memory.retrieve(
            op.query or "",
            scope=self.scope(namespace),
            limit=LONGEST if op.filter else min(LONGEST, op.offset + op.limit + SPARE),
            budget_tokens=0,
            kinds=["note"],
            floor=False,
        )
        found = [
            SearchItem(**_fields(namespace, item.node), score=item.score)
            for item in evidence.items
            if item.node.metadata.get("indexed")
        ]
        return [item for item in found if matches(item.value, op.filter)]

    async def _items(
        self, memory: AsyncMemoryScope, namespace: Namespace
    ) -> AsyncIterator[MemoryNode]:
        cursor: str | None = None
        while True:
            page = await memory.list(
                scope=self.scope(namespace), kinds=["note"], cursor=cursor, limit=LONGEST
            )
            for node in page.items:
                if "key" in node.metadata:
                    yield node
            if (cursor := page.cursor) is None:
                return

    async def _list(self, memory: AsyncMemoryScope, op: ListNamespacesOp) -> list[Namespace]:
        conditions = op.match_conditions or ()
        found = {
            namespace[: op.max_depth]
            for namespace in await self._namespaces(memory)
            if all(matches_path(namespace, each.match_type, each.path) for each in conditions)
        }
        return sorted(found)[op.offset : op.offset + op.limit]

    async def _namespaces(self, memory: AsyncMemoryScope) -> list[Namespace]:
        """Those that hold items, oldest first."""
        return [
            tuple(scope.user_id.split("."))
            for scope in await memory.scopes()
            if (scope.agent_id, scope.tenant_id) == (self._whose.agent_id, self._whose.tenant_id)
        ]

    # ------------------------------------------------------------ writing

    def _note(self, op: PutOp) -> Note | None:
        if op.value is None:
            return None
        check_text("key", op.key)
        try:
            value = json.dumps(op.value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InvalidInput("value", f"is no JSON: {error}") from None
        if not _is_text(value):  # JSON can spell half of a surrogate pair, UTF-8 cannot
            value = json.dumps(op.value)
        paths = self._fields if op.index is None else op.index or ()
        texts = [text for path in paths for text in _texts(op.value, path)]
        text = "\n".join(texts).encode(errors="replace").decode()
        about: dict[str, str | bool] = {"key": op.key, "indexed": bool(text.strip())}
        beside = about | {"value": value}
        if text.strip() and len(json.dumps(beside)) <= IN_METADATA:
            return text, beside
        return value, about

    async def _change(self, scope: Scope, node_id: str, note: Note | None) -> None:
        async def remove(memory: AsyncMemoryScope) -> None:
            with contextlib.suppress(UnknownId):
                await memory.delete(node_id, scope=scope)

        async def keep(memory: AsyncMemoryScope, content: str, metadata: Metadata) -> None:
            async with self._writing:
                for _ in range(2):  # another process may be adding it
                    with contextlib.suppress(UnknownId):
                        await memory.update(node_id, content, scope=scope, metadata=metadata)
                        return
                    with contextlib.suppress(DuplicateId):
                        await memory.add_note(
                            content, scope=scope, metadata=metadata, note_id=node_id
                        )
                        return

        if note is None:
            await self._ask(remove, "an item not deleted", None)
        else:
            content, metadata = note
            await self._ask(
                lambda memory: keep(memory, content, metadata), "an item not kept", None
            )

    # ------------------------------------------------------------ failing

    async def _ask(self, work: Work[T], failure: str, instead: T) -> T:
        async def ask() -> tuple[T]:
            await self.door.open()  # loading a model takes its time, once
            async with asyncio.timeout(self._timeout_s):
                return (await self.door.call(work),)

        if self._strict:
            return (await ask())[0]
        done = await softly(ask, failure, self._timeout_s, forgiven=(StoreError, ModelError))
        return instead if done is None else done[0]


def _id(namespace: Namespace, key: str) -> str:
    return f"item-{hashlib.sha256(json.dumps([*namespace, key]).encode()).hexdigest()[:40]}"


def _fields(namespace: Namespace, node: MemoryNode) -> dict[str, Any]:
    """What an Item of LangGraph's has."""
    return {
        "namespace": namespace,
        "key": node.metadata["key"],
        "value": json.loads(str(node.metadata.get("value") or node.content)),
        "created_at": node.said_at,
        "updated_at": node.valid_from or node.said_at,
    }


def _texts(value: Mapping[str, Any] | None, path: str) -> list[str]:
    return list(get_text_at_path(value, path if path == "$" else tokenize_path(path)))


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
