"""What every store refuses before it asks its database."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import get_args

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.schema import MessageState, check_name


def check_count(field: str, value: int, *, least: int = 1) -> None:
    """Raise InvalidInput for a number that is too small."""
    if value < least:
        raise InvalidInput(field, f"{value} is less than {least}")


def check_state(state: str) -> None:
    """Raise InvalidInput for what is no state of a message."""
    if state not in get_args(MessageState):
        known = ", ".join(get_args(MessageState))
        raise InvalidInput("state", f"{state!r} is unknown; known: {known}")


def check_selection(message_ids: Sequence[str], session_id: str | None, everything: bool) -> None:
    """Raise InvalidInput unless exactly one is given of what to forget."""
    if bool(message_ids) + (session_id is not None) + everything != 1:
        raise InvalidInput("forget", "give one of message_ids, session_id and everything")


def check_lease(name: str, owner: str, seconds: float) -> None:
    """Raise InvalidInput for a lease that nobody could hold."""
    check_name("lease name", name)
    check_name("owner", owner)
    if not 0 < seconds < math.inf:
        raise InvalidInput("seconds", f"{seconds} is no positive time")
