"""What every adapter is made of: one user's memory in one conversation of an agent.

An agent goes on when its memory does not: what fails or is late is one line in the log and no
memories, never an error in the agent's run. Texts of the memory reach a model as data behind a
fence (:mod:`memoryscope_rag.operations.chat_prompt`), whatever role the framework gives them.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict

from memoryscope_rag.adapters.door import MemoryDoor, Place
from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.configs.model import Config
from memoryscope_rag.errors import (
    DuplicateId,
    InvalidInput,
    MemoryScopeError,
    ModelError,
    StoreError,
)
from memoryscope_rag.operations.chat import LONGEST, SOFT
from memoryscope_rag.operations.chat_history import without
from memoryscope_rag.operations.chat_prompt import as_data
from memoryscope_rag.schema import (
    Evidence,
    EvidenceItem,
    Message,
    NewMessage,
    Role,
    Scope,
    check_name,
    utc_now,
)

T = TypeVar("T")
_log = logging.getLogger(__name__)

PAGE: Final = 1000
"""Messages that are read at once."""
SHOWN: Final = 6
"""The last turns of the conversation, which the host shows the model itself."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What somebody said. With an ``id`` of the framework's, recording it again is harmless."""

    role: Role
    content: str
    id: str | None = None
    speaker: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recalled:
    """What memory holds for a query, best first in ``items``.

    ``text`` is for the prompt: what the lines are, then the lines between fences. It is empty when
    there are none.
    """

    text: str = ""
    items: tuple[EvidenceItem, ...] = ()


def described(item: EvidenceItem) -> dict[str, Any]:
    """What a framework's own type keeps beside the text of a memory; all of it is JSON."""
    node = item.node
    return {
        "id": node.id,
        "score": item.score,
        "kind": node.kind,
        "said_at": node.said_at.isoformat(),
    }


class SessionState(BaseModel):
    """A :class:`SessionMemory` as plain JSON: where, whose and how much, and nothing secret.

    All other settings are those of the process that loads it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    place: str
    user_id: str
    agent_id: str = "default"
    tenant_id: str = "default"
    session_id: str | None = None
    limit: int | None = None
    budget_tokens: int | None = None
    timeout_s: float = 5.0


class SessionMemory:
    """The memory of ``user_id`` for one conversation, ``session_id``; a new one unless named.

    Args:
        place: a file, a cluster's URL, or an open memory that is lent; several adapters of one
            process had better share one, or a :class:`~.door.MemoryDoor`.
        user_id, agent_id, tenant_id: whose memory it is; nobody else's is ever seen.
        limit, budget_tokens: at most so many memories and tokens, by default as in the settings.
        timeout_s: how long the agent waits for its memory before it goes on without.

    Raises InvalidInput for an id or a number that cannot be, ConfigError for a wrong setting.
    """

    def __init__(
        self,
        place: Place | MemoryDoor = None,
        *,
        user_id: str,
        session_id: str | None = None,
        agent_id: str = "default",
        tenant_id: str = "default",
        config: Config | None = None,
        limit: int | None = None,
        budget_tokens: int | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        self.door = place if isinstance(place, MemoryDoor) else MemoryDoor(place, config=config)
        self.scope = Scope(user_id, agent_id, tenant_id)
        self.session_id = check_name("session_id", session_id or uuid.uuid4().hex)
        settings = self.door.config
        self.limit = settings.retrieval.limit if limit is None else limit
        self.budget_tokens = (
            settings.retrieval.budget_tokens if budget_tokens is None else budget_tokens
        )
        if not 1 <= self.limit <= LONGEST:
            raise InvalidInput("limit", f"{limit} is not in 1..{LONGEST}")
        if self.budget_tokens < 0:
            raise InvalidInput("budget_tokens", "must not be negative")
        if timeout_s <= 0:
            raise InvalidInput("timeout_s", "must be positive")
        self.timeout_s = timeout_s
        self._state = SessionState(
            place=self.door.place,
            user_id=user_id,
            agent_id=agent_id,
            tenant_id=tenant_id,
            session_id=session_id,
            limit=limit,
            budget_tokens=budget_tokens,
            timeout_s=timeout_s,
        )
        self._shown: deque[str] = deque(maxlen=SHOWN)
        self._known: set[str] = set()
        # writes that outlive a run that was cancelled; the loop itself keeps no hold of them
        self._writing: set[asyncio.Task[bool | None]] = set()

    @property
    def shown(self) -> tuple[str, ...]:
        """Ids of the last turns recorded here."""
        return tuple(self._shown)

    def in_session(self, session_id: str, shown: Sequence[str] = ()) -> SessionMemory:
        """The same memory for another conversation, which shows the turns of these ids."""
        settings = self._state.model_dump(exclude={"place", "session_id"})
        other = SessionMemory(self.door, session_id=session_id, **settings)
        other._shown = deque(shown, maxlen=max(SHOWN, len(shown)))
        other._known.update(shown)
        other._writing = self._writing  # one close() waits for all
        return other

    @property
    def state(self) -> SessionState:
        """What :meth:`from_state` makes the like of. A session that was made up is not in it."""
        return self._state

    @classmethod
    def from_state(cls, state: SessionState, place: Place | MemoryDoor = None) -> Self:
        """The memory that ``state`` names, at ``place`` if it is given."""
        return cls(place or state.place, **state.model_dump(exclude={"place"}))

    # ------------------------------------------------------------ for the agent

    async def recall(
        self, query: str, *, limit: int | None = None, shown: Collection[str] = ()
    ) -> Recalled:
        """What matters to ``query``; nothing where memory fails or is late.

        The last turns recorded here are left out, and what stands in the texts ``shown``: the model
        is shown them as they were said.
        """
        if not query.strip():
            return Recalled()
        wanted = self.limit if limit is None else limit
        found = await self._safely(lambda: self._recall(query, wanted, shown), "no memories")
        return found or Recalled()

    async def record(self, turns: Sequence[Turn]) -> bool:
        """Record what was said, in order; whether all of it is durable now.

        Turns without words, and those recorded here before, are passed over. Cancelling the caller
        does not cancel the writing.
        """
        new = [turn for turn in turns if turn.content.strip() and turn.id not in self._known]
        messages = [message for turn in new for message in self._message(turn)]
        return await self.log(messages) if messages else not new

    async def log(self, messages: Sequence[NewMessage]) -> bool:
        """As :meth:`record`, for whole messages of this session; all of them are written."""
        count = "1 message" if len(messages) == 1 else f"{len(messages)} messages"
        return await self._write(lambda: self._record(messages), f"{count} not recorded")

    async def logged(self) -> tuple[Message, ...]:
        """All messages of this session, oldest first; none where memory fails or is late."""
        return await self._safely(self._logged, "no messages") or ()

    async def note(self, content: str) -> bool:
        """Keep a fact word for word; whether it is durable now."""
        return await self._write(lambda: self._note(content), "a note not kept")

    async def close(self) -> None:
        """Finish what is being recorded, and close the application unless it was lent."""
        here = asyncio.get_running_loop()
        if writing := {task for task in self._writing if task.get_loop() is here}:
            await asyncio.wait(writing)
        await self.door.close()

    # ------------------------------------------------------------ inside

    async def _recall(self, query: str, limit: int, texts: Collection[str]) -> Recalled:
        settings = self.door.config

        async def retrieve(memory: AsyncMemoryScope) -> Evidence:
            return await memory.retrieve(
                query,
                scope=self.scope,
                limit=min(LONGEST, limit + len(self._shown) + len(texts)),
                budget_tokens=self.budget_tokens,
                budget_ms=settings.retrieval.budget_ms or 1000 * SOFT * self.timeout_s,
            )

        await self.door.open()  # loading a model takes its time, once
        async with asyncio.timeout(self.timeout_s):
            found = await self.door.call(retrieve)
        said = [item.node for item in found.items if item.node.kind == "conversation"]
        seen = [node.provenance for node in said if any(node.content in text for text in texts)]
        shown = frozenset(self._shown).union(*seen)
        zone = ZoneInfo(settings.time_zone)
        found = without(found, shown, limit=limit, budget=self.budget_tokens, zone=zone)
        if not found.text:
            return Recalled()
        return Recalled(self.door.for_prompt(query, as_data(found.text)), found.items)

    async def _logged(self) -> tuple[Message, ...]:
        found: list[Message] = []

        async def read(memory: AsyncMemoryScope) -> None:
            while True:
                page = await memory.messages(
                    scope=self.scope,
                    session_id=self.session_id,
                    after=found[-1].seq if found else 0,
                    limit=PAGE,
                )
                found.extend(page)
                if len(page) < PAGE:
                    return

        await self.door.open()
        async with asyncio.timeout(self.timeout_s):
            await self.door.call(read)
        return tuple(found)

    def _message(self, turn: Turn) -> tuple[NewMessage, ...]:
        try:
            message = NewMessage(
                id=turn.id or uuid.uuid4().hex,
                session_id=self.session_id,
                role=turn.role,
                content=turn.content,
                created_at=turn.created_at or utc_now(),
                speaker=turn.speaker,
            )
        except InvalidInput as error:  # what is no text, such as half of a surrogate pair
            _log.warning("1 message not recorded: %s", error)
            return ()
        return (message,)

    async def _record(self, messages: Sequence[NewMessage]) -> bool:
        ids = [message.id for message in messages]
        try:
            await self.door.call(lambda memory: memory.record_many(messages, scope=self.scope))
        except DuplicateId as error:  # the others of the batch are stored
            _log.warning("not recorded: %s", error)
        self._shown.extend(ids)
        self._known.update(ids)
        return True

    async def _note(self, content: str) -> bool:
        await self.door.call(lambda memory: memory.add_note(content, scope=self.scope))
        return True

    async def _write(self, work: Callable[[], Awaitable[bool]], failure: str) -> bool:
        if not await self._safely(self._opened, failure):
            return False
        task = asyncio.create_task(self._safely(work, failure))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        done, _ = await asyncio.wait({task}, timeout=self.timeout_s)
        if not done:
            _log.warning("memory is late: a write goes on behind the agent")
        return bool(done) and bool(task.result())

    async def _opened(self) -> bool:
        await self.door.open()
        return True

    async def _safely(self, work: Callable[[], Awaitable[T]], failure: str) -> T | None:
        return await softly(work, failure, self.timeout_s)


async def softly(
    work: Callable[[], Awaitable[T]],
    failure: str,
    timeout_s: float,
    forgiven: tuple[type[MemoryScopeError], ...] = (StoreError, ModelError, InvalidInput),
) -> T | None:
    """What ``work`` gives; ``None``, and one line in the log, where it fails or is late.

    ``timeout_s`` is the deadline that ``work`` itself keeps.
    """
    try:
        return await work()
    except TimeoutError:
        _log.warning("%s: deadline of %g s", failure, timeout_s)
    except forgiven as error:
        _log.warning("%s: %s: %s", failure, type(error).__name__, error)
    return None


def time_of(text: str) -> datetime | None:
    """A moment in ISO 8601, of this machine's time zone where it names none; else ``None``."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.astimezone()
