"""What the workers of the backend pass on: one frozen dataclass a run, as on the frontend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from memoryscope_rag.ports import Changes, Coverage
from memoryscope_rag.schema import Event, MemoryNode, Message, Scope

Relation = Literal["repeated", "contained", "contradicted", "compatible"]
"""What a newer fact makes of an older one.

``repeated``: the newer says nothing that the older does not. ``contained``: the older is a part
of the newer. ``contradicted``: the older is not true any more. ``compatible``: both hold.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One statement drawn from messages, before it is compared with what is known.

    ``sources`` are message ids; ``seq``, ``session_id``, ``speaker`` and ``said_at`` are those of
    the last of them. ``subject`` is whom or what the fact is about and ``attribute`` what of it is
    said ("employer", "home"), where that is known: a later value of the same takes its place.
    ``score`` is 0 to 3, how much it is worth keeping. ``origin`` says what drew it: the worker,
    the version of its prompt, the model. ``when`` is the time in the words in which it was said,
    ``date`` what a model takes that for, in ISO 8601; ``event`` is made of them.
    """

    id: str
    content: str
    sources: tuple[str, ...]
    said_at: datetime
    session_id: str
    seq: int
    speaker: str | None = None
    keywords: tuple[str, ...] = ()
    event: Event | None = None
    subject: str | None = None
    attribute: str | None = None
    value: str | None = None
    score: int = 2
    origin: Mapping[str, str] = field(default_factory=dict)
    when: str | None = None
    date: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """``newer`` is the id of a fact of this run, ``older`` of a known node or an earlier fact.

    Newer to the memory, that is: when messages are consolidated late, the known node may have
    been said after the fact.
    """

    newer: str
    older: str
    relation: Relation


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a run did, for its report: ``node`` names the observation or insight."""

    did: Literal["added", "merged", "closed", "updated"]
    node: str
    content: str
    because: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolidationState:
    """First what the operation hands in, then what workers give, in the order of the default.

    ``now`` is in the user's time zone. ``messages`` are the batch, pending, by ``seq``;
    ``before`` are the turns right before them in their sessions, for reference only. ``scores``
    is 0 to 3 by message id, of the messages that are worth a fact. ``neighbours`` are, by the id
    of a fact, the known nodes that it is near to, and earlier facts of this run as the nodes that
    they would become, nearest first.
    """

    scope: Scope
    now: datetime
    messages: tuple[Message, ...]
    before: tuple[Message, ...] = ()

    scores: Mapping[str, int] = field(default_factory=dict)
    facts: tuple[Fact, ...] = ()
    neighbours: Mapping[str, tuple[MemoryNode, ...]] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    changes: Changes | None = None
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """An attribute of somebody that insights are kept about: the employer of Ann.

    ``who`` and ``attribute`` are those of :class:`Fact` where its facts name them. ``insight`` is
    the open insight that holds it, ``None`` for a new one.
    """

    who: str
    attribute: str
    insight: MemoryNode | None = None

    @property
    def name(self) -> str:
        """``"Ann: employer"``, what tells subjects apart."""
        return f"{self.who}: {self.attribute}"


@dataclass(frozen=True, slots=True)
class InsightUpdate:
    """The value of a subject and the ids of all that it rests on, in the order of saying.

    Without evidence there is no value: an insight that was there is closed. ``taken`` are the ids
    of the fresh facts that were taken in, whether or not the value rests on them.
    """

    subject: Subject
    value: str
    evidence: tuple[str, ...]
    taken: tuple[str, ...] = ()
    origin: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectionState:
    """First what the operation hands in, then what workers give, in the order of the default.

    ``fresh`` are open observations and notes that reflection has not dealt with, by time;
    ``insights`` are the open ones, ``evidence`` what these rest on as far as it exists, closed or
    not. ``threshold`` is how many fresh facts it takes to look for new subjects, ``proposals`` how
    many of these a run may begin (0: any number), ``calls`` how often it may ask a model for
    values. ``long_range`` says whether fresh facts are held against older ones once more.

    ``considered`` are ids of ``fresh`` in which no further subject is to be found. ``older`` are
    further facts from earlier runs that this one has to do with. ``relevant`` lists, by the name
    of a subject, the ids of the facts that it is to be judged by; for an insight whose evidence is
    gone and replaced by nothing, the list is empty. ``settled`` are the names of subjects that
    were judged by all of these, ``done`` the ids of ``fresh`` all of whose subjects were.
    """

    scope: Scope
    now: datetime
    fresh: tuple[MemoryNode, ...]
    insights: tuple[MemoryNode, ...]
    evidence: tuple[MemoryNode, ...]
    threshold: int
    proposals: int
    calls: int
    long_range: bool

    subjects: tuple[Subject, ...] = ()
    considered: tuple[str, ...] = ()
    older: tuple[MemoryNode, ...] = ()
    relevant: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    updates: tuple[InsightUpdate, ...] = ()
    settled: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    changes: Changes | None = None
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshState:
    """One step of a refresh: first what the operation hands in, then what workers give.

    ``step_tokens`` is about how much it reads. The first ``keep`` messages that the memory covered
    ``before`` are the first of the log still, ``messages`` come after them there.
    """

    scope: Scope
    step_tokens: int

    before: Coverage = field(default_factory=Coverage)
    keep: int = 0
    messages: tuple[Message, ...] = ()
    after: Coverage | None = None
