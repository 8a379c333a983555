"""A store in front of another one: every call goes through, unless a subclass does it itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from memoryscope_rag.ports import (
    Candidates,
    Changes,
    EmbedderSpec,
    FloatArray,
    Forgotten,
    IndexedNode,
    Lease,
    LogEntry,
    MemoryStore,
    NodeFilter,
    Page,
    Recorded,
    SearchRequest,
    StoreStats,
)
from memoryscope_rag.schema import MemoryNode, Message, MessageState, Scope

T = TypeVar("T")


class PassingStore(ABC):
    """A :class:`~memoryscope_rag.ports.MemoryStore` that hands each call to the one behind it."""

    @abstractmethod
    async def _through(self, call: Callable[[MemoryStore], Coroutine[Any, Any, T]]) -> T:
        """Carry out ``call`` on the store behind."""

    @abstractmethod
    async def close(self) -> None:
        """Close the store behind, too."""

    async def append(self, scope: Scope, entries: Sequence[LogEntry]) -> tuple[Recorded, ...]:
        return await self._through(lambda store: store.append(scope, entries))

    async def messages(
        self,
        scope: Scope,
        *,
        session_id: str | None = None,
        state: MessageState | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> tuple[Message, ...]:
        return await self._through(
            lambda store: store.messages(
                scope, session_id=session_id, state=state, after=after, limit=limit
            )
        )

    async def last_messages(
        self, scope: Scope, limit: int, *, session_id: str | None = None
    ) -> tuple[Message, ...]:
        return await self._through(
            lambda store: store.last_messages(scope, limit, session_id=session_id)
        )

    async def get_messages(self, scope: Scope, ids: Sequence[str]) -> tuple[Message, ...]:
        return await self._through(lambda store: store.get_messages(scope, ids))

    async def count(self, scope: Scope, up_to: int) -> int:
        return await self._through(lambda store: store.count(scope, up_to))

    async def around(
        self, scope: Scope, seqs: Sequence[int], before: int, after: int
    ) -> Mapping[int, tuple[tuple[Message, ...], tuple[Message, ...]]]:
        return await self._through(lambda store: store.around(scope, seqs, before, after))

    async def pending(self) -> Mapping[Scope, int]:
        return await self._through(lambda store: store.pending())

    async def mark(
        self, scope: Scope, ids: Sequence[str], state: MessageState, reason: str | None = None
    ) -> None:
        await self._through(lambda store: store.mark(scope, ids, state, reason))

    async def add_nodes(self, scope: Scope, nodes: Sequence[IndexedNode]) -> None:
        await self._through(lambda store: store.add_nodes(scope, nodes))

    async def update_node(self, scope: Scope, node: IndexedNode, *, version: int) -> MemoryNode:
        return await self._through(lambda store: store.update_node(scope, node, version=version))

    async def nodes(self, scope: Scope, ids: Sequence[str]) -> tuple[MemoryNode, ...]:
        return await self._through(lambda store: store.nodes(scope, ids))

    async def drawn_from(
        self, scope: Scope, message_ids: Sequence[str]
    ) -> Mapping[str, tuple[MemoryNode, ...]]:
        return await self._through(lambda store: store.drawn_from(scope, message_ids))

    async def list_nodes(
        self,
        scope: Scope,
        where: NodeFilter = NodeFilter(),
        *,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[MemoryNode]:
        return await self._through(
            lambda store: store.list_nodes(scope, where, cursor=cursor, limit=limit)
        )

    async def history(self, scope: Scope, node_id: str) -> tuple[MemoryNode, ...]:
        return await self._through(lambda store: store.history(scope, node_id))

    async def delete_nodes(self, scope: Scope, ids: Sequence[str]) -> tuple[str, ...]:
        return await self._through(lambda store: store.delete_nodes(scope, ids))

    async def commit(self, scope: Scope, changes: Changes, lease: Lease | None = None) -> None:
        await self._through(lambda store: store.commit(scope, changes, lease))

    async def search(
        self, scope: Scope, requests: Sequence[SearchRequest]
    ) -> tuple[Candidates, ...]:
        return await self._through(lambda store: store.search(scope, requests))

    async def generation(self, scope: Scope) -> int:
        return await self._through(lambda store: store.generation(scope))

    async def forget(
        self,
        scope: Scope,
        *,
        message_ids: Sequence[str] = (),
        session_id: str | None = None,
        everything: bool = False,
        compact: bool = False,
    ) -> Forgotten:
        return await self._through(
            lambda store: store.forget(
                scope,
                message_ids=message_ids,
                session_id=session_id,
                everything=everything,
                compact=compact,
            )
        )

    async def acquire(self, scope: Scope, name: str, owner: str, seconds: float) -> Lease | None:
        return await self._through(lambda store: store.acquire(scope, name, owner, seconds))

    async def release(self, lease: Lease) -> None:
        await self._through(lambda store: store.release(lease))

    async def vectors(
        self, scope: Scope, ids: Sequence[str]
    ) -> Mapping[str, tuple[FloatArray | None, FloatArray | None]]:
        return await self._through(lambda store: store.vectors(scope, ids))

    async def unembedded(self, limit: int) -> tuple[tuple[Scope, MemoryNode], ...]:
        return await self._through(lambda store: store.unembedded(limit))

    async def set_vectors(
        self, scope: Scope, vectors: Mapping[str, tuple[FloatArray, FloatArray]]
    ) -> int:
        return await self._through(lambda store: store.set_vectors(scope, vectors))

    async def begin_reembed(self, spec: EmbedderSpec) -> None:
        await self._through(lambda store: store.begin_reembed(spec))

    async def finish_reembed(self) -> None:
        await self._through(lambda store: store.finish_reembed())

    async def scopes(self) -> tuple[Scope, ...]:
        return await self._through(lambda store: store.scopes())

    async def stats(self, scope: Scope | None = None) -> StoreStats:
        return await self._through(lambda store: store.stats(scope))

    async def check(self) -> tuple[str, ...]:
        return await self._through(lambda store: store.check())
