"""The client for callers without an event loop."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

import tenacity

from memoryscope_rag.client import calls
from memoryscope_rag.client.calls import (
    Call,
    FactOptions,
    ForgetOptions,
    ListOptions,
    LogOptions,
    NoteOptions,
    RecordOptions,
    RetrieveOptions,
    T,
    Where,
)
from memoryscope_rag.client.events import Events, Lines
from memoryscope_rag.client.sending import (
    CONNECTIONS,
    Again,
    Patience,
    away,
    headers_of,
    key_header,
    none_refused,
    result_of,
    unreachable,
    web,
)
from memoryscope_rag.operations.chat import ChatDelta, ChatOptions, ChatReply
from memoryscope_rag.operations.consolidate import ConsolidationReport
from memoryscope_rag.operations.import_ import ImportReport
from memoryscope_rag.operations.reflect import ReflectionReport
from memoryscope_rag.operations.refresh import RefreshReport
from memoryscope_rag.ports import Coverage, Forgotten, Page, Recorded, StoreStats
from memoryscope_rag.schema import (
    Evidence,
    MemoryNode,
    Message,
    NewMessage,
    Scope,
)

if TYPE_CHECKING:
    import httpx2


class Client:
    """A memory behind a service at ``url``, by the API key ``key``; may be shared by threads.

    ``patience`` says how often and how long it tries. ``http`` stands in for an HTTP client of
    its own, and is not closed with this one. Every method is that of
    :class:`~memoryscope_rag.AsyncMemoryScope` of the same name, which documents arguments and
    errors; besides, each may raise :class:`~memoryscope_rag.client.ServiceError`, and
    StoreUnavailable when the service does not answer. A plain user id as ``scope`` leaves the
    tenant to the key.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        patience: Patience = Patience(),
        http: httpx2.Client | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._patience = patience
        self._headers = key_header(key)
        self._web = web()
        self._own = http is None
        self._http = http or self._web.Client(
            timeout=self._web.Timeout(patience.timeout_s, pool=None),
            limits=self._web.Limits(
                max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS
            ),
        )

    def close(self) -> None:
        """Close the connections; the memory stays open at the service."""
        if self._own:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ------------------------------------------------------------ writing

    def record(self, content: str, *, scope: Where, **options: Unpack[RecordOptions]) -> Recorded:
        """Record one message, durable and retrievable when this returns."""
        return self._send(calls.record(content, scope, options))

    def record_each(self, messages: Iterable[NewMessage], *, scope: Where) -> tuple[Recorded, ...]:
        """Record messages in order; one outcome each, ``refused`` where an id is taken."""
        return self._send(calls.record_many(messages, scope))

    def record_many(self, messages: Iterable[NewMessage], *, scope: Where) -> tuple[Recorded, ...]:
        """Record messages in order; one outcome each.

        Raises DuplicateId when ids were refused because other content holds them; everything
        else of the batch is stored by then.
        """
        return none_refused(self.record_each(messages, scope=scope))

    def add_note(self, content: str, *, scope: Where, **options: Unpack[NoteOptions]) -> MemoryNode:
        """Keep a fact that the user or the host states, word for word."""
        return self._send(calls.add_note(content, scope, options))

    def update(
        self, node_id: str, content: str, *, scope: Where, **options: Unpack[FactOptions]
    ) -> MemoryNode:
        """Give an observation, note or insight another content; the old one stays in history."""
        return self._send(calls.update(node_id, content, scope, options))

    def expire(self, node_id: str, *, scope: Where) -> MemoryNode:
        """Close an observation, note or insight: from now on it is not believed any more."""
        return self._send(calls.expire(node_id, scope))

    def delete(self, node_id: str, *, scope: Where) -> None:
        """Remove one observation, note or insight with its history."""
        self._send(calls.delete(node_id, scope))

    def forget(self, *, scope: Where, **options: Unpack[ForgetOptions]) -> Forgotten:
        """Remove messages, a session or all of a scope, and whatever rests on them."""
        return self._send(calls.forget(scope, options))

    # ------------------------------------------------------------ reading

    def retrieve(self, query: str, *, scope: Where, **options: Unpack[RetrieveOptions]) -> Evidence:
        """The evidence in this scope that matters to ``query``, best first; maybe none."""
        return self._send(calls.retrieve(query, scope, options))

    def chat(
        self,
        query: str,
        *,
        scope: Where,
        session_id: str = "default",
        **options: Unpack[ChatOptions],
    ) -> ChatReply:
        """A reply of the chat model, which is given what memory holds; the turn is recorded."""
        return self._send(calls.chat(query, scope, session_id, options))

    def chat_stream(
        self,
        query: str,
        *,
        scope: Where,
        session_id: str = "default",
        **options: Unpack[ChatOptions],
    ) -> Generator[ChatDelta, None, None]:
        """As :meth:`chat`, in pieces: the evidence first, the whole reply last."""
        call = calls.chat(query, scope, session_id, options, stream=True)
        events = Events()
        for line in self._lines(call):
            delta = events.take(line)
            if delta is not None:
                yield delta

    def get(self, node_id: str, *, scope: Where) -> MemoryNode:
        """One node."""
        return self._send(calls.get(node_id, scope))

    def list(self, *, scope: Where, **options: Unpack[ListOptions]) -> Page[MemoryNode]:
        """Nodes in order of time, a page at a time; ``closed`` includes what is no longer true."""
        return self._send(calls.list_(scope, options))

    def messages(self, *, scope: Where, **options: Unpack[LogOptions]) -> tuple[Message, ...]:
        """The log: messages with ``seq > after``, oldest first."""
        return (self._send(calls.messages(scope, options))).items

    def history(self, node_id: str, *, scope: Where) -> tuple[MemoryNode, ...]:
        """Every version of a node, oldest first."""
        return self._send(calls.history(node_id, scope))

    def scopes(self) -> tuple[Scope, ...]:
        """Every scope of the key's tenants."""
        return self._send(calls.scopes())

    def stats(self, *, scope: Where | None = None) -> StoreStats:
        """Counts of one scope, or of the whole store."""
        return self._send(calls.stats(scope))

    # ------------------------------------------------------------ behind the chat

    def consolidate(self, *, scope: Where) -> ConsolidationReport:
        """Turn what is pending into observations now."""
        return self._send(calls.consolidate(scope))

    def reflect(self, *, scope: Where) -> ReflectionReport:
        """Turn observations into insights now."""
        return self._send(calls.reflect(scope))

    def refresh(self, *, scope: Where) -> RefreshReport:
        """Let the beacon memory read what it does not cover; what became of it is in the report."""
        return self._send(calls.refresh(scope))

    def coverage(self, *, scope: Where) -> Coverage:
        """What the beacon memory holds of this scope; nothing where there is none."""
        return self._send(calls.coverage(scope))

    def attention(self, query: str, *, scope: Where) -> dict[str, float]:
        """By message id how much ``query`` draws attention there in the beacon memory."""
        return self._send(calls.attention(query, scope))

    def drop_memory(self, *, scope: Where) -> None:
        """Remove the beacon memory of this scope; it is made anew from the log when refreshed."""
        self._send(calls.drop_memory(scope))

    def retry_parked(self, *, scope: Where) -> int:
        """Make parked messages pending again, for the next consolidation; how many there were."""
        return (self._send(calls.retry_parked(scope))).count

    def flush(self, *, scope: Where | None = None) -> int:
        """Consolidate everything that is pending; how many messages still are."""
        return (self._send(calls.flush(scope))).count

    # ------------------------------------------------------------ the whole

    def export(self, *, scope: Where) -> Iterator[str]:
        """A scope as JSON lines: every message, every fact with its earlier versions."""
        yield from self._lines(calls.export(scope))

    def import_(self, lines: Iterable[str], *, scope: Where) -> ImportReport:
        """Read what :meth:`export` gave. What cannot be read is reported; the rest goes in."""
        reports = []
        for before, call in calls.imports(lines, scope):
            reports.append((before, self._send(call)))
        return calls.together(reports)

    # ------------------------------------------------------------ inside

    def _send(self, call: Call[T]) -> T:
        def attempt() -> T:
            try:
                answer = self._http.post(
                    self._url + call.path,
                    content=call.body,
                    headers=headers_of(call) | self._headers,
                )
            except self._web.TransportError as error:
                before = (self._web.ConnectError, self._web.ConnectTimeout)
                raise away(self._url, call, error, sent=not isinstance(error, before)) from None
            return result_of(call, answer.status_code, answer.headers, answer.content)

        try:
            return tenacity.Retrying(**self._patience.options())(attempt)
        except Again as last:
            raise last.error from None

    def _lines(self, call: Call[Any]) -> Generator[str, None, None]:
        """An answer that comes in lines, which is asked for once."""
        try:
            with self._http.stream(
                "POST",
                self._url + call.path,
                content=call.body,
                headers=headers_of(call) | self._headers,
            ) as answer:
                if answer.status_code != 200:
                    body = answer.read()
                    result_of(call, answer.status_code, answer.headers, body)
                lines = Lines()
                for piece in answer.iter_bytes():
                    yield from lines.take(piece)
        except self._web.TransportError as error:
            raise unreachable(self._url, error) from None
        except Again as last:
            raise last.error from None
