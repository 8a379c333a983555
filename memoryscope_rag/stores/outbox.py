"""A store with an outbox: messages are taken while the database is away, and delivered later.

What ``append`` cannot hand to the database, since that is away or since earlier messages of the
scope wait still, becomes durable in a file of this machine and is delivered in the background, in
order. All else goes straight through and raises StoreUnavailable in an outage, but for three reads
that recording and a chat need: ``last_messages`` and ``get_messages`` then know what waits and
nothing else, and ``stats`` says how much that is. Search and ``messages`` see what was delivered.

Processes of a machine may share one file, and then keep the order of a scope among them; one
delivers at a time. A message that the database refuses is set aside with the reason. A process
opened without an embedder leaves delivering to others until it records something itself, so that
a mere look costs no message its vectors; vectors of another model are dropped, and ``unembedded``
lists such nodes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from memoryscope_rag.errors import StoreError, StoreUnavailable
from memoryscope_rag.ports import (
    Clock,
    EmbedderSpec,
    Forgotten,
    LogEntry,
    MemoryStore,
    OutboxStats,
    Recorded,
    StoreStats,
)
from memoryscope_rag.schema import Message, Scope, utc_now
from memoryscope_rag.stores import outbox_rows
from memoryscope_rag.stores.outbox_courier import Courier, Outage
from memoryscope_rag.stores.outbox_file import OutboxFile
from memoryscope_rag.stores.passing import PassingStore
from memoryscope_rag.stores.rows import micros

T = TypeVar("T")

LIMIT_BYTES = 1 << 30
"""Of the file; a short message takes about 3 kB of it, half of that vectors."""
CLOSE_SECONDS = 5.0
"""What :meth:`OutboxStore.close` gives to messages that wait while the database is there."""
FORGET_SECONDS = 60.0
"""How long ``forget`` waits for a delivery of another process to end."""


class OutboxStore(PassingStore):
    """A :class:`~memoryscope_rag.ports.MemoryStore` around another. Make it with :meth:`open`."""

    def __init__(
        self,
        store: MemoryStore,
        file: OutboxFile,
        embedder: EmbedderSpec | None,
        clock: Clock | None,
        limit_bytes: int,
    ) -> None:
        self._store = store
        self._file = file
        self._embedder = embedder
        self._target: EmbedderSpec | None = None
        self._now = utc_now if clock is None else clock.now
        self._limit = limit_bytes
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="memoryscope-outbox")
        self._outage = Outage()
        self._courier = Courier(store, file, self._threads, self._outage, embedder)
        self._closed = False
        self._calls = 0
        self._quiet = asyncio.Event()

    @classmethod
    async def open(
        cls,
        store: MemoryStore,
        path: Path | str,
        *,
        embedder: EmbedderSpec | None,
        clock: Clock | None = None,
        limit_bytes: int = LIMIT_BYTES,
    ) -> OutboxStore:
        """Put the outbox ``path`` (made if need be) before ``store``, which it then owns.

        Args:
            store: where messages go; closed with this one.
            path: the file, readable by its owner only.
            embedder: whose vectors ``store`` was opened for.
            clock: tells since when a message waits; the system's by default.
            limit_bytes: size of the file above which nothing more is taken.

        Raises:
            StoreCorrupt, SchemaTooNew, StoreUnavailable: the file is none, or cannot be used.
        """
        file = await asyncio.to_thread(OutboxFile, Path(path))
        box = cls(store, file, embedder, clock, limit_bytes)
        if embedder is not None:
            box._courier.start()
        return box

    # ------------------------------------------------------------ what waits

    async def append(self, scope: Scope, entries: Sequence[LogEntry]) -> tuple[Recorded, ...]:
        """As the port says; ``waiting`` where the database does not have a message yet.

        Raises StoreUnavailable also when the outbox is full or cannot be written: then nothing
        was recorded.
        """
        async with self._call():
            self._courier.start()
            waits = entries and (self._outage.away or await self._waits(scope))
            if not waits:
                try:
                    outcome = await self._store.append(scope, entries)
                except StoreUnavailable as error:
                    self._outage.failed(error)
                else:
                    self._outage.worked()
                    return outcome
            outcome = await self._put(scope, entries)
        self._courier.wake()
        return outcome

    async def last_messages(
        self, scope: Scope, limit: int, *, session_id: str | None = None
    ) -> tuple[Message, ...]:
        """As the port says, and what waits after it; in an outage what waits alone."""

        def job() -> list[Message]:
            with self._file.read() as connection:
                return outbox_rows.last(connection, scope, limit, session_id)

        async with self._call():
            here = await self._in_thread(job)
            there = await self._unless_away(
                lambda: self._store.last_messages(scope, limit, session_id=session_id)
            )
            known = {message.id for message in there}
            both = [*there, *[message for message in here if message.id not in known]]
            return tuple(both[max(0, len(both) - limit) :])

    async def get_messages(self, scope: Scope, ids: Sequence[str]) -> tuple[Message, ...]:
        """As the port says, also of what waits; in an outage of that alone."""

        def job() -> list[Message]:
            with self._file.read() as connection:
                return outbox_rows.by_ids(connection, scope, ids)

        async with self._call():
            found = {message.id: message for message in await self._in_thread(job)}
            there = await self._unless_away(lambda: self._store.get_messages(scope, ids))
            found |= {message.id: message for message in there}
            return tuple([found[name] for name in ids if name in found])

    async def forget(
        self,
        scope: Scope,
        *,
        message_ids: Sequence[str] = (),
        session_id: str | None = None,
        everything: bool = False,
        compact: bool = False,
    ) -> Forgotten:
        """As the port says, and what waits or was refused; the outbox, too, is cleaned.

        Raises StoreUnavailable while the database is away; nothing is removed then.
        """

        def job() -> tuple[int, bool]:
            with self._file.write() as connection:
                count = outbox_rows.remove(connection, scope, message_ids, session_id, everything)
            return count, self._file.scrub()

        async with self._call(), self._file.delivering(FORGET_SECONDS) as mine:
            # what is on its way to the database now would arrive there after it was removed
            if not mine:
                raise StoreUnavailable(f"another process is delivering {self._file.path}")
            gone = self._there(
                await self._store.forget(
                    scope,
                    message_ids=message_ids,
                    session_id=session_id,
                    everything=everything,
                    compact=compact,
                )
            )
            count, clean = await self._in_thread(job)
        return replace(gone, messages=gone.messages + count, proven=gone.proven and clean)

    async def stats(self, scope: Scope | None = None) -> StoreStats:
        """As the port says, with the state of the whole outbox; in an outage the error tells it."""
        async with self._call():
            state = await self._in_thread(self._file.state)
            try:
                counts = self._there(await self._store.stats(scope))
            except StoreUnavailable as error:
                raise StoreUnavailable(f"{error}; {_told(state)}") from error
            return replace(counts, outbox=state)

    async def check(self) -> tuple[str, ...]:
        async with self._call():
            problems = self._there(await self._store.check())
            state = await self._in_thread(self._file.state)
            if not state.refused:
                return problems
            return (*problems, f"{state.refused} messages were refused and stand in {state.path}")

    # ------------------------------------------------------------ embedding

    async def begin_reembed(self, spec: EmbedderSpec) -> None:
        await super().begin_reembed(spec)
        self._target = spec

    async def finish_reembed(self) -> None:
        await super().finish_reembed()
        if self._target is not None:
            self._embedder = self._courier.embedder = self._target
            self._target = None

    # ------------------------------------------------------------ inside

    async def close(self) -> None:
        """As the port says; what still waits is delivered by whoever opens the outbox next."""
        if self._closed:
            return
        self._closed = True
        while self._calls:
            self._quiet.clear()
            await self._quiet.wait()
        try:
            await self._courier.stop(CLOSE_SECONDS)
            # a job of a cancelled delivery may be running still; this one waits for it
            with contextlib.suppress(StoreError):
                await self._in_thread(self._file.scrub)
        finally:
            self._threads.shutdown()
            self._file.close()
            await self._store.close()

    @contextlib.asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        """What :meth:`close` waits for."""
        if self._closed:
            raise StoreUnavailable(f"the store with the outbox {self._file.path} is closed")
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._quiet.set()

    async def _through(self, call: Callable[[MemoryStore], Coroutine[Any, Any, T]]) -> T:
        async with self._call():
            return self._there(await call(self._store))

    def _there(self, result: T) -> T:
        """``result``, which tells that the database answers."""
        if self._outage.answered():
            self._courier.wake()
        return result

    async def _unless_away(
        self, read: Callable[[], Coroutine[Any, Any, tuple[T, ...]]]
    ) -> tuple[T, ...]:
        if self._outage.away:
            return ()
        try:
            return self._there(await read())
        except StoreUnavailable as error:
            self._outage.failed(error)
            return ()

    async def _waits(self, scope: Scope) -> bool:
        def job() -> bool:
            with self._file.read() as connection:
                return outbox_rows.waits(connection, scope)

        return await self._in_thread(job)

    async def _put(self, scope: Scope, entries: Sequence[LogEntry]) -> tuple[Recorded, ...]:
        now = micros(self._now())

        def job() -> tuple[Recorded, ...]:
            packed = outbox_rows.pack(entries, self._embedder)
            with self._file.admit(sum(each.size for each in packed), self._limit) as connection:
                return outbox_rows.put(connection, scope, packed, now)

        return await self._in_thread(job)

    async def _in_thread(self, job: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._threads.submit(job))


def _told(state: OutboxStats) -> str:
    since = f", the first since {state.oldest:%Y-%m-%d %H:%M} UTC" if state.oldest else ""
    refused = f", {state.refused} were refused" if state.refused else ""
    return f"{state.waiting} messages wait in {state.path}{since}{refused}"
