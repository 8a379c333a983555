"""What memory does for a turn that passes: recall before the model is asked, record both sides.

A memory that fails or is late costs the turn its memories or its place in the log and leaves one
line in the service's log, never an error for the client.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.errors import InvalidInput, MemoryScopeError, ModelError, StoreError
from memoryscope_rag.operations.chat import LONGEST, SOFT
from memoryscope_rag.operations.chat_history import without
from memoryscope_rag.operations.chat_prompt import as_data, system_message
from memoryscope_rag.schema import Evidence, EvidenceItem, Metadata, NewMessage, Scope, utc_now
from memoryscope_rag.service.proxy.requests import Asked, Said
from memoryscope_rag.service.proxy.tasks import Tasks
from memoryscope_rag.service.proxy.turns import Turns, digests_of, message_id, session_of
from memoryscope_rag.workers.base import Deadline
from memoryscope_rag.workers.prompts import Prompts

_log = logging.getLogger(__name__)

Outcome = Literal["used", "none", "late", "failed", "off"]
"""What became of memory in a request, as the header of its answer says."""
SPARE = 20
"""Memories that are looked for besides, in place of those that the request shows already."""
PIECE = 200
"""Characters from which on words are taken for a piece of the message that holds them; fewer may be
a quotation."""
RECORD_S = 5.0
"""How long an answer waits for its turn to be in the log."""


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose memory a request is about; without a session one is made of how it begins."""

    scope: Scope
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Recalled:
    """Memories for the prompt, "" for none, and why."""

    text: str
    outcome: Outcome


class Turn:
    """One turn on its way into the log: the user's side first, then the answer."""

    def __init__(
        self, memory: AsyncMemoryScope, tasks: Tasks, scope: Scope, request_id: str
    ) -> None:
        self.request_id = request_id
        self._memory, self._tasks, self._scope = memory, tasks, scope
        self._session_id = ""
        self._user: list[NewMessage] = []
        self._answer_ids: tuple[str, ...] = ()  # of a whole one, of a partial one
        self._writing: asyncio.Task[None] | None = None
        self._told = False

    async def find(self, turns: Turns, asked: Asked, session_id: str | None) -> None:
        """Find out which turn it is; one that cannot be found is not recorded."""
        self._session_id = session_id or session_of(self._scope, asked)
        digests = digests_of(self._scope, self._session_id, asked)
        user = [(place, one) for place, one in enumerate(asked.said) if one.role == "user"]
        new = [
            (digest, one)
            for digest, (place, one) in zip(digests[1:], user, strict=True)
            if place >= asked.new
        ]
        try:
            first, *times = await turns.first([digests[-1], *(digest for digest, _ in new)])
            self._user = [
                self._message(message_id(digest, since), one, datetime.fromtimestamp(since, UTC))
                for (digest, one), since in zip(new, times, strict=True)
                if one.text.strip()
            ]
        except (StoreError, InvalidInput) as error:
            self._lost(error)
        else:
            self._answer_ids = (
                message_id(digests[-1], first, "answer", asked.rounds),
                message_id(digests[-1], first, "partial", asked.rounds),
            )

    @property
    def ids(self) -> frozenset[str]:
        """Of the messages that it consists of, if it came before."""
        return frozenset((*self._answer_ids, *(message.id for message in self._user)))

    def begin(self) -> None:
        """Begin to record the user's side; nobody has to wait for it."""
        if self._user:
            self._writing = self._tasks.begin(self._record(self._user, None))

    async def end(self, text: str, *, partial: bool) -> None:
        """Have the answer recorded behind the user's side; "" where there was none.

        An answer that broke off is marked as partial, and does not stand in the way of a whole
        one. Returns when both are durable, and after :data:`RECORD_S` at the latest.
        """
        if text.strip() and self._answer_ids:
            said, metadata = Said("assistant", text), {"partial": True} if partial else {}
            try:
                answer = self._message(self._answer_ids[partial], said, utc_now(), metadata)
            except InvalidInput as error:
                self._lost(error)
            else:
                self._writing = self._tasks.begin(self._record([answer], self._writing))
        if self._writing is not None:
            _, late = await asyncio.wait({self._writing}, timeout=RECORD_S)
            if late:
                _log.warning("a turn is not recorded yet", extra=_fields(self.request_id, "late"))

    def _message(
        self, name: str, said: Said, when: datetime, metadata: Metadata | None = None
    ) -> NewMessage:
        return NewMessage(
            id=name,
            session_id=self._session_id,
            role=said.role,
            content=said.text,
            created_at=when,
            speaker=said.speaker or None,
            metadata=metadata or {},
        )

    async def _record(
        self, messages: Sequence[NewMessage], before: asyncio.Task[None] | None
    ) -> None:
        if before is not None:
            await asyncio.wait({before})
        try:
            # an id that is taken is a turn that came again: it keeps its first answer
            await self._memory.record_each(messages, scope=self._scope)
        except (StoreError, ModelError, InvalidInput) as error:
            self._lost(error)

    def _lost(self, error: MemoryScopeError) -> None:
        if not self._told:
            why = type(error).__name__
            _log.warning("a turn is not recorded", extra=_fields(self.request_id, why))
        self._told = True


class ProxyMemory:
    """The memory that all requests of this process share."""

    def __init__(self, memory: AsyncMemoryScope, turns: Turns, tasks: Tasks) -> None:
        self._memory, self._turns, self._tasks = memory, turns, tasks
        self._config = memory.config
        self._prompts = Prompts.load(self._config.prompts)
        self._zone = ZoneInfo(self._config.time_zone)

    async def find(self, asked: Asked, whose: Whose, request_id: str) -> Turn:
        """The turn that ``asked`` belongs to."""
        turn = Turn(self._memory, self._tasks, whose.scope, request_id)
        await turn.find(self._turns, asked, whose.session_id)
        return turn

    async def recall(self, asked: Asked, whose: Whose, finding: asyncio.Task[Turn]) -> Recalled:
        """What matters to the user's last words, besides what the request shows already.

        ``finding`` tells which turn it is, whose own messages are no memories of it.
        """
        allowed = self._config.proxy.budget_ms
        if not asked.query.strip():
            return Recalled("", "none")
        try:
            text = await Deadline.after(allowed).within(
                self._recall(asked, whose.scope, finding, allowed)
            )
        except TimeoutError:
            return await self._without("late", "late", finding)
        except (StoreError, ModelError, InvalidInput) as error:
            return await self._without("failed", type(error).__name__, finding)
        return Recalled(text, "used" if text else "none")

    async def _without(self, outcome: Outcome, why: str, finding: asyncio.Task[Turn]) -> Recalled:
        _log.warning("no memories", extra=_fields((await finding).request_id, why))
        return Recalled("", outcome)

    async def _recall(
        self, asked: Asked, scope: Scope, finding: asyncio.Task[Turn], allowed: float
    ) -> str:
        retrieval, proxy = self._config.retrieval, self._config.proxy
        tokens = retrieval.budget_tokens if proxy.budget_tokens is None else proxy.budget_tokens
        found = await self._memory.retrieve(
            asked.query,
            scope=scope,
            limit=min(LONGEST, retrieval.limit + SPARE),
            budget_tokens=tokens,
            budget_ms=SOFT * allowed,
        )
        own = (await asyncio.shield(finding)).ids  # who is late leaves this to the turn itself
        shown = own | _shown(found, [one.text.strip() for one in asked.said])
        found = without(found, shown, limit=retrieval.limit, budget=tokens, zone=self._zone)
        if not found.text:
            return ""
        return system_message(
            self._prompts, asked.query, now=utc_now(), memory=as_data(found.text), system_prompt=""
        )


def _shown(found: Evidence, texts: Sequence[str]) -> frozenset[str]:
    """Ids of the messages in ``found`` that are among ``texts``, or of which a long piece is."""
    whole, together = frozenset(texts), "\n".join(texts)
    return frozenset(
        name
        for item in found.items
        for name, words in _words(item)
        if words in whole or (len(words) > PIECE and words in together)
    )


def _words(item: EvidenceItem) -> list[tuple[str, str]]:
    words = [(message.id, message.content.strip()) for message in (*item.before, *item.after)]
    if item.node.kind == "conversation":
        words += [(name, item.node.content.strip()) for name in item.node.provenance]
    return words


def _fields(request_id: str, why: str) -> dict[str, dict[str, str]]:
    return {"fields": {"request_id": request_id, "why": why}}
