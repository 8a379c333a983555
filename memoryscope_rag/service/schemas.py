"""What requests hold: strict types that say no to unknown fields, with their way into our words.

A scope is named by ``user_id`` and ``agent_id``; its tenant is that of the API key. Times are
ISO 8601 with an offset.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from memoryscope_rag.operations.chat import ChatOptions
from memoryscope_rag.ports import Sampling
from memoryscope_rag.schema import (
    MAX_CONTENT,
    MAX_NAME,
    Event,
    Grain,
    Interval,
    Kind,
    NewMessage,
    Profile,
    Recurrence,
    Role,
    Scope,
)

MOST_MESSAGES = 1000
"""Messages of one bulk request, or of one page."""
MOST_LINES = 1000
"""Lines of one import."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _parsed(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be a string in ISO 8601")
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("is no time in ISO 8601") from None


def _within_reach(value: datetime) -> datetime:
    # so that arithmetic in any time zone stays within what a datetime can name
    if not 2 <= value.year <= 9998:
        raise ValueError("must be between the years 2 and 9998")
    return value.astimezone(UTC)


Moment = Annotated[AwareDatetime, BeforeValidator(_parsed), AfterValidator(_within_reach)]
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00-\x1f\x7f]+$"),
]
Text = Annotated[str, StringConstraints(max_length=MAX_CONTENT)]
SomeText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CONTENT)]
Metadata = dict[Name, str | int | float | bool | None]
Limit = Annotated[int, Field(ge=1, le=MOST_MESSAGES)]
Milliseconds = Annotated[float, Field(ge=0, le=600_000)]
Tokens = Annotated[int, Field(ge=0, le=10_000_000)]
Kinds = Annotated[list[Kind], Field(min_length=1)]


class InScope(_Body):
    """Whose memory: the key's tenant, this user, this agent."""

    user_id: Name
    agent_id: Name = "default"

    def scope(self, tenant: str) -> Scope:
        """The scope within ``tenant``."""
        return Scope(self.user_id, self.agent_id, tenant)

    def given(self, *names: str) -> dict[str, Any]:
        """Those of the fields ``names`` that the request has, each in our words."""
        return {
            name: _plain(getattr(self, name)) for name in names if name in self.model_fields_set
        }


class MaybeInScope(_Body):
    """A scope, or without ``user_id`` the whole store."""

    user_id: Name | None = None
    agent_id: Name = "default"

    def scope(self, tenant: str) -> Scope | None:
        """The scope within ``tenant``, if one is named."""
        return None if self.user_id is None else Scope(self.user_id, self.agent_id, tenant)


class IntervalBody(_Body):
    """A half-open stretch of time; a side without a time is open."""

    start: Moment | None = None
    end: Moment | None = None

    def plain(self) -> Interval:
        """As our type. Raises InvalidInput."""
        return Interval(self.start, self.end)


class RecurrenceBody(_Body):
    """Something that comes back; see :class:`~memoryscope_rag.schema.Recurrence`."""

    unit: Literal["hour", "day", "week", "month", "year"]
    every: int = Field(1, ge=1, le=1000)
    month: int | None = Field(None, ge=1, le=12)
    day: int | None = Field(None, ge=1, le=31)
    weekday: int | None = Field(None, ge=0, le=6)
    hour: int | None = Field(None, ge=0, le=23)
    minute: int | None = Field(None, ge=0, le=59)


class EventBody(_Body):
    """When something happens, how exactly that is known, and whether it recurs."""

    interval: IntervalBody
    grain: Annotated[Grain, Field(strict=False)] = Grain.DAY
    recurrence: RecurrenceBody | None = None

    def plain(self) -> Event:
        """As our type. Raises InvalidInput."""
        recurs = self.recurrence
        return Event(
            self.interval.plain(),
            self.grain,
            None if recurs is None else Recurrence(**recurs.model_dump()),
        )


class SamplingBody(_Body):
    """How the chat model picks its words."""

    temperature: float | None = Field(None, ge=0, le=10)
    top_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    stop: list[str] = []
    seed: int | None = None

    def plain(self) -> Sampling:
        """As our type."""
        return Sampling(self.temperature, self.top_p, self.max_tokens, tuple(self.stop), self.seed)


def _plain(value: Any) -> Any:
    return value.plain() if isinstance(value, IntervalBody | EventBody | SamplingBody) else value


# ---------------------------------------------------------------- messages


class Said(_Body):
    """What a message says besides its id; now, unless it says when."""

    content: Text
    role: Role = "user"
    session_id: Name = "default"
    speaker: Name | None = None
    created_at: Moment | None = None
    metadata: Metadata = {}

    def message(self, name: str, now: datetime) -> NewMessage:
        """As our type, with the id ``name``. Raises InvalidInput."""
        return NewMessage(
            id=name,
            session_id=self.session_id,
            role=self.role,
            content=self.content,
            created_at=self.created_at or now,
            speaker=self.speaker,
            metadata=self.metadata,
        )


class RecordBody(InScope, Said):
    """One message. With a ``message_id`` sending it again is harmless."""

    message_id: Name | None = None


class MessageBody(Said):
    """One of many messages, with an id of its own."""

    id: Name


class RecordManyBody(InScope):
    """Messages in order."""

    messages: Annotated[list[MessageBody], Field(max_length=MOST_MESSAGES)]


class MessagesBody(InScope):
    """A page of the log: messages with a ``seq`` after ``after``."""

    session_id: Name | None = None
    after: Annotated[int, Field(ge=0, le=2**53)] = 0
    limit: Limit = 100


# ---------------------------------------------------------------- facts


class NoteBody(InScope):
    """A fact, word for word."""

    content: SomeText
    said_at: Moment | None = None
    event: EventBody | None = None
    metadata: Metadata | None = None
    note_id: Name | None = None


class NodeBody(InScope):
    """One node."""

    node_id: Name


class UpdateBody(NodeBody):
    """Another content for a node."""

    content: SomeText
    event: EventBody | None = None
    metadata: Metadata | None = None


class ListBody(InScope):
    """A page of nodes in order of time; ``cursor`` is that of the page before."""

    kinds: Kinds | None = None
    session_id: Name | None = None
    as_of: Moment | None = None
    closed: bool = False
    cursor: Annotated[str, StringConstraints(max_length=1024)] | None = None
    limit: Limit = 100


class ForgetBody(InScope):
    """Exactly one of three: messages, a session, everything of the scope."""

    message_ids: Annotated[list[Name], Field(max_length=MOST_MESSAGES)] = []
    session_id: Name | None = None
    everything: bool = False
    compact: bool = False


# ---------------------------------------------------------------- asking


class RetrieveBody(InScope):
    """A question to memory; what is left out is as the settings say."""

    query: Text
    limit: Limit | None = None
    budget_tokens: Tokens | None = None
    budget_ms: Milliseconds | None = None
    kinds: Kinds | None = None
    now: Moment | None = None
    time_zone: Name | None = None
    as_of: Moment | None = None
    during: IntervalBody | None = None
    session_id: Name | None = None
    current_session: Name | None = None
    floor: bool | None = None
    explain: bool = False
    profile: Profile | None = None

    def options(self) -> dict[str, Any]:
        """What ``retrieve`` is given by name."""
        names = set(RetrieveBody.model_fields) - {"user_id", "agent_id", "query"}
        return {name: value for name, value in self.given(*names).items() if value is not None}


class AttentionBody(InScope):
    """A question to the beacon memory alone."""

    query: Text


class ChatBody(InScope):
    """A turn of the user; what is left out is as the settings say."""

    query: SomeText
    session_id: Name = "default"
    system_prompt: Text | None = None
    memory_prompt: Text | None = None
    temporary_memories: list[Text] | None = None
    history: Literal["auto"] | Annotated[int, Field(ge=0, le=1000)] | None = "auto"
    remember: Literal["both", "user"] | bool = "both"
    speaker: Name | None = None
    limit: Limit | None = None
    budget_tokens: Tokens | None = None
    budget_ms: Milliseconds | None = None
    kinds: Kinds | None = None
    now: Moment | None = None
    time_zone: Name | None = None
    message_id: Name | None = None
    metadata: Metadata | None = None
    sampling: SamplingBody | None = None
    explain: bool = False
    profile: Profile | None = None

    def options(self) -> ChatOptions:
        """What ``chat`` is given by name; ``null`` means something for ``history`` alone."""
        names = set(ChatBody.model_fields) - {"user_id", "agent_id", "query", "session_id"}
        given = {
            name: value
            for name, value in self.given(*names).items()
            if value is not None or name == "history"
        }
        return cast(ChatOptions, given)


# ---------------------------------------------------------------- the whole


class ImportBody(InScope):
    """Lines of an export."""

    lines: Annotated[list[Text], Field(max_length=MOST_LINES)]
