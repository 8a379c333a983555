"""The application: a memory that records conversations and gives back evidence.

>>> from memoryscope_rag import MemoryScope
>>> with MemoryScope.open("memory.db") as memory:                       # doctest: +SKIP
...     memory.record("I moved to Lisbon in May", scope="ann")
...     print(memory.retrieve("Where does Ann live?", scope="ann").text)

:class:`AsyncMemoryScope` is the whole of it; :class:`~memoryscope_rag.sync.MemoryScope` is the
same for callers without an event loop. Both may be shared by threads and tasks. A ``scope`` is a
:class:`~memoryscope_rag.schema.Scope`, or a user id for short.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import uuid
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack
from zoneinfo import ZoneInfo

from memoryscope_rag.build import (
    build_embedder,
    build_generator,
    build_memory,
    build_ranker,
    build_reranker,
    open_store,
)
from memoryscope_rag.configs.load import load_config, with_store
from memoryscope_rag.configs.model import Config
from memoryscope_rag.errors import (
    DuplicateId,
    InvalidInput,
    MissingExtra,
    ModelError,
    StoreUnavailable,
    UnknownId,
)
from memoryscope_rag.models.ledger import Ledger
from memoryscope_rag.operations.backend import Backend
from memoryscope_rag.operations.chat import Chat, ChatDelta, ChatOptions, ChatReply, ChatRequest
from memoryscope_rag.operations.consolidate import ConsolidationReport
from memoryscope_rag.operations.foreground import Foreground
from memoryscope_rag.operations.import_ import ImportReport, import_lines
from memoryscope_rag.operations.job_process import JobProcess, reason_to_share
from memoryscope_rag.operations.memory_counts import count_memory
from memoryscope_rag.operations.portability import export_lines
from memoryscope_rag.operations.profiles import Profiles
from memoryscope_rag.operations.record import index_fact, record
from memoryscope_rag.operations.reembed import embed_missing, reembed
from memoryscope_rag.operations.reflect import ReflectionReport
from memoryscope_rag.operations.refresh import RefreshReport
from memoryscope_rag.operations.session_locks import SessionLocks
from memoryscope_rag.operations.trusted_memory import TrustedMemory
from memoryscope_rag.ports import (
    Clock,
    Coverage,
    Embedder,
    Forgotten,
    Generator,
    HistoryMemory,
    MemoryStore,
    NodeFilter,
    Page,
    Recorded,
    Reranker,
    StoreStats,
)
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
    check_text,
    utc_now,
)
from memoryscope_rag.temporal import told_event
from memoryscope_rag.workers.base import NO_PROMPTS, Deadline, Services
from memoryscope_rag.workers.frontend import RetrievalState
from memoryscope_rag.workers.prompts import Prompts

_log = logging.getLogger(__name__)

PATIENCE_S = 1.0
"""How long after its deadline a retrieval waits for a cluster."""
EVENT_CHARS = 10_000
"""Where in a note or an update the time of its event is looked for."""
Progress = Callable[[int, int], None]
"""Called with (done, total) while long work goes on."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment in UTC."""
        return utc_now()


def as_scope(scope: Scope | str) -> Scope:
    """A Scope, or the scope of a user id."""
    return scope if isinstance(scope, Scope) else Scope(scope)


class AsyncMemoryScope:
    """Memory for conversational agents. Open it with :meth:`open`, close it with :meth:`close`."""

    def __init__(
        self,
        config: Config,
        store: MemoryStore,
        embedder: Embedder | None,
        *,
        reranker: Reranker | None = None,
        generator: Generator | None = None,
        clock: Clock | None = None,
        memory: HistoryMemory | None = None,
        background: JobProcess | None = None,
    ) -> None:
        self.config = config
        self._store = store
        self._embedder = embedder
        self._clock = clock or SystemClock()
        self._memory = (
            None
            if memory is None
            else TrustedMemory(memory, store, stale=lambda scope: self._backend.refresh_soon(scope))
        )
        services = Services(
            store=store,
            ranker=build_ranker(config, embedder),
            clock=self._clock,
            embedder=embedder,
            reranker=reranker,
            generator=generator,
            prompts=NO_PROMPTS if generator is None else Prompts.load(config.prompts),
            memory=self._memory,
        )
        self._generator = generator
        self._reranker = reranker
        self._foreground = Foreground()
        self._backend = Backend(services, config, self._foreground, background)
        self._profiles = Profiles(services, config.retrieval)
        self._sessions = SessionLocks()
        self._closed = False
        self._chat = Chat(
            services, config, retrieve=self.retrieve, record=self.record_many, zone=_zone
        )

    @classmethod
    async def open(
        cls,
        path: Path | str | None = None,
        *,
        config: Config | None = None,
        embedder: Embedder | None = None,
        reranker: Reranker | None = None,
        generator: Generator | None = None,
        clock: Clock | None = None,
        memory: HistoryMemory | None = None,
        ledger: Ledger | None = None,
        reembedding: bool = False,
    ) -> Self:
        """Open the memory kept at ``path``, made when it is missing.

        ``path`` is an SQLite file, or the URL of an Elasticsearch cluster.

        ``config`` is what :func:`~memoryscope_rag.load_config` gives by default. ``embedder``,
        ``reranker``, ``generator`` and ``memory`` (the beacon memories of all scopes) stand in for
        those that the settings name, and are closed with the application. Where the packages of
        beacon memory are not installed, a warning says so and all else works. With one of these but
        a ``reranker``, or a ``clock``, what :meth:`start` starts stays in this process, which alone
        has them. ``ledger`` counts what the chat model of the settings takes.
        ``reembedding`` opens a file whose vectors are of another model, for :meth:`reembed` to make
        them anew.

        Raises:
            ConfigError: a setting is wrong.
            EmbeddingMismatch: the store holds vectors of another model.
            StoreCorrupt, StoreUnavailable, SchemaTooNew: the store cannot be opened.
            StoreError: the cluster refuses the credentials, or is of another version.
            MissingExtra: a package is not installed that a setting asks for.
            ModelNotFound, ModelCorrupt: the embedding model is not there, or not as pinned.
        """
        config = config or load_config()
        if path is not None:
            config = with_store(config, path)
        ledger = ledger or Ledger()
        lent = any(part is not None for part in (embedder, generator, clock, memory))
        background = None
        embedder = embedder or await asyncio.to_thread(build_embedder, config)
        store: MemoryStore | None = None
        try:
            store = await open_store(
                config, embedder, clock=clock or SystemClock(), reembedding=reembedding
            )
            if not lent and not reembedding and reason_to_share(config) is None:
                background = JobProcess(config, ledger, store.release)
            generator = generator or await asyncio.to_thread(build_generator, config, ledger=ledger)
            reranker = reranker or await asyncio.to_thread(build_reranker, config)
            memory = memory or await asyncio.to_thread(_memory_if_installed, config)
            return await asyncio.to_thread(
                cls,
                config,
                store,
                embedder,
                reranker=reranker,
                generator=generator,
                clock=clock,
                memory=memory,
                background=background,
            )
        except BaseException:
            if memory is not None:
                await memory.close()
            if generator is not None:
                await generator.close()
            if store is not None:
                await store.close()
            if embedder is not None:
                embedder.close()
            raise

    @property
    def embedder(self) -> Embedder | None:
        """What makes vectors; closed with the application."""
        return self._embedder

    @property
    def generator(self) -> Generator | None:
        """The chat model; closed with the application."""
        return self._generator

    # ------------------------------------------------------------ writing

    async def record(
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
        """Record one message, durable and retrievable when this returns.

        With a ``message_id`` recording it again is harmless (``status == "known"``).
        While the database of a store with an outbox is away, the message is durable there and
        retrievable later (``status == "waiting"``).
        ``created_at`` is now unless given. Raises InvalidInput, and DuplicateId when the id
        belongs to another content.
        """
        message = NewMessage(
            id=message_id or uuid.uuid4().hex,
            session_id=session_id,
            role=role,
            content=content,
            created_at=created_at or self._clock.now(),
            speaker=speaker,
            metadata=metadata or {},
        )
        return (await self._record([message], scope, made_up=message_id is None))[0]

    async def record_many(
        self, messages: Iterable[NewMessage], *, scope: Scope | str
    ) -> tuple[Recorded, ...]:
        """Record messages in order; one outcome each.

        Raises DuplicateId when ids were refused because other content holds them; everything
        else of the batch is stored by then.
        """
        return await self._record(list(messages), scope, made_up=False)

    async def record_each(
        self, messages: Iterable[NewMessage], *, scope: Scope | str
    ) -> tuple[Recorded, ...]:
        """As :meth:`record_many`, but a message whose id is taken is an outcome (``refused``)."""
        return await self._outcomes(list(messages), scope, made_up=False)

    async def _record(
        self, batch: Sequence[NewMessage], scope: Scope | str, *, made_up: bool
    ) -> tuple[Recorded, ...]:
        outcome = await self._outcomes(batch, scope, made_up=made_up)
        refused = [item.message.id for item in outcome if item.status == "refused"]
        if refused:
            raise DuplicateId(
                "message id",
                f"{', '.join(map(repr, refused[:5]))} already recorded with other content; "
                f"{len(batch) - len(refused)} of {len(batch)} messages are stored",
            )
        return outcome

    async def _outcomes(
        self, batch: Sequence[NewMessage], scope: Scope | str, *, made_up: bool
    ) -> tuple[Recorded, ...]:
        if not batch:
            return ()
        where = as_scope(scope)
        async with self._sessions.hold(where, {message.session_id for message in batch}):
            outcome = await record(self._store, self._embedder, where, batch, made_up=made_up)
        new = [item.message for item in outcome if item.status in {"stored", "waiting"}]
        self._backend.recorded(where, new)
        return outcome

    async def add_note(
        self,
        content: str,
        *,
        scope: Scope | str,
        said_at: datetime | None = None,
        event: Event | None = None,
        metadata: Metadata | None = None,
        note_id: str | None = None,
    ) -> MemoryNode:
        """Keep a fact that the user or the host states, word for word.

        ``event`` is read from the text when it is not given. The same note again is the note
        that is there. Raises InvalidInput, and DuplicateId when ``note_id`` belongs to another
        content.
        """
        if not content.strip():
            raise InvalidInput("content", "a note must not be empty")
        where = as_scope(scope)
        said = said_at or self._clock.now()
        node = MemoryNode(
            id=note_id
            or f"note-{hashlib.sha256(content.encode(errors='replace')).hexdigest()[:24]}",
            kind="note",
            content=content,
            said_at=said,
            event=event or self._event(content, said),
            valid_from=said,
            metadata=metadata or {},
        )
        try:
            await self._store.add_nodes(where, [await index_fact(self._embedder, node)])
        except DuplicateId:
            (present,) = await self._store.nodes(where, [node.id])
            if present.content == content and present.valid_to is None:
                return present
            if note_id is not None:
                raise
            node = node.with_(id=f"note-{uuid.uuid4().hex}")
            await self._store.add_nodes(where, [await index_fact(self._embedder, node)])
        return node

    async def update(
        self,
        node_id: str,
        content: str,
        *,
        scope: Scope | str,
        event: Event | None = None,
        metadata: Metadata | None = None,
    ) -> MemoryNode:
        """Give an observation, note or insight another content; the old one stays in history.

        Raises UnknownId, InvalidInput for a conversation node (messages never change).
        """
        where = as_scope(scope)
        for _ in range(5):
            node = await self.get(node_id, scope=where)
            if node.kind == "conversation":
                raise InvalidInput(
                    "node id", f"{node_id!r} is a recorded message, which never changes"
                )
            now = self._clock.now()
            changed = node.with_(
                content=content,
                event=event or self._event(content, now),
                valid_from=now,
                metadata=node.metadata if metadata is None else metadata,
            )
            try:
                return await self._store.update_node(
                    where, await index_fact(self._embedder, changed), version=node.version
                )
            except StoreUnavailable:
                continue  # another writer was first: read its version and try again
        raise StoreUnavailable(f"node {node_id!r} keeps being changed by other writers")

    async def delete(self, node_id: str, *, scope: Scope | str) -> None:
        """Remove one observation, note or insight with its history.

        Raises UnknownId, InvalidInput for a conversation node (use :meth:`forget`).
        """
        where = as_scope(scope)
        node = await self.get(node_id, scope=where)
        if node.kind == "conversation":
            raise InvalidInput(
                "node id", f"{node_id!r} is part of a message; forget(message_ids=...) removes it"
            )
        await self._store.delete_nodes(where, [node_id])

    async def expire(self, node_id: str, *, scope: Scope | str) -> MemoryNode:
        """Close an observation, note or insight: from now on it is not believed any more.

        It stays in history, and ``as_of`` sees it. One that is closed already stays as it is.
        Raises UnknownId, InvalidInput for a conversation node.
        """
        where = as_scope(scope)
        for _ in range(5):
            node = await self.get(node_id, scope=where)
            if node.kind == "conversation":
                raise InvalidInput(
                    "node id", f"{node_id!r} is a recorded message, which never changes"
                )
            if node.valid_to is not None:
                return node
            now = self._clock.now()
            try:
                return await self._store.update_node(
                    where,
                    await index_fact(None, node.with_(valid_to=now)),  # the vector stays
                    version=node.version,
                )
            except StoreUnavailable:
                continue  # another writer was first: read its version and try again
        raise StoreUnavailable(f"node {node_id!r} keeps being changed by other writers")

    async def forget(
        self,
        *,
        scope: Scope | str,
        message_ids: Collection[str] = (),
        session_id: str | None = None,
        everything: bool = False,
        compact: bool = False,
    ) -> Forgotten:
        """Remove messages, a session or all of a scope, and whatever rests on them.

        Afterwards the text is in no file of the store, nor of the beacon memory, which reads again
        what came after it when it is refreshed; ``compact`` also shrinks the file.
        Raises UnknownId for a message id that is not there, and InvalidInput unless exactly one
        of the three selections is made.
        """
        if [bool(message_ids), session_id is not None, everything].count(True) != 1:
            raise InvalidInput(
                "forget", "choose exactly one of message_ids, session_id and everything=True"
            )
        where = as_scope(scope)
        ids = list(message_ids)
        present = {message.id for message in await self._store.get_messages(where, ids)}
        for wanted in ids:
            if wanted not in present:
                raise UnknownId("message id", f"no message {wanted!r} in this scope")
        forgotten = await self._store.forget(
            where,
            message_ids=ids,
            session_id=session_id,
            everything=everything,
            compact=compact,
        )
        if self._embedder is not None and forgotten.messages and not everything:
            # the turns after the forgotten ones had them in their vectors
            with contextlib.suppress(ModelError):
                await embed_missing(self._store, self._embedder)
        cleared = await self._backend.forgotten(where, everything=everything)
        return forgotten if cleared else replace(forgotten, proven=False)

    # ------------------------------------------------------------ reading

    async def retrieve(
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
        """The evidence in this scope that matters to ``query``, best first; maybe none.

        Args:
            limit, budget_tokens: at most so many items, and tokens of packed text.
            budget_ms: after so many milliseconds optional work is left out and named.
            kinds: where to look.
            now, time_zone: what "yesterday" in the query refers to.
            as_of: what was believed at that moment.
            during: only what was said or happened inside.
            session_id: only this session.
            current_session: the session the user is in; its last turns are not repeated.
            floor: whether a query with no answer in memory returns nothing.
            explain: fill ``parts`` and ``found_by`` of every item.
            profile: how much is done, see :data:`~memoryscope_rag.schema.PROFILES`; by default
                ``retrieval.profile`` of the settings.

        Raises InvalidInput; StoreError.
        """
        settings = self.config.retrieval
        unknown = set(kinds) - set(KINDS)
        if unknown or not kinds:
            raise InvalidInput("kinds", f"{sorted(unknown)} unknown; known: {', '.join(KINDS)}")
        limit = settings.limit if limit is None else limit
        if not 1 <= limit <= 1000:
            raise InvalidInput("limit", f"{limit} is not in 1..1000")
        budget = settings.budget_tokens if budget_tokens is None else budget_tokens
        if budget < 0:
            raise InvalidInput("budget_tokens", "must not be negative")
        milliseconds = settings.budget_ms if budget_ms is None else budget_ms
        if milliseconds is not None and milliseconds < 0:
            raise InvalidInput("budget_ms", "must not be negative")
        zone = _zone(time_zone or self.config.time_zone)
        state = RetrievalState(
            scope=as_scope(scope),
            text=check_text("query", query),
            now=(now or self._clock.now()).astimezone(zone),
            kinds=frozenset(kinds),
            limit=limit,
            budget_tokens=budget,
            deadline=Deadline.after(milliseconds),
            floor=settings.floor if floor is None else floor,
            explain=explain,
            as_of=as_of,
            during=during,
            session_id=session_id,
            current_session=current_session,
        )
        with self._foreground:
            # a file answers late when it is cold, a cluster when it is away
            patience = PATIENCE_S if self.config.store.provider == "elasticsearch" else None
            return await self._profiles.retrieve(state, profile, patience_s=patience)

    async def chat(
        self,
        query: str,
        *,
        scope: Scope | str,
        session_id: str = "default",
        **options: Unpack[ChatOptions],
    ) -> ChatReply:
        """A reply of the chat model, which is given what memory holds; the turn is recorded.

        :class:`~memoryscope_rag.operations.chat.ChatRequest` says what the options mean. A memory
        that fails or is late costs the reply its evidence and adds to ``warnings``.

        Raises:
            ConfigError: no chat model is configured.
            InvalidInput: the query is empty, or an option cannot be.
            DuplicateId: ``message_id`` belongs to another message.
            ModelError: the model failed; the user's turn is in the log all the same.
        """
        request = ChatRequest(query=query, scope=as_scope(scope), session_id=session_id, **options)
        return await self._chat.reply(request)

    def chat_stream(
        self,
        query: str,
        *,
        scope: Scope | str,
        session_id: str = "default",
        **options: Unpack[ChatOptions],
    ) -> AsyncGenerator[ChatDelta, None]:
        """As :meth:`chat`, in pieces: the evidence first, the whole reply last.

        Close the iterator to stop early; the part that was said is recorded, with the metadata
        ``partial``. Errors in the arguments are raised at once, others while iterating.
        """
        request = ChatRequest(query=query, scope=as_scope(scope), session_id=session_id, **options)
        return self._chat.stream(request)

    async def get(self, node_id: str, *, scope: Scope | str) -> MemoryNode:
        """One node. Raises UnknownId."""
        found = await self._store.nodes(as_scope(scope), [node_id])
        if not found:
            raise UnknownId("node id", f"no node {node_id!r} in this scope")
        return found[0]

    async def list(
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
        where = NodeFilter(
            kinds=None if kinds is None else frozenset(kinds),
            session_id=session_id,
            as_of=as_of,
            closed=closed,
        )
        return await self._store.list_nodes(as_scope(scope), where, cursor=cursor, limit=limit)

    async def messages(
        self,
        *,
        scope: Scope | str,
        session_id: str | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> tuple[Message, ...]:
        """The log: messages with ``seq > after``, oldest first."""
        return await self._store.messages(
            as_scope(scope), session_id=session_id, after=after, limit=limit
        )

    async def history(self, node_id: str, *, scope: Scope | str) -> tuple[MemoryNode, ...]:
        """Every version of a node, oldest first. Raises UnknownId."""
        return await self._store.history(as_scope(scope), node_id)

    async def scopes(self) -> tuple[Scope, ...]:
        """Every scope of the store."""
        return await self._store.scopes()

    async def stats(self, *, scope: Scope | str | None = None) -> StoreStats:
        """Counts of one scope, or of the whole store.

        ``detail["background"]`` says which process works in the background.
        """
        where = None if scope is None else as_scope(scope)
        counts = await self._store.stats(where)
        counts = replace(counts, detail={**counts.detail, "background": self._backend.place})
        if self._memory is None:
            return counts
        scopes = await self._store.scopes() if where is None else (where,)
        return replace(counts, memory=await count_memory(self._memory, self._store, scopes))

    async def generation(self, *, scope: Scope | str) -> int:
        """A counter that every write to the scope raises, by whatever process; cheap to ask for."""
        return await self._store.generation(as_scope(scope))

    # ------------------------------------------------------------ behind the chat

    async def consolidate(self, *, scope: Scope | str) -> ConsolidationReport:
        """Turn what is pending into observations now; what became of it is in the report.

        Raises StoreError; a failing model is no error but ``failed`` and ``parked`` in the report.
        """
        return await self._backend.consolidate(as_scope(scope))

    async def reflect(self, *, scope: Scope | str) -> ReflectionReport:
        """Turn observations into insights now. Raises StoreError; see the report for failures."""
        return await self._backend.reflect(as_scope(scope))

    async def refresh(
        self, *, scope: Scope | str, progress: Progress | None = None
    ) -> RefreshReport:
        """Let the beacon memory read what it does not cover; what became of it is in the report.

        What was read is kept when this is broken off, and the next call goes on. ``progress`` is
        called with the messages that are covered, and those of the log.

        Raises:
            ConfigError: ``memory.model`` names no model.
            MissingExtra: what beacon memory needs is not installed.
            StoreError: the store failed, or the memory's files.
        """
        if self._memory is None and self.config.memory.model is not None:
            await asyncio.to_thread(build_memory, self.config)  # says what is missing
        return await self._backend.refresh(as_scope(scope), progress=progress)

    async def coverage(self, *, scope: Scope | str) -> Coverage:
        """What the beacon memory holds of this scope; nothing where there is none."""
        return Coverage() if self._memory is None else await self._memory.coverage(as_scope(scope))

    async def attention(self, query: str, *, scope: Scope | str) -> Mapping[str, float]:
        """By message id how much ``query`` draws attention there in the beacon memory, 0 for as
        much as no query does; empty where there is no memory, or attention is not kept.

        Raises ModelError.
        """
        if self._memory is None:
            return {}
        return await self._memory.attention(as_scope(scope), check_text("query", query))

    async def drop_memory(self, *, scope: Scope | str) -> None:
        """Remove the beacon memory of this scope; it is made anew from the log when refreshed.

        Raises StoreError.
        """
        if self._memory is not None:
            await self._memory.drop(as_scope(scope))

    async def retry_parked(self, *, scope: Scope | str) -> int:
        """Make parked messages pending again, for the next consolidation; how many there were."""
        where = as_scope(scope)
        total = 0
        while parked := await self._store.messages(where, state="parked"):
            await self._store.mark(where, [message.id for message in parked], "pending")
            total += len(parked)
        self._backend.pending_again(where, total)
        return total

    async def flush(self, *, scope: Scope | str | None = None) -> int:
        """Consolidate everything that is pending; how many messages still are, 0 when all went."""
        return await self._backend.flush(None if scope is None else as_scope(scope))

    async def start(self) -> None:
        """Consolidate, reflect and refresh in the background, as ``config.schedule`` says."""
        await self._backend.start()

    async def stop(self, *, wait: bool = True) -> None:
        """End :meth:`start`; what is running is finished first, or without ``wait`` handed back."""
        await self._backend.stop(wait=wait)

    # ------------------------------------------------------------ the whole store

    def export(self, *, scope: Scope | str) -> AsyncIterator[str]:
        """A scope as JSON lines: every message, every fact with its earlier versions."""
        return export_lines(self._store, as_scope(scope))

    async def import_(
        self,
        lines: Iterable[str],
        *,
        scope: Scope | str,
        progress: Progress | None = None,
    ) -> ImportReport:
        """Read what :meth:`export` wrote. What cannot be read is reported; the rest goes in."""
        where = as_scope(scope)
        report = await import_lines(self._store, self._embedder, where, lines, progress=progress)
        self._backend.refresh_soon(where)
        return report

    async def reembed(self, *, progress: Progress | None = None) -> int:
        """Give every node that lacks one a vector of the present model; how many got one.

        Also completes the switch to another model, and goes on where it was interrupted.
        """
        if self._embedder is None:
            raise InvalidInput("embedder", "is 'none'; choose a model to embed with")
        return await reembed(self._store, self._embedder, progress=progress)

    async def check(self) -> tuple[str, ...]:
        """What is wrong with the data, one sentence each; empty when all is well."""
        return await self._store.check()

    async def close(self) -> None:
        """Finish what is running and close everything; a second call does nothing.

        What was recorded through this application is consolidated first, for at most
        ``schedule.close_s`` seconds; the rest stays pending.
        """
        if self._closed:
            return
        self._closed = True
        try:
            await self._chat.finish()
            await self._profiles.close()
            await self._backend.close()
            if self._generator is not None:
                await self._generator.close()
        finally:
            if self._memory is not None:
                await self._memory.close()
            if self._reranker is not None:
                self._reranker.close()
            await self._store.close()
            if self._embedder is not None:
                self._embedder.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # ------------------------------------------------------------ inside

    def _event(self, content: str, said_at: datetime) -> Event | None:
        local = said_at.astimezone(_zone(self.config.time_zone))
        return told_event(content[:EVENT_CHARS], local)  # a note may be a whole document


def _memory_if_installed(config: Config) -> HistoryMemory | None:
    try:
        return build_memory(config)
    except MissingExtra as missing:
        _log.warning("there is no beacon memory: %s", missing)
        return None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidInput("time_zone", f"{name!r} is no time zone such as Europe/Berlin") from None
