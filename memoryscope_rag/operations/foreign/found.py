"""What a reader finds in an export, and how it reads the fields that all exports have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.formats import Problem, moment_of
from memoryscope_rag.schema import Event, MemoryNode, NewMessage
from memoryscope_rag.temporal import told_event

EVENT_CHARS = 4000
"""As far as a text is looked through for when it happens; some are whole documents."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A note, and whose it is if the export says so."""

    node: MemoryNode
    user: str | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that is not taken, in words that are counted: never content."""

    what: str
    count: int = 1


Found = NewMessage | Fact | LeftOut | Problem


def facts_in(
    value: Any, pages: str, name: str, read: Callable[[Mapping[str, Any]], Fact]
) -> Iterator[Fact | Problem]:
    """What ``read`` makes of ``value``, which is an object, or a page of them under ``pages``.

    Problems call an object ``name``, and by its place on the page.
    """
    page = value.get(pages) if isinstance(value, dict) else None
    for place, one in enumerate(page if isinstance(page, list) else [value], 1):
        try:
            if not isinstance(one, dict):
                raise InvalidInput(name, "is no object")
            yield read(one)
        except InvalidInput as error:
            yield Problem(f"{name} {place}: {error}" if page else str(error))


def text_in(data: Mapping[str, Any], name: str) -> str:
    """The string ``name``. Raises InvalidInput that names it."""
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInput(name, "is missing or no string")
    return value


def optional_text(data: Mapping[str, Any], name: str) -> str | None:
    """The same, or ``None`` where there is none."""
    value = data.get(name)
    return value if isinstance(value, str) and value else None


def time_in(data: Mapping[str, Any], name: str) -> datetime | None:
    """An ISO 8601 time (UTC unless it says otherwise) or POSIX seconds; ``None`` for none.

    Raises InvalidInput that names the field.
    """
    value = data.get(name)
    if value is None or value == "":
        return None
    return moment_of(name, value)


def flat(data: Mapping[str, Any]) -> dict[str, str | int | float | bool | None]:
    """``data`` as metadata of ours: what is nested becomes JSON text."""
    return {
        name: value
        if isinstance(value, str | int | float | bool | None)
        else json.dumps(value, ensure_ascii=False, sort_keys=True)
        for name, value in data.items()
    }


def event_of(text: str, said_at: datetime) -> Event | None:
    """When what a fact tells of happens, as far as its words say so."""
    return told_event(text[:EVENT_CHARS], said_at)
