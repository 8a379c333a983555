"""Ending a stream before it is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any


async def ended(stream: AsyncIterator[Any]) -> None:
    """Close a stream, which ends its request; one that cannot be closed is left alone."""
    aclose = getattr(stream, "aclose", None)
    if aclose is not None:
        await aclose()
