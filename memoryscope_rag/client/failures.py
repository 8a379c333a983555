"""From a problem (RFC 9457) back to the error that it was."""

from __future__ import annotations

import json
from typing import Any

from memoryscope_rag.errors import (
    BudgetExceeded,
    ConfigError,
    DuplicateId,
    InvalidInput,
    LeaseLost,
    MalformedReply,
    MemoryScopeError,
    ModelError,
    StoreError,
    StoreUnavailable,
    UnknownId,
)

PREFIX = "urn:memoryscope-rag:"

_INPUT: dict[str, type[InvalidInput]] = {
    "unknown-id": UnknownId,
    "duplicate-id": DuplicateId,
    "invalid-input": InvalidInput,
}
_WORLD: dict[str, type[MemoryScopeError]] = {
    "store-unavailable": StoreUnavailable,
    "not-ready": StoreUnavailable,
    "store-error": StoreError,
    "lease-lost": LeaseLost,
    "model-error": ModelError,
    "budget-exceeded": BudgetExceeded,
    "not-configured": ConfigError,
}


class ServiceError(MemoryScopeError):
    """The service said no for a reason of its own: the key, the rate, the size, or a fault.

    ``status`` is that of HTTP, ``kind`` the last part of the problem's type, ``request_id`` what
    its log has the request under.
    """

    def __init__(self, message: str, *, status: int, kind: str, request_id: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.request_id = status, kind, request_id


def error_of(status: int, body: bytes, *, retry_after: float | None = None) -> MemoryScopeError:
    """The error that an answer with this status and body stands for."""
    problem = _problem(body)
    kind = str(problem.get("type", "")).removeprefix(PREFIX)
    detail = str(problem.get("detail", "")) or f"the service answered with status {status}"
    if kind in _INPUT:
        field, _, reason = detail.partition(": ")
        return _INPUT[kind](field, reason) if reason else _INPUT[kind]("request", detail)
    if kind == "malformed-reply":
        return MalformedReply(detail, "")
    if kind == "model-error":
        return ModelError(detail, retryable=retry_after is not None, retry_after=retry_after)
    if kind in _WORLD:
        return _WORLD[kind](detail)
    if status == 503 and not kind:  # such as a proxy's, or a service with too many connections
        return StoreUnavailable("the service is busy or away")
    instance = str(problem.get("instance", "")).removeprefix("urn:request:")
    return ServiceError(f"{detail} ({status})", status=status, kind=kind, request_id=instance)


def _problem(body: bytes) -> dict[str, Any]:
    try:
        problem = json.loads(body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}
