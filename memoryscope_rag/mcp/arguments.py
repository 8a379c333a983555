"""What a model may say when it calls a tool. Whose memory it is, is no argument of any."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from memoryscope_rag.schema import MAX_NAME, Kind

LONGEST_FACT = 8000
"""Characters of one fact."""
LONGEST_QUERY = 2000
MOST_RECALLED = 50
MOST_LISTED = 100
MOST_FORGOTTEN = 50
"""Memories of one call."""

Id = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME)]
Query = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_QUERY)]


class Arguments(BaseModel):
    """Of one tool. What is not described is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Remember(Arguments):
    """A fact."""

    content: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_FACT)] = Field(
        description="The fact, in one or a few sentences that can be understood by themselves."
    )
    said_at: datetime | None = Field(
        None, description="When it was said, ISO 8601; now unless given."
    )


class Recall(Arguments):
    """A question to memory."""

    query: Query = Field(description="What you want to know, in words.")
    limit: int = Field(10, ge=1, le=MOST_RECALLED, description="Memories at most.")


class List(Arguments):
    """A page of what is remembered."""

    kind: Kind | None = Field(
        None, description="Only this kind; all facts, and no conversation, unless given."
    )
    limit: int = Field(20, ge=1, le=MOST_LISTED, description="Memories of one page.")
    cursor: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        None, description="What the page before named."
    )


class Forget(Arguments):
    """What is to go."""

    ids: list[Id] = Field(
        min_length=1,
        max_length=MOST_FORGOTTEN,
        description="Ids of memories or of messages, as the other tools show them.",
    )


class Why(Arguments):
    """One memory, and maybe a question."""

    id: Id = Field(description="The id of a memory or of a message, as the other tools show it.")
    query: Query | None = Field(
        None, description="A question, to see what speaks for this memory in the search for it."
    )
