"""Chat: one turn of a conversation with memory, whole or piece by piece.

The order is: read history and evidence within a deadline, record what the user said, ask the
model, record what it said. A memory that fails costs the reply its evidence and adds a warning; a
model that fails costs the reply, and the user's turn is in the log by then.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Protocol, TypedDict, TypeVar
from zoneinfo import ZoneInfo

from memoryscope_rag.configs.model import Config
from memoryscope_rag.errors import ConfigError, InvalidInput, ModelError, StoreError
from memoryscope_rag.operations.chat_history import History, read_history, without
from memoryscope_rag.operations.chat_prompt import as_data, conversation, system_message
from memoryscope_rag.operations.profiles import check_profile
from memoryscope_rag.ports import ChatMessage, Generator, Recorded, Reply, Sampling
from memoryscope_rag.schema import (
    KINDS,
    Evidence,
    Kind,
    Message,
    Metadata,
    NewMessage,
    Profile,
    Role,
    Scope,
    check_name,
    check_text,
    check_time,
)
from memoryscope_rag.workers.base import Deadline, Services

T = TypeVar("T")
Remember = Literal["both", "user"] | bool
"""What is recorded of a turn: both sides (also ``True``), the user's alone, nothing."""

SOFT = 0.6
"""Of the time for memory, what optional work may take; the rest is for the search itself."""
LONGEST = 1000
"""Items that a retrieval gives at most."""


class ChatOptions(TypedDict, total=False):
    """What ``chat`` and ``chat_stream`` take by name; :class:`ChatRequest` says what they mean."""

    system_prompt: str | None
    memory_prompt: str | None
    temporary_memories: str | Sequence[str] | None
    history: History
    remember: Remember
    speaker: str | None
    limit: int | None
    budget_tokens: int | None
    budget_ms: float | None
    kinds: Collection[Kind]
    now: datetime | None
    time_zone: str | None
    message_id: str | None
    metadata: Metadata | None
    sampling: Sampling
    explain: bool
    profile: Profile | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One turn of a user.

    ``system_prompt`` and ``memory_prompt`` replace ours. ``temporary_memories`` are given to the
    model word for word, this once. ``speaker`` is the user's name. ``limit``, ``budget_tokens``,
    ``kinds`` and ``profile`` are those of ``retrieve``; ``budget_ms`` bounds all work on memory
    before the model is asked. ``message_id`` names the user's message: a turn that failed may be
    sent again with it. ``now`` is when the user speaks, by default now. ``explain`` fills the
    reasons in the evidence.

    Raises InvalidInput for an empty query and for options that cannot be.
    """

    query: str
    scope: Scope
    session_id: str
    system_prompt: str | None = None
    memory_prompt: str | None = None
    temporary_memories: str | Sequence[str] | None = None
    history: History = "auto"
    remember: Remember = "both"
    speaker: str | None = None
    limit: int | None = None
    budget_tokens: int | None = None
    budget_ms: float | None = None
    kinds: Collection[Kind] = KINDS
    now: datetime | None = None
    time_zone: str | None = None
    message_id: str | None = None
    metadata: Metadata | None = None
    sampling: Sampling = field(default_factory=Sampling)
    explain: bool = False
    profile: Profile | None = None

    def __post_init__(self) -> None:
        if not check_text("query", self.query).strip():
            raise InvalidInput("query", "must not be empty")
        check_name("session_id", self.session_id)
        for name in ("speaker", "message_id"):
            if (value := getattr(self, name)) is not None:
                check_name(name, value)
        for name in ("system_prompt", "memory_prompt"):
            if (value := getattr(self, name)) is not None:
                check_text(name, value)
        if self.now is not None:
            check_time("now", self.now)
        if self.profile is not None:
            check_profile(self.profile)
        number = isinstance(self.history, int) and not isinstance(self.history, bool)
        if self.history not in ("auto", None) and not (number and int(self.history) >= 0):
            raise InvalidInput(
                "history", f"{self.history!r:.40} is not 'auto', a number of pairs or None"
            )
        if self.remember not in ("both", "user", True, False):
            raise InvalidInput(
                "remember", f"{self.remember!r:.40} is not 'both', 'user', True or False"
            )
        if self.budget_ms is not None and self.budget_ms < 0:
            raise InvalidInput("budget_ms", "must not be negative")

    @property
    def temporary(self) -> tuple[str, ...]:
        """The temporary memories one by one; a single string is one of them."""
        given = self.temporary_memories
        if given is None:
            return ()
        return (given,) if isinstance(given, str) else tuple(given)


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What came of a turn.

    ``evidence`` is what the model was given of memory: ``evidence.text`` stood in the prompt as it
    is here, ``evidence.items`` carry ids, scores and times. ``recorded`` are the ids of the
    messages that are in the log now, the user's first. ``warnings`` say what failed or was late.
    """

    text: str
    evidence: Evidence
    reply: Reply
    recorded: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatDelta:
    """A piece of a reply.

    The first has no text: it brings the evidence before the model begins. The last has no text
    either and brings the whole ``reply``.
    """

    text: str
    evidence: Evidence
    reply: ChatReply | None = None


class Retrieve(Protocol):
    """As :meth:`~memoryscope_rag.app.AsyncMemoryScope.retrieve`."""

    async def __call__(
        self,
        query: str,
        *,
        scope: Scope | str,
        limit: int | None,
        budget_tokens: int | None,
        budget_ms: float | None,
        kinds: Collection[Kind],
        now: datetime | None,
        time_zone: str | None,
        explain: bool,
        profile: Profile | None,
    ) -> Evidence: ...


class Record(Protocol):
    """As :meth:`~memoryscope_rag.app.AsyncMemoryScope.record_many`."""

    async def __call__(
        self, messages: Iterable[NewMessage], *, scope: Scope | str
    ) -> tuple[Recorded, ...]: ...


@dataclass(slots=True)
class _Turn:
    """What one turn has gathered so far."""

    request: ChatRequest
    generator: Generator
    zone: ZoneInfo
    now: datetime
    evidence: Evidence
    prompt: list[ChatMessage] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def reply(self, text: str, reply: Reply) -> ChatReply:
        return ChatReply(text, self.evidence, reply, tuple(self.recorded), tuple(self.warnings))


class Chat:
    """Turns of conversations. One serves many users at once: a turn's state is its own."""

    def __init__(
        self,
        services: Services,
        config: Config,
        *,
        retrieve: Retrieve,
        record: Record,
        zone: Callable[[str], ZoneInfo],
    ) -> None:
        self._services = services
        self._config = config
        self._retrieve = retrieve
        self._record_many = record
        self._zone = zone
        # writes that outlive a caller who was cancelled; the loop itself keeps no hold of them
        self._writing: set[asyncio.Task[None]] = set()

    async def reply(self, request: ChatRequest) -> ChatReply:
        """The whole reply. Raises ConfigError, InvalidInput, DuplicateId and ModelError."""
        turn = self._turn(request)
        await self._prepare(turn)
        reply = await turn.generator.generate(turn.prompt, sampling=request.sampling)
        await self._record_reply(turn, reply.text)
        return turn.reply(reply.text, reply)

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        """The reply in pieces. Whoever stops early closes the iterator: what was said is kept."""
        return self._stream(self._turn(request))

    async def finish(self) -> None:
        """Wait until everything is recorded that is being recorded."""
        while self._writing:
            await asyncio.wait(self._writing)

    async def _stream(self, turn: _Turn) -> AsyncGenerator[ChatDelta, None]:
        await self._prepare(turn)
        yield ChatDelta("", turn.evidence)
        said: list[str] = []
        last: Reply | None = None
        complete = False
        pieces = turn.generator.stream(turn.prompt, sampling=turn.request.sampling)
        try:
            async for piece in pieces:
                last = piece.reply or last
                if piece.text:
                    said.append(piece.text)
                    yield ChatDelta(piece.text, turn.evidence)
            complete = True
        finally:
            # when a caller leaves early or the model breaks off, what was shown is kept all the
            # same, marked as part of a reply
            try:
                if not complete:
                    await self._record_reply(turn, "".join(said), partial=True)
            finally:
                if isinstance(pieces, AsyncGenerator):
                    await pieces.aclose()
        text = "".join(said)
        await self._record_reply(turn, text)
        reply = last or Reply(text, turn.generator.model)
        yield ChatDelta("", turn.evidence, turn.reply(text, reply))

    # ------------------------------------------------------------ before the model

    def _turn(self, request: ChatRequest) -> _Turn:
        generator = self._services.generator
        if generator is None:
            raise ConfigError(
                "no chat model is configured: set generator.provider and generator.model, such as "
                "MEMORYSCOPE_GENERATOR__PROVIDER=openai, or pass generator= to open(); "
                "see docs/chat.md"
            )
        zone = self._zone(request.time_zone or self._config.time_zone)
        now = (request.now or self._services.clock.now()).astimezone(zone)
        return _Turn(request, generator, zone, now, Evidence(request.query, (), "", 0))

    async def _prepare(self, turn: _Turn) -> None:
        request = turn.request
        try:
            history = await self._remember(turn)
        except asyncio.CancelledError:
            await self._record_query(turn)  # the caller left; what the user said is kept
            raise
        turn.prompt = conversation(
            system_message(
                self._services.prompts,
                request.query,
                now=turn.now,
                memory=turn.evidence.text,
                system_prompt=request.system_prompt,
                memory_prompt=request.memory_prompt,
                speaker=request.speaker,
                temporary=request.temporary,
            ),
            history,
            request.query,
        )
        await self._record_query(turn)

    async def _remember(self, turn: _Turn) -> tuple[Message, ...]:
        """Set ``turn.evidence`` and return the history, as far as memory answers in time."""
        request, settings = turn.request, self._config.chat
        allowed = settings.budget_ms if request.budget_ms is None else request.budget_ms
        deadline = Deadline.after(allowed)
        history: tuple[Message, ...] = ()
        part = "history"
        try:
            history = await deadline.within(
                read_history(
                    self._services.store,
                    request.scope,
                    request.session_id,
                    request.history,
                    turns=settings.history_turns,
                    tokens=settings.history_tokens,
                    besides=request.message_id,
                )
            )
            part = "memory"
            turn.evidence = await deadline.within(self._evidence(turn, history, allowed))
            turn.warnings.extend(turn.evidence.left_out)
        except TimeoutError:
            turn.warnings.append(f"{part}: deadline of {allowed:g} ms")
        except (StoreError, ModelError) as error:
            turn.warnings.append(f"{part}: {error}")
        return history

    async def _evidence(
        self, turn: _Turn, history: Sequence[Message], allowed: float | None
    ) -> Evidence:
        request, settings = turn.request, self._config.retrieval
        shown = {message.id for message in history} | {request.message_id or ""}
        limit = settings.limit if request.limit is None else request.limit
        tokens = settings.budget_tokens if request.budget_tokens is None else request.budget_tokens
        found = await self._retrieve(
            request.query,
            scope=request.scope,
            # what the history shows takes no place from what it does not
            limit=min(LONGEST, limit + len(shown)) if 1 <= limit <= LONGEST else limit,
            budget_tokens=tokens,
            budget_ms=None if allowed is None else SOFT * allowed,
            kinds=request.kinds,
            now=turn.now,
            time_zone=str(turn.zone),
            explain=request.explain,
            profile=request.profile,
        )
        found = without(found, shown, limit=limit, budget=tokens, zone=turn.zone)
        return replace(found, text=as_data(found.text))

    # ------------------------------------------------------------ the log

    def _message(self, turn: _Turn, role: Role, content: str, metadata: Metadata) -> NewMessage:
        request = turn.request
        user = role == "user"
        return NewMessage(
            id=(request.message_id if user else None) or uuid.uuid4().hex,
            session_id=request.session_id,
            role=role,
            content=content,
            created_at=turn.now if user or request.now else self._services.clock.now(),
            speaker=request.speaker if user else None,
            metadata=metadata,
        )

    async def _record_query(self, turn: _Turn) -> None:
        request = turn.request
        if request.remember is not False:
            user = self._message(turn, "user", request.query, request.metadata or {})
            await self._safely(self._record(turn, user))

    async def _record_reply(self, turn: _Turn, text: str, *, partial: bool = False) -> None:
        if text.strip() and turn.request.remember in ("both", True):
            metadata = {"partial": True} if partial else {}
            await self._safely(self._record(turn, self._message(turn, "assistant", text, metadata)))

    async def _record(self, turn: _Turn, message: NewMessage) -> None:
        try:
            await self._record_many([message], scope=turn.request.scope)
        except StoreError as error:
            who = "the user's turn" if message.role == "user" else "the reply"
            turn.warnings.append(f"{who} is not recorded: {error}")
        else:
            turn.recorded.append(message.id)

    async def _safely(self, write: Coroutine[None, None, None]) -> None:
        """Run ``write`` to its end even when the caller is cancelled meanwhile."""
        task = asyncio.ensure_future(write)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        await asyncio.shield(task)
