"""The client's connection to one node, without two habits that a store of memories cannot have.

It would write whole requests and answers to its debug log, which are people's memories, and take
them apart for that even where nobody listens; and it would hand a large body to the socket in one
piece, which aiohttp warns of.
"""

from __future__ import annotations

import io
from typing import Any

from elastic_transport import AiohttpHttpNode

_LARGE = 1 << 20
"""Bytes above which aiohttp wants a stream."""


class Node(AiohttpHttpNode):
    """An aiohttp node that logs nothing and streams large bodies."""

    async def perform_request(  # type: ignore[override]
        self, method: str, target: str, body: bytes | None = None, **options: Any
    ) -> Any:
        """One attempt at one request."""
        data: Any = io.BytesIO(body) if body is not None and len(body) > _LARGE else body
        return await super().perform_request(method, target, body=data, **options)

    def _log_request(self, *args: Any, **options: Any) -> None:
        pass
