"""The sync door: :class:`MemoryScope`, an AsyncMemoryScope whose event loop is a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import (
    AsyncGenerator,
    Callable,
    Collection,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from memoryscope_rag.app import AsyncMemoryScope, Progress
from memoryscope_rag.configs.model import Config
from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.models.ledger import Ledger
from memoryscope_rag.operations.chat import ChatDelta, ChatOptions, ChatReply
from memoryscope_rag.operations.consolidate import ConsolidationReport
from memoryscope_rag.operations.import_ import ImportReport
from memoryscope_rag.operations.reflect import ReflectionReport
from memoryscope_rag.operations.refresh import RefreshReport
from memoryscope_rag.ports import (
    Clock,
    Coverage,
    Embedder,
    Forgotten,
    HistoryMemory,
    Page,
    Recorded,
    Reranker,
    StoreStats,
)
from memoryscope_rag.ports import Generator as ChatModel
from memoryscope_rag.schema import (
    KINDS,
    Event,
    Evidence,
    Interval,
    Kind,
    MemoryNode,
    Message,
    Metadata,
    NewMessage,
    Profile,
    Role,
    Scope,
)

T = TypeVar("T")


class _LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self.loop.run_forever, name="memoryscope-rag", daemon=True
        )
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if not self._thread.is_alive():
            work.close()
            raise StoreUnavailable("this memory is closed")
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        """``items`` one by one; closed where the caller stops, even in the midst of one."""
        end = object()
        one_at_a_time = asyncio.Lock()  # an interrupted step has to end before the closing begins

        async def following() -> T | object:
            async with one_at_a_time:
                return await anext(items, end)

        async def closing() -> None:
            async with one_at_a_time:
                await items.aclose()

        try:
            while (item := self.call(following())) is not end:
                yield item  # type: ignore[misc]
        finally:
            if self._thread.is_alive():
                self.call(closing())

    def stop(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()


class MemoryScope:
    """Memory for conversational agents, for callers without an event loop.

    Every method is that of :class:`~memoryscope_rag.app.AsyncMemoryScope` of the same name, which
    documents arguments and errors. One instance may be shared by threads.
    """

    def __init__(self, inner: AsyncMemoryScope, thread: _LoopThread) -> None:
        self._inner = inner
        self._thread = thread
        self._closing = threading.Lock()

    @classmethod
    def open(
        cls,
        path: Path | str | None = None,
        *,
        config: Config | None = None,
        embedder: Embedder | None = None,
        reranker: Reranker | None = None,
        generator: ChatModel | None = None,
        clock: Clock | None = None,
        memory: HistoryMemory | None = None,
        ledger: Ledger | None = None,
        reembedding: bool = False,
    ) -> Self:
        """Open the memory kept at ``path``, an SQLite file or the URL of a cluster."""
        thread = _LoopThread()
        try:
            inner = thread.call(
                AsyncMemoryScope.open(
                    path,
                    config=config,
                    embedder=embedder,
                    reranker=reranker,
                    generator=generator,
                    clock=clock,
                    memory=memory,
                    ledger=ledger,
                    reembedding=reembedding,
                )
            )
        except BaseException:
            thread.stop()
            raise
        return cls(inner, thread)

    @property
    def config(self) -> Config:
        """The settings in force."""
        return self._inner.config

    def record(
        self,
        content: str,
        *,
        scope: Scope | str,
        role: Role = "user",
        session_id: str = "default",
        speaker: str | None = None,
        created_at: datetime | None = None,
        message_id: str | None = None,
        metadata: Metadata | None = None,
    ) -> Recorded:
        """Record one message, durable and retrievable when this returns."""
        return self._thread.call(
            self._inner.record(
                content,
                scope=scope,
                role=role,
                session_id=session_id,
                speaker=speaker,
                created_at=created_at,
                message_id=message_id,
                metadata=metadata,
            )
        )

    def record_many(
        self, messages: Iterable[NewMessage], *, scope: Scope | str
    ) -> tuple[Recorded, ...]:
        """Record messages in order; one outcome each."""
        return self._thread.call(self._inner.record_many(messages, scope=scope))

    def record_each(
        self, messages: Iterable[NewMessage], *, scope: Scope | str
    ) -> tuple[Recorded, ...]:
        """As :meth:`record_many`, but a message whose id is taken is an outcome (``refused``)."""
        return self._thread.call(self._inner.record_each(messages, scope=scope))

    def add_note(
        self,
        content: str,
        *,
        scope: Scope | str,
        said_at: datetime | None = None,
        event: Event | None = None,
        metadata: Metadata | None = None,
        note_id: str | None = None,
    ) -> MemoryNode:
        """Keep a fact that the user or the host states, word for word."""
        return self._thread.call(
            self._inner.add_note(
                content,
                scope=scope,
                said_at=said_at,
                event=event,
                metadata=metadata,
                note_id=note_id,
            )
        )

    def update(
        self,
        node_id: str,
        content: str,
        *,
        scope: Scope | str,
        event: Event | None = None,
        metadata: Metadata | None = None,
    ) -> MemoryNode:
        """Give an observation, note or insight another content; the old one stays in history."""
        return self._thread.call(
            self._inner.update(node_id, content, scope=scope, event=event, metadata=metadata)
        )

    def delete(self, node_id: str, *, scope: Scope | str) -> None:
        """Remove one observation, note or insight with its history."""
        self._thread.call(self._inner.delete(node_id, scope=scope))

    def expire(self, node_id: str, *, scope: Scope | str) -> MemoryNode:
        """Close an observation, note or insight: from now on it is not believed any more."""
        return self._thread.call(self._inner.expire(node_id, scope=scope))

    def forget(
        self,
        *,
        scope: Scope | str,
        message_ids: Collection[str] = (),
        session_id: str | None = None,
        everything: bool = False,
        compact: bool = False,
    ) -> Forgotten:
        """Remove messages, a session or all of a scope, and whatever rests on them."""
        return self._thread.call(
            self._inner.forget(
                scope=scope,
                message_ids=message_ids,
                session_id=session_id,
                everything=everything,
                compact=compact,
            )
        )

    def retrieve(
        self,
        query: str,
        *,
        scope: Scope | str,
        limit: int | None = None,
        budget_tokens: int | None = None,
        budget_ms: float | None = None,
        kinds: Collection[Kind] = KINDS,
        now: datetime | None = None,
        time_zone: str | None = None,
        as_of: datetime | None = None,
        during: Interval | None = None,
        session_id: str | None = None,
        current_session: str | None = None,
        floor: bool | None = None,
        explain: bool = False,
        profile: Profile | None = None,
    ) -> Evidence:
        """The evidence in this scope that matters to ``query``, best first; maybe none."""
        return self._thread.call(
            self._inner.retrieve(
                query,
                scope=scope,
                limit=limit,
                budget_tokens=budget_tokens,
                budget_ms=budget_ms,
                kinds=kinds,
                now=now,
                time_zone=time_zone,
                as_of=as_of,
                during=during,
                session_id=session_id,
                current_session=current_session,
                floor=floor,
                explain=explain,
                profile=profile,
            )
        )

    def chat(
        self,
        query: str,
        *,
        scope: Scope | str,
        session_id: str = "default",
        **options: Unpack[ChatOptions],
    ) -> ChatReply:
        """A reply of the chat model, which is given what memory holds; the turn is recorded."""
        return self._thread.call(
            self._inner.chat(query, scope=scope, session_id=session_id, **options)
        )

    def chat_stream(
        self,
        query: str,
        *,
        scope: Scope | str,
        session_id: str = "default",
        **options: Unpack[ChatOptions],
    ) -> Generator[ChatDelta, None, None]:
        """As :meth:`chat`, in pieces: the evidence first, the whole reply last."""
        return self._thread.iterate(
            self._inner.chat_stream(query, scope=scope, session_id=session_id, **options)
        )

    def get(self, node_id: str, *, scope: Scope | str) -> MemoryNode:
        """One node."""
        return self._thread.call(self._inner.get(node_id, scope=scope))

    def list(
        self,
        *,
        scope: Scope | str,
        kinds: Collection[Kind] | None = None,
        session_id: str | None = None,
        as_of: datetime | None = None,
        closed: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[MemoryNode]:
        """Nodes in order of time, a page at a time; ``closed`` includes what is no longer true."""
        return self._thread.call(
            self._inner.list(
                scope=scope,
                kinds=kinds,
                session_id=session_id,
                as_of=as_of,
                closed=closed,
                cursor=cursor,
                limit=limit,
            )
        )

    def messages(
        self,
        *,
        scope: Scope | str,
        session_id: str | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> tuple[Message, ...]:
        """The log: messages with ``seq > after``, oldest first."""
        return self._thread.call(
            self._inner.messages(scope=scope, session_id=session_id, after=after, limit=limit)
        )

    def history(self, node_id: str, *, scope: Scope | str) -> tuple[MemoryNode, ...]:
        """Every version of a node, oldest first."""
        return self._thread.call(self._inner.history(node_id, scope=scope))

    def scopes(self) -> tuple[Scope, ...]:
        """Every scope of the store."""
        return self._thread.call(self._inner.scopes())

    def stats(self, *, scope: Scope | str | None = None) -> StoreStats:
        """Counts of one scope, or of the whole store."""
        return self._thread.call(self._inner.stats(scope=scope))

    def generation(self, *, scope: Scope | str) -> int:
        """A counter that every write to the scope raises, by whatever process; cheap to ask for."""
        return self._thread.call(self._inner.generation(scope=scope))

    def consolidate(self, *, scope: Scope | str) -> ConsolidationReport:
        """Turn what is pending into observations now; what became of it is in the report."""
        return self._thread.call(self._inner.consolidate(scope=scope))

    def reflect(self, *, scope: Scope | str) -> ReflectionReport:
        """Turn observations into insights now."""
        return self._thread.call(self._inner.reflect(scope=scope))

    def refresh(self, *, scope: Scope | str, progress: Progress | None = None) -> RefreshReport:
        """Let the beacon memory read what it does not cover now; resumes where it was stopped."""
        return self._thread.call(self._inner.refresh(scope=scope, progress=progress))

    def coverage(self, *, scope: Scope | str) -> Coverage:
        """What the beacon memory holds of this scope; nothing where there is none."""
        return self._thread.call(self._inner.coverage(scope=scope))

    def attention(self, query: str, *, scope: Scope | str) -> Mapping[str, float]:
        """By message id how much ``query`` draws attention there in the beacon memory."""
        return self._thread.call(self._inner.attention(query, scope=scope))

    def drop_memory(self, *, scope: Scope | str) -> None:
        """Remove the beacon memory of this scope; it is made anew from the log when refreshed."""
        self._thread.call(self._inner.drop_memory(scope=scope))

    def retry_parked(self, *, scope: Scope | str) -> int:
        """Make parked messages pending again, for the next consolidation; how many there were."""
        return self._thread.call(self._inner.retry_parked(scope=scope))

    def flush(self, *, scope: Scope | str | None = None) -> int:
        """Consolidate everything that is pending; how many messages still are, 0 when all went."""
        return self._thread.call(self._inner.flush(scope=scope))

    def start(self) -> None:
        """Consolidate, reflect and refresh in the background, as ``config.schedule`` says."""
        self._thread.call(self._inner.start())

    def stop(self, *, wait: bool = True) -> None:
        """End :meth:`start`; what is running is finished first, or without ``wait`` handed back."""
        self._thread.call(self._inner.stop(wait=wait))

    def call(self, work: Callable[[AsyncMemoryScope], Coroutine[Any, Any, T]]) -> T:
        """Run what is written for an AsyncMemoryScope on the loop of this memory."""
        return self._thread.call(work(self._inner))

    async def acall(self, work: Callable[[AsyncMemoryScope], Coroutine[Any, Any, T]]) -> T:
        """As :meth:`call`, while the caller's event loop goes on; cancelling it ends the work."""
        return await asyncio.wrap_future(self._thread.submit(work(self._inner)))

    def export(self, *, scope: Scope | str) -> Iterator[str]:
        """A scope as JSON lines: every message, every fact with its earlier versions."""
        lines = self._inner.export(scope=scope)
        end = object()

        async def following() -> object:
            return await anext(lines, end)

        while (line := self._thread.call(following())) is not end:
            yield str(line)

    def import_(
        self, lines: Iterable[str], *, scope: Scope | str, progress: Progress | None = None
    ) -> ImportReport:
        """Read what :meth:`export` wrote. What cannot be read is reported; the rest goes in."""
        return self._thread.call(self._inner.import_(lines, scope=scope, progress=progress))

    def reembed(self, *, progress: Progress | None = None) -> int:
        """Give every node that lacks one a vector of the present model; how many got one."""
        return self._thread.call(self._inner.reembed(progress=progress))

    def check(self) -> tuple[str, ...]:
        """What is wrong with the data, one sentence each; empty when all is well."""
        return self._thread.call(self._inner.check())

    def close(self) -> None:
        """Finish what is running and close everything; a second call does nothing."""
        with self._closing:
            if not self._thread.loop.is_closed():
                try:
                    self._thread.call(self._inner.close())
                finally:
                    self._thread.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
