"""consolidate, reflect: the work behind the chat, at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from memoryscope_rag.cli.output import one_line, say
from memoryscope_rag.cli.settings import Settings, with_settings
from memoryscope_rag.errors import ModelError

if TYPE_CHECKING:
    from memoryscope_rag.workers.backend.state import Action


@with_settings()
def consolidate(
    settings: Settings,
    parked: Annotated[
        bool, typer.Option("--parked", help="Also take up messages that were parked.")
    ] = False,
) -> None:
    """Turn recorded messages into observations now."""
    with settings.open() as memory:
        if parked:
            say(f"{memory.retry_parked(scope=settings.scope)} parked messages are pending again")
        report = memory.consolidate(scope=settings.scope)
    if report.busy:
        say("another process is at it")
    show_actions(report.actions)
    say(f"{report.consolidated} of {report.messages} messages consolidated")
    for name, reason in report.parked.items():
        say(f"parked {name}: {reason}")
    if report.failed:
        name, reason = next(iter(report.failed.items()))
        raise ModelError(f"{len(report.failed)} messages are pending still; {name}: {reason}")


@with_settings()
def reflect(settings: Settings) -> None:
    """Bring insights up to date with new observations now."""
    with settings.open() as memory:
        report = memory.reflect(scope=settings.scope)
    if report.busy:
        say("another process is at it")
    show_actions(report.actions)
    say(f"{report.looked_at} new facts looked at, {report.left} left for another time")
    if report.failures:
        raise ModelError("; ".join(report.failures))


def show_actions(actions: Sequence[Action]) -> None:
    """What a run did, a line each."""
    for action in actions:
        because = f" ({action.because})" if action.because else ""
        say(f"{action.did:<8} {action.node}  {one_line(action.content)}{because}")
