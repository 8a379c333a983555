"""What the outside must look like: store, embedder, reranker, generator, history memory, clock.

Protocols only; anything with these methods fits. Every store method but the administrative ones
takes a :class:`~memoryscope_rag.schema.Scope` and can return nothing from another.
Arrays are numpy, float32, C-contiguous; vectors have unit length.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.schema import (
    Clue,
    ClueKind,
    Interval,
    Kind,
    MemoryNode,
    Message,
    MessageState,
    NewMessage,
    Role,
    Scope,
)

FloatArray = NDArray[np.float32]
T = TypeVar("T")


# ---------------------------------------------------------------- models


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """Which vectors an embedder makes; a store refuses vectors of another spec.

    ``fingerprint`` changes when the weights or the way of using them (pooling, prefixes) change.
    ``max_tokens`` is the longest input in the model's tokens, prefix and special tokens included.
    """

    name: str
    dimension: int
    fingerprint: str
    max_tokens: int


@runtime_checkable
class Embedder(Protocol):
    """Texts to unit vectors."""

    @property
    def spec(self) -> EmbedderSpec: ...

    async def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> FloatArray:
        """Unit vectors, shape ``(len(texts), dimension)``, in the order of ``texts``.

        A text longer than ``max_tokens`` is cut at its end; :meth:`pieces` avoids that.

        Raises:
            ModelError: the model failed; ``retryable`` says whether to try again.
        """
        ...

    def pieces(self, text: str) -> tuple[tuple[int, int], ...]:
        """Character spans that cover ``text`` without gap or overlap, each fitting the model.

        Cuts fall at sentence ends where there are any. One span when the text fits.
        """
        ...

    def close(self) -> None: ...


@runtime_checkable
class Reranker(Protocol):
    """Scores texts against a query, higher is better."""

    async def rerank(self, query: str, texts: Sequence[str]) -> FloatArray:
        """Scores ``(len(texts),)`` in the order of ``texts``. Raises ModelError."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a prompt."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a chat model picks its words; ``None`` leaves it to the model or its server.

    ``max_tokens`` bounds the reply. A reply ends before the first of ``stop``.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a call took, as the server counts them; 0 where it does not say."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What a chat model said. ``text`` holds no reasoning; ``reasoning`` keeps it apart.

    ``model`` is the one that answered. ``finish`` is "length" when ``max_tokens`` cut the text,
    "filter" when the server withheld it.
    """

    text: str
    model: str
    usage: Usage = Usage()
    finish: Literal["stop", "length", "filter", "other"] = "stop"
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed reply; the last one has no text and brings the whole ``reply``."""

    text: str
    reply: Reply | None = None


JsonSchema = Mapping[str, Any]


@runtime_checkable
class Generator(Protocol):
    """A chat model. ``model`` is the name that is sent to the server."""

    @property
    def model(self) -> str: ...

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: Sampling = Sampling(),
        schema: JsonSchema | None = None,
    ) -> Reply:
        """The model's reply.

        With a ``schema`` the reply is asked to be one JSON value of it, by the strongest means
        the model has; the caller still has to check, as :mod:`memoryscope_rag.models.structured`
        does.

        Raises:
            ModelError: the model failed; ``retryable`` says whether to try again.
        """
        ...

    def stream(
        self, messages: Sequence[ChatMessage], *, sampling: Sampling = Sampling()
    ) -> AsyncIterator[Delta]:
        """The reply piece by piece. Closing the iterator early ends the request."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CoveredBlock:
    """One block of a beacon memory: ``tokens`` raw tokens of ``message_ids`` kept at ``ratio``."""

    tokens: int
    ratio: int
    bytes: int
    message_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the beacon memory of a scope holds; the default is that of no memory.

    ``message_ids`` are the messages that were read, in that order. ``rows`` is what a question
    attends to, ``bytes`` the size on disk, what is kept of sessions for reading attention included.
    ``tail_tokens`` wait for their block to be full. ``seconds`` were spent reading.
    """

    message_ids: tuple[str, ...] = ()
    tokens: int = 0
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    tail_tokens: int = 0
    blocks: tuple[CoveredBlock, ...] = ()


@runtime_checkable
class HistoryMemory(Protocol):
    """The beacon memories of all scopes: a model's compressed reading of each message log.

    It knows no store: what it covers may be behind the log, or hold what was forgotten there since;
    whoever asks compares.
    """

    @property
    def model(self) -> str:
        """The name of the model."""
        ...

    async def coverage(self, scope: Scope) -> Coverage:
        """What is covered at this moment. Opens no model. Raises StoreCorrupt, SchemaTooNew."""
        ...

    async def write(self, scope: Scope, messages: Sequence[Message], *, keep: int) -> Coverage:
        """Make the memory one of its first ``keep`` messages and then ``messages``.

        All of it or nothing: others see the old memory until it is done. What is not kept is read
        again by nobody and lies in no file afterwards. The memory is within its budget then.

        Raises:
            InvalidInput: ``keep`` is more than there is, or a message is in it already.
            ModelError: the model failed, or the history does not fit it at any ratio.
            StoreError: the files cannot be written.
        """
        ...

    async def drop(self, scope: Scope) -> None:
        """Remove the memory of ``scope``, also those that other models made. Raises StoreError."""
        ...

    async def clues(self, scope: Scope, query: str, kinds: Sequence[ClueKind]) -> tuple[Clue, ...]:
        """Clues of these kinds, in their order; none where nothing is covered.

        Raises ModelError, StoreError.
        """
        ...

    async def attention(self, scope: Scope, query: str) -> Mapping[str, float]:
        """By message id how much ``query`` draws attention there: 0 as much as no query does.

        Empty where nothing is covered, or attention is not kept. Raises ModelError, StoreError.
        """
        ...

    async def close(self) -> None:
        """End what is running, which fails, and let go of the model."""
        ...


@runtime_checkable
class Clock(Protocol):
    """Says what time it is."""

    def now(self) -> datetime: ...


# ---------------------------------------------------------------- store: what goes in


@dataclass(frozen=True, slots=True, eq=False)
class IndexedNode:
    """A node with what it is found by.

    ``terms`` and ``context_terms`` are tokens of :mod:`memoryscope_rag.lexical`; the context is
    the node with the turns right before it. A vector is ``None`` until it has been computed.
    """

    node: MemoryNode
    terms: tuple[str, ...]
    context_terms: tuple[str, ...] = ()
    vector: FloatArray | None = None
    context_vector: FloatArray | None = None
    question: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class LogEntry:
    """A message with its conversation nodes; the store sets ``seq`` in both."""

    message: NewMessage
    nodes: tuple[IndexedNode, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of one message.

    ``stored``: it is new and durable. ``known``: the same message was there already. ``refused``:
    the id is taken by another content, nothing was changed; ``message`` is what holds the id.
    ``waiting``: it is durable in this machine's outbox, for the database is away; until that has it
    its ``seq`` is 0, and whether its id is free is not known.
    """

    message: Message
    status: Literal["stored", "known", "refused", "waiting"]


# ---------------------------------------------------------------- store: what is asked


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One text to search by: its tokens and, unless embedding failed, its vector ``(dim,)``."""

    name: str
    terms: tuple[str, ...]
    vector: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SearchRequest:
    """What to look for, and among which nodes.

    ``limit`` nodes per query are taken from each of three searches: dense and lexical over the
    turns, lexical over the turns with their context. (A dense search of the contexts finds nothing
    that these lack: on LoCoMo no figure moves by more than .002.) The conversation nodes within
    ``neighbours`` turns of a hit in the same session join them.
    ``as_of`` asks for what was believed then; without it closed nodes are left out.
    ``during`` keeps only what was said or happened inside. ``session_id`` keeps one session.
    The conversation nodes of ``messages`` (ids) are hits, too, if they pass all of this.
    """

    queries: tuple[Query, ...]
    kinds: frozenset[Kind]
    limit: int = 60
    neighbours: int = 2
    as_of: datetime | None = None
    during: Interval | None = None
    session_id: str | None = None
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The union of what the searches found, ``n`` nodes, every score computed for every node.

    Shapes: ``dense``, ``dense_context``, ``lexical``, ``lexical_context`` are ``(queries, n)``;
    cosine for the dense ones (NaN where a vector is missing), BM25 for the lexical ones.
    ``lexical_best`` is ``(queries,)``: the best BM25 of the query in the whole scope (turn).
    ``vectors`` is ``(n, dim)``, zero where missing. ``session`` and ``speaker`` are codes, equal
    where the value is equal, -1 for none; ``speakers[code]`` is the name. ``turn`` is the place of
    the node's turn in its session: neighbouring turns differ by one, whatever other sessions said
    between them; -1 for none. Only small differences mean something: turns that lie far apart may
    be given any places that do. Times are POSIX seconds, NaN for none.
    ``found`` tells hits from mere neighbours. ``length`` counts characters.
    ``population`` counts the nodes that pass the request's filters, found or not.
    Order: by kind, then seq; it carries no meaning.
    """

    ids: tuple[str, ...]
    kinds: tuple[Kind, ...]
    dense: FloatArray
    dense_context: FloatArray
    lexical: FloatArray
    lexical_context: FloatArray
    lexical_best: FloatArray
    vectors: FloatArray
    session: NDArray[np.int64]
    seq: NDArray[np.int64]
    turn: NDArray[np.int64]
    speaker: NDArray[np.int64]
    speakers: tuple[str, ...]
    said_at: NDArray[np.float64]
    event_start: NDArray[np.float64]
    event_end: NDArray[np.float64]
    length: NDArray[np.int64]
    question: NDArray[np.bool_]
    found: NDArray[np.bool_]
    population: int = 0

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class NodeFilter:
    """Which nodes to list; the default is all kinds, open ones only.

    ``reflected`` asks for those that reflection has, or has not, dealt with in their present
    content.
    """

    kinds: frozenset[Kind] | None = None
    session_id: str | None = None
    message_id: str | None = None
    as_of: datetime | None = None
    closed: bool = False
    reflected: bool | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What one run of a backend operation does to a scope: all of it or nothing.

    ``update`` pairs a node with the version that it replaces. ``parked`` and ``failed`` give the
    reason by message id: a parked message is left alone from then on, a failed one stays pending
    with one more attempt. ``reflected`` are the nodes that reflection has dealt with.
    """

    add: tuple[IndexedNode, ...] = ()
    update: tuple[tuple[IndexedNode, int], ...] = ()
    consolidated: tuple[str, ...] = ()
    parked: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    reflected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items and the cursor of the next page, ``None`` on the last."""

    items: tuple[T, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What ``forget`` removed; ``proven`` after the store searched for it and found nothing."""

    messages: int
    nodes: int
    node_ids: tuple[str, ...]
    proven: bool


@dataclass(frozen=True, slots=True)
class OutboxStats:
    """What stands in an outbox: messages that wait for the database, and those that it refused.

    ``oldest`` is since when the first of the waiting ones waits. ``bytes`` is the size on disk.
    """

    path: str
    waiting: int
    refused: int
    oldest: datetime | None
    bytes: int


@dataclass(frozen=True, slots=True)
class MemoryCounts:
    """What the beacon memory of a scope, or those of all, hold together, and how they are used.

    ``covered`` counts messages that they hold, ``lag`` those of the log that they do not.
    ``seconds`` were spent reading. ``asked`` counts questions since the application was opened, in
    all scopes: ``cached`` were answered before, ``refused`` met a memory that was being refreshed.
    ``problem`` is why one of them cannot be read; it counts as holding nothing.
    """

    model: str
    covered: int = 0
    lag: int = 0
    tokens: int = 0
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    asked: int = 0
    cached: int = 0
    refused: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Counts of one scope, or of the whole store. ``bytes`` is the size on disk, whole store."""

    scopes: int
    messages: int
    pending: int
    nodes: Mapping[str, int]
    missing_vectors: int
    generation: int
    bytes: int
    embedder: EmbedderSpec | None
    detail: Mapping[str, str] = field(default_factory=dict)
    outbox: OutboxStats | None = None
    memory: MemoryCounts | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one scope until ``expires_at``; ``token`` fences late writers."""

    scope: Scope
    name: str
    owner: str
    token: int
    expires_at: datetime


@runtime_checkable
class MemoryStore(Protocol):
    """The message log and the nodes of many scopes. Held to ``testing.store_contract``.

    All writes are durable when they return. Raises :class:`~memoryscope_rag.errors.StoreError`
    for what the database cannot do, :class:`~memoryscope_rag.errors.InvalidInput` for what the
    caller got wrong.
    """

    # -- the log
    async def append(self, scope: Scope, entries: Sequence[LogEntry]) -> tuple[Recorded, ...]:
        """Append messages with their nodes, in order, all or none; one outcome an entry."""
        ...

    async def messages(
        self,
        scope: Scope,
        *,
        session_id: str | None = None,
        state: MessageState | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> tuple[Message, ...]:
        """Messages with ``seq > after`` in order of ``seq``."""
        ...

    async def last_messages(
        self, scope: Scope, limit: int, *, session_id: str | None = None
    ) -> tuple[Message, ...]:
        """The last ``limit`` messages, oldest first."""
        ...

    async def get_messages(self, scope: Scope, ids: Sequence[str]) -> tuple[Message, ...]:
        """Messages by id, in the order of ``ids``; unknown ids are left out."""
        ...

    async def count(self, scope: Scope, up_to: int) -> int:
        """How many messages have ``seq <= up_to``."""
        ...

    async def around(
        self, scope: Scope, seqs: Sequence[int], before: int, after: int
    ) -> Mapping[int, tuple[tuple[Message, ...], tuple[Message, ...]]]:
        """For each ``seq`` the turns before and after it in its own session, oldest first."""
        ...

    async def pending(self) -> Mapping[Scope, int]:
        """How many messages are pending, for every scope that has any."""
        ...

    async def mark(
        self, scope: Scope, ids: Sequence[str], state: MessageState, reason: str | None = None
    ) -> None:
        """Move messages to a state, all or none; their attempts count from 0. Raises UnknownId."""
        ...

    # -- nodes
    async def add_nodes(self, scope: Scope, nodes: Sequence[IndexedNode]) -> None:
        """Insert nodes as version 1, all or none.

        Raises DuplicateId, and UnknownId when a node other than an insight rests on a message
        that is not in the scope: what was forgotten meanwhile must not come back.
        """
        ...

    async def update_node(self, scope: Scope, node: IndexedNode, *, version: int) -> MemoryNode:
        """Replace the node whose current version is ``version``; the old one goes to history.

        The stored node has ``version + 1``. A vector that is ``None`` keeps the stored one while
        the content stays the same, and drops it otherwise. Raises UnknownId, and
        StoreUnavailable (retryable) when another writer was first.
        """
        ...

    async def nodes(self, scope: Scope, ids: Sequence[str]) -> tuple[MemoryNode, ...]:
        """Nodes by id, in the order of ``ids``; unknown ids are left out."""
        ...

    async def drawn_from(
        self, scope: Scope, message_ids: Sequence[str]
    ) -> Mapping[str, tuple[MemoryNode, ...]]:
        """The observations that rest on each message, closed ones too, in any order.

        Messages on which none rests are left out.
        """
        ...

    async def list_nodes(
        self,
        scope: Scope,
        where: NodeFilter = NodeFilter(),
        *,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[MemoryNode]:
        """Nodes by ``said_at``, then id, a page at a time."""
        ...

    async def history(self, scope: Scope, node_id: str) -> tuple[MemoryNode, ...]:
        """Every version of a node, oldest first, the current one last. Raises UnknownId."""
        ...

    async def delete_nodes(self, scope: Scope, ids: Sequence[str]) -> tuple[str, ...]:
        """Remove nodes with their history; returns the ids that were there."""
        ...

    async def commit(self, scope: Scope, changes: Changes, lease: Lease | None = None) -> None:
        """Carry out ``changes`` in one transaction, or as near to one as the database has:
        nodes first, the states of messages last.

        Raises:
            LeaseLost: ``lease`` is not held any more; nothing was done.
            DuplicateId, UnknownId: as :meth:`add_nodes`, :meth:`update_node` and :meth:`mark`;
                UnknownId also when an open insight rests on a node that is not in the scope.
            StoreUnavailable: another writer changed one of the nodes first (retryable).
        """
        ...

    # -- search
    async def search(
        self, scope: Scope, requests: Sequence[SearchRequest]
    ) -> tuple[Candidates, ...]:
        """For each request the candidates of all its queries; one round trip for all of them."""
        ...

    async def generation(self, scope: Scope) -> int:
        """A counter that every write to the scope raises."""
        ...

    # -- removal
    async def forget(
        self,
        scope: Scope,
        *,
        message_ids: Sequence[str] = (),
        session_id: str | None = None,
        everything: bool = False,
        compact: bool = False,
    ) -> Forgotten:
        """Remove messages and every node that rests on one of them, in every version.

        Exactly one of the three selections. Nodes that belong to the session go with it. The turns
        after a removed one lose their context terms and vector, and ``unembedded`` lists them; a
        ``superseded_by`` that names a removed node is cleared. What is left of the facts that a
        removed insight rested on counts as not reflected. Afterwards the text is in no file
        of the store; ``compact`` also gives the space back to the disk.
        """
        ...

    # -- leases
    async def acquire(self, scope: Scope, name: str, owner: str, seconds: float) -> Lease | None:
        """Take or renew the lease ``name``; ``None`` while another owner holds it."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give a lease back; harmless when it was lost."""
        ...

    # -- embedding
    async def vectors(
        self, scope: Scope, ids: Sequence[str]
    ) -> Mapping[str, tuple[FloatArray | None, FloatArray | None]]:
        """The vectors (turn, context) of nodes by id, of the store's active embedder.

        Nodes that have none, and unknown ids, are left out. It needs no embedder of the caller.
        """
        ...

    async def unembedded(self, limit: int) -> tuple[tuple[Scope, MemoryNode], ...]:
        """Nodes that lack a vector of the store's embedder(-to-be), oldest scope first."""
        ...

    async def set_vectors(
        self, scope: Scope, vectors: Mapping[str, tuple[FloatArray, FloatArray]]
    ) -> int:
        """Give nodes their vectors (turn, context); returns how many nodes were still there."""
        ...

    async def begin_reembed(self, spec: EmbedderSpec) -> None:
        """Make ``spec`` the store's embedder-to-be; searches use the old one until the end."""
        ...

    async def finish_reembed(self) -> None:
        """Switch to the new embedder and drop the old vectors; StoreError if any is missing."""
        ...

    # -- administration
    async def scopes(self) -> tuple[Scope, ...]: ...

    async def stats(self, scope: Scope | None = None) -> StoreStats: ...

    async def check(self) -> tuple[str, ...]:
        """What is wrong with the data (fsck), one sentence each; empty when all is well."""
        ...

    async def close(self) -> None:
        """Finish what is running and let go of files and threads; a second call does nothing."""
        ...
