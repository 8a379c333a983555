"""What the workers of a retrieval pass on: one frozen dataclass a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from memoryscope_rag.ports import Candidates, Query
from memoryscope_rag.schema import Clue, Evidence, EvidenceItem, Interval, Kind, Message, Scope
from memoryscope_rag.temporal import TimeExpression
from memoryscope_rag.workers.base import Deadline


@dataclass(frozen=True, slots=True, eq=False)
class Lead:
    """A clue as it is searched by, and the times that it names."""

    clue: Clue
    query: Query
    times: tuple[Interval, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalState:
    """First what the caller asks, then what workers give, in the order of the operations.

    A field without a default is the caller's.

    ``now`` is in the user's time zone. ``current_session`` is the session the user is in, whose
    last turns the host has in its prompt anyway. ``parts`` of the ``queries`` after the first are
    sentences of it. ``memory`` are candidates among facts, ``evidence`` among turns, and
    ``searched`` the queries that their rows are of. ``confidence``, 0 to 1, is that an answer is
    among the first few of ``ranked``.

    ``attention`` is by message id, ``attended`` are the messages with the most of it. ``clues``
    have not been searched by yet; ``leads`` are those that are.
    """

    scope: Scope
    text: str
    now: datetime
    kinds: frozenset[Kind]
    limit: int
    budget_tokens: int
    deadline: Deadline
    floor: bool
    explain: bool
    as_of: datetime | None
    during: Interval | None
    session_id: str | None
    current_session: str | None

    recent: tuple[Message, ...] = ()
    queries: tuple[Query, ...] = ()
    parts: int = 0
    dense_failure: str | None = None
    times: tuple[TimeExpression, ...] = ()
    searched: tuple[Query, ...] = ()
    memory: Candidates | None = None
    evidence: Candidates | None = None
    reranked: Mapping[str, float] = field(default_factory=dict)
    confidence: float = 0.0
    ranked: tuple[EvidenceItem, ...] = ()
    result: Evidence | None = None

    attention: Mapping[str, float] = field(default_factory=dict)
    attended: tuple[str, ...] = ()
    clues: tuple[Clue, ...] = ()
    leads: tuple[Lead, ...] = ()
    unsupported: int = 0

    @property
    def rows(self) -> tuple[Query, ...]:
        """All queries of a search in the order of a candidate's rows: the user's, then leads."""
        return (*self.queries, *(lead.query for lead in self.leads))
