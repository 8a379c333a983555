"""What can be asked of the service, as values: where it goes, what it says, what comes back."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypedDict, TypeVar

from pydantic import TypeAdapter
from pydantic_core import to_json

from memoryscope_rag.operations.chat import ChatOptions, ChatReply
from memoryscope_rag.operations.consolidate import ConsolidationReport
from memoryscope_rag.operations.import_ import ImportReport
from memoryscope_rag.operations.reflect import ReflectionReport
from memoryscope_rag.operations.refresh import RefreshReport
from memoryscope_rag.ports import Coverage, Forgotten, Page, Recorded, StoreStats
from memoryscope_rag.schema import (
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
LINES = 500
"""Lines of an import that are sent together."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request. ``harmless``: repeating it does no more than doing it once."""

    path: str
    body: bytes
    result: TypeAdapter[T]
    tenant: str | None = None
    key: str | None = None
    harmless: bool = True


@dataclass(frozen=True, slots=True)
class Count:
    """How many there are."""

    count: int


@dataclass(frozen=True, slots=True)
class Log:
    """A page of the log."""

    items: tuple[Message, ...]
    after: int | None


class RecordOptions(TypedDict, total=False):
    """What ``record`` takes by name."""

    role: Role
    session_id: str
    speaker: str | None
    created_at: datetime | None
    message_id: str | None
    metadata: Metadata


class FactOptions(TypedDict, total=False):
    """What ``update`` takes by name."""

    event: Event | None
    metadata: Metadata | None


class NoteOptions(FactOptions, total=False):
    """What ``add_note`` takes by name."""

    said_at: datetime | None
    note_id: str | None


class ForgetOptions(TypedDict, total=False):
    """What ``forget`` takes by name: exactly one of the first three."""

    message_ids: Collection[str]
    session_id: str | None
    everything: bool
    compact: bool


class RetrieveOptions(TypedDict, total=False):
    """What ``retrieve`` takes by name."""

    limit: int | None
    budget_tokens: int | None
    budget_ms: float | None
    kinds: Collection[Kind] | None
    now: datetime | None
    time_zone: str | None
    as_of: datetime | None
    during: Interval | None
    session_id: str | None
    current_session: str | None
    floor: bool | None
    explain: bool
    profile: Profile | None


class ListOptions(TypedDict, total=False):
    """What ``list`` takes by name."""

    kinds: Collection[Kind] | None
    session_id: str | None
    as_of: datetime | None
    closed: bool
    cursor: str | None
    limit: int


class LogOptions(TypedDict, total=False):
    """What ``messages`` takes by name."""

    session_id: str | None
    after: int
    limit: int


Where = Scope | str
"""A scope; or a user id, whose tenant is that of the key and whose agent is the default one."""


@functools.cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """What reads values of ``kind`` from JSON."""
    return TypeAdapter(kind)


def record(content: str, scope: Where, options: RecordOptions) -> Call[Recorded]:
    """Its message gets its id here, so that it can be sent again."""
    body = {"content": content, **options}
    body["message_id"] = options.get("message_id") or uuid.uuid4().hex
    return _call("record", scope, body, Recorded)


def record_many(messages: Iterable[NewMessage], scope: Where) -> Call[tuple[Recorded, ...]]:
    """Messages have their ids."""
    return _call("record_many", scope, {"messages": list(messages)}, tuple[Recorded, ...])


def messages(scope: Where, options: LogOptions) -> Call[Log]:
    """A page of the log."""
    return _call("messages", scope, options, Log)


def add_note(content: str, scope: Where, options: NoteOptions) -> Call[MemoryNode]:
    """The same note again is the note that is there."""
    return _call("add_note", scope, {"content": content, **options}, MemoryNode)


def update(node_id: str, content: str, scope: Where, options: FactOptions) -> Call[MemoryNode]:
    """Another content."""
    body = {"node_id": node_id, "content": content, **options}
    return _call("update", scope, body, MemoryNode, once=True)


def expire(node_id: str, scope: Where) -> Call[MemoryNode]:
    """One that is closed stays as it is."""
    return _call("expire", scope, {"node_id": node_id}, MemoryNode)


def delete(node_id: str, scope: Where) -> Call[None]:
    """A node with its history."""
    return _call("delete", scope, {"node_id": node_id}, type(None), once=True)


def get(node_id: str, scope: Where) -> Call[MemoryNode]:
    """One node."""
    return _call("get", scope, {"node_id": node_id}, MemoryNode)


def history(node_id: str, scope: Where) -> Call[tuple[MemoryNode, ...]]:
    """Its versions."""
    return _call("history", scope, {"node_id": node_id}, tuple[MemoryNode, ...])


def list_(scope: Where, options: ListOptions) -> Call[Page[MemoryNode]]:
    """A page of nodes."""
    return _call("list", scope, options, Page[MemoryNode])


def forget(scope: Where, options: ForgetOptions) -> Call[Forgotten]:
    """With proof."""
    return _call("forget", scope, options, Forgotten, once=True)


def retrieve(query: str, scope: Where, options: RetrieveOptions) -> Call[Evidence]:
    """Evidence."""
    return _call("retrieve", scope, {"query": query, **options}, Evidence)


def chat(
    query: str, scope: Where, session_id: str, options: ChatOptions, *, stream: bool = False
) -> Call[ChatReply]:
    """A turn, which is not repeated when it may have been answered."""
    body: dict[str, Any] = {"query": query, "session_id": session_id, **options}
    if isinstance(body.get("temporary_memories"), str):
        body["temporary_memories"] = [body["temporary_memories"]]
    path = "chat_stream" if stream else "chat"
    return _call(path, scope, body, ChatReply, harmless=False)


def consolidate(scope: Where) -> Call[ConsolidationReport]:
    """What is pending."""
    return _call("consolidate", scope, {}, ConsolidationReport)


def reflect(scope: Where) -> Call[ReflectionReport]:
    """What is fresh."""
    return _call("reflect", scope, {}, ReflectionReport)


def refresh(scope: Where) -> Call[RefreshReport]:
    """What the beacon memory does not cover."""
    return _call("refresh", scope, {}, RefreshReport)


def coverage(scope: Where) -> Call[Coverage]:
    """What it holds."""
    return _call("coverage", scope, {}, Coverage)


def attention(query: str, scope: Where) -> Call[dict[str, float]]:
    """By message id."""
    return _call("attention", scope, {"query": query}, dict[str, float])


def drop_memory(scope: Where) -> Call[None]:
    """It can be made anew."""
    return _call("drop_memory", scope, {}, type(None))


def retry_parked(scope: Where) -> Call[Count]:
    """What was parked."""
    return _call("retry_parked", scope, {}, Count)


def flush(scope: Where | None) -> Call[Count]:
    """All that is pending."""
    return _call("flush", scope, {}, Count)


def stats(scope: Where | None) -> Call[StoreStats]:
    """Counts."""
    return _call("stats", scope, {}, StoreStats)


def scopes() -> Call[tuple[Scope, ...]]:
    """Every scope that the key may see."""
    return _call("scopes", None, {}, tuple[Scope, ...])


def export(scope: Where) -> Call[None]:
    """Lines, which are read as they come."""
    return _call("export", scope, {}, type(None))


def imports(lines: Iterable[str], scope: Where) -> Iterable[tuple[int, Call[ImportReport]]]:
    """Lines in portions, each with how many lines come before it."""
    portion: list[str] = []
    before = 0
    for line in lines:
        portion.append(line)
        if len(portion) == LINES:
            yield before, _call("import", scope, {"lines": portion}, ImportReport)
            before += len(portion)
            portion = []
    if portion:
        yield before, _call("import", scope, {"lines": portion}, ImportReport)


def together(reports: Sequence[tuple[int, ImportReport]]) -> ImportReport:
    """One report of all portions, with the numbers of all lines."""
    return ImportReport(
        stored=sum(report.stored for _, report in reports),
        known=sum(report.known for _, report in reports),
        facts=sum(report.facts for _, report in reports),
        problems=tuple(
            (before + number, reason)
            for before, report in reports
            for number, reason in report.problems
        ),
    )


def _call(
    path: str,
    scope: Where | None,
    body: Mapping[str, Any],
    result: Any,
    *,
    once: bool = False,
    harmless: bool = True,
) -> Call[Any]:
    whose: dict[str, Any] = {}
    if isinstance(scope, Scope):
        whose = {"user_id": scope.user_id, "agent_id": scope.agent_id}
    elif scope is not None:
        whose = {"user_id": scope}
    given = {name: _plain(value) for name, value in body.items()}
    return Call(
        path=f"/v1/{path}",
        body=to_json({**whose, **given}, fallback=_mapping),
        result=adapter(result),
        tenant=scope.tenant_id if isinstance(scope, Scope) else None,
        key=uuid.uuid4().hex if once else None,
        harmless=harmless,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, str | Mapping) or not isinstance(value, Collection):
        return value
    return list(value)


def _mapping(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is no JSON")
