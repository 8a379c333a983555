"""memory show: a picture of what the beacon memory covers, and of where a query led."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from memoryscope_rag.cli.settings import Settings, moment, with_settings
from memoryscope_rag.errors import InvalidInput, ModelError

if TYPE_CHECKING:
    from memoryscope_rag.plots.memory_map import MemoryMap
    from memoryscope_rag.schema import Evidence, Message, Profile, Scope
    from memoryscope_rag.sync import MemoryScope

PAGE = 1000
"""Messages that are read at a time."""


@with_settings()
def show(
    settings: Settings,
    out: Annotated[Path, typer.Option("--out", "-o", help="A file: .svg, .html or .png.")],
    query: Annotated[
        str | None, typer.Option("--query", help="Also where this question leads, and by what.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="How much is done for it; clues unless given.")
    ] = None,
    now: Annotated[str | None, typer.Option(help="What 'yesterday' refers to, ISO 8601.")] = None,
    dark: Annotated[
        bool, typer.Option("--dark", help="For dark surroundings; HTML is for both.")
    ] = False,
) -> None:
    """Draw what the beacon memory covers of the log, and where a question leads."""
    from memoryscope_rag.plots.render import FORMS, render

    form = next((form for form in FORMS if out.suffix.lower() == f".{form}"), None)
    if form is None:
        raise InvalidInput("--out", f"{out.name!r} must end in .{', .'.join(FORMS)}")
    zone = settings.zone()
    with settings.open(embedding=query is not None) as memory:
        shown = memory_map(
            memory,
            settings.scope,
            query=query,
            profile=cast("Profile", profile or "clues"),  # retrieve refuses what is none
            now=moment("--now", now, zone),
        )
        if memory.config.memory.model is None:
            print("there is no beacon memory: memory.model names no model", file=sys.stderr)
    out.write_bytes(render(shown, form, zone=zone, dark=dark))
    print(f"{out}: {len(shown.covered)} of {len(shown.messages)} messages", file=sys.stderr)


def memory_map(
    memory: MemoryScope,
    scope: Scope,
    *,
    query: str | None = None,
    profile: Profile = "clues",
    now: datetime | None = None,
) -> MemoryMap:
    """What there is to draw of ``scope``; with ``query`` also where that leads.

    Attention that the memory cannot give now is left out; the evidence says why.
    """
    from memoryscope_rag.plots.memory_map import MemoryMap

    evidence: Evidence | None = None
    attention: Mapping[str, float] = {}
    if query is not None:
        evidence = memory.retrieve(query, scope=scope, profile=profile, now=now, explain=True)
        if profile != "fast":  # which asks no model
            with suppress(ModelError):
                attention = memory.attention(query, scope=scope)
    # the log last: what was forgotten meanwhile is in no strip
    coverage = memory.coverage(scope=scope)
    return MemoryMap(
        scope=scope,
        model=Path(memory.config.memory.model or "no model").name,
        messages=_log(memory, scope),
        coverage=coverage,
        attention=attention,
        evidence=evidence,
    )


def _log(memory: MemoryScope, scope: Scope) -> tuple[Message, ...]:
    messages: list[Message] = []
    while page := memory.messages(
        scope=scope, after=messages[-1].seq if messages else 0, limit=PAGE
    ):
        messages += page
    return tuple(messages)
