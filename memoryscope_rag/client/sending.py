"""What both clients share: how a call becomes a request, and when one is sent again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tenacity

from memoryscope_rag.client.calls import Call, T
from memoryscope_rag.client.failures import error_of
from memoryscope_rag.errors import DuplicateId, MemoryScopeError, MissingExtra, StoreUnavailable
from memoryscope_rag.ports import Recorded

CONNECTIONS = 100
"""Of one client at once; further calls wait for one of them."""
AGAIN = frozenset({429, 503})
"""Nothing was done: whatever was asked may be asked again."""
PERHAPS = frozenset({500, 502, 504})
"""Something may have been done: what is harmless to repeat may be asked again."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a client tries, and how long it waits, in seconds.

    Waits grow from ``first_wait_s`` by doubling up to ``longest_wait_s``, each drawn at random
    from its upper half; a service that says how long to wait is believed. No wait is begun that
    would end later than ``deadline_s`` after the first attempt.
    """

    attempts: int = 5
    timeout_s: float = 30.0
    deadline_s: float = 60.0
    first_wait_s: float = 0.2
    longest_wait_s: float = 5.0

    def options(self) -> dict[str, Any]:
        """For tenacity."""
        return {
            "retry": tenacity.retry_if_exception_type(Again),
            "stop": tenacity.stop_after_attempt(self.attempts)
            | tenacity.stop_before_delay(self.deadline_s),
            "wait": self._wait,
            "reraise": True,
        }

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        after = error.after if isinstance(error, Again) else None
        if after is not None:
            return after * (1 + random.random() / 10)
        doubled = self.first_wait_s * 2.0 ** min(state.attempt_number - 1, 30)
        return float(min(doubled, self.longest_wait_s) * (0.5 + random.random() / 2))


class Again(Exception):
    """An attempt that failed and may be followed by another; ``error`` is why."""

    def __init__(self, error: MemoryScopeError, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.after = error, after


def result_of(call: Call[T], status: int, headers: Mapping[str, str], body: bytes) -> T:
    """What came of a call. Raises the error that it was, within Again if it may be repeated."""
    if status == 204:
        return call.result.validate_python(None)
    if status == 200:
        return call.result.validate_json(body)
    after = _seconds(headers.get("retry-after"))
    error = error_of(status, body, retry_after=after)
    under_way = getattr(error, "kind", None) == "under-way"
    if status in AGAIN or under_way or (status in PERHAPS and call.harmless):
        raise Again(error, after)
    raise error


def away(url: str, call: Call[Any], error: Exception, *, sent: bool) -> MemoryScopeError | Again:
    """The error of a request that got no answer; ``sent`` if it may have arrived."""
    result = unreachable(url, error)
    return Again(result) if call.harmless or not sent else result


def unreachable(url: str, error: Exception) -> StoreUnavailable:
    """That no answer came."""
    return StoreUnavailable(f"the service at {url} does not answer: {type(error).__name__}")


def headers_of(call: Call[Any]) -> dict[str, str]:
    """What a request of this call says besides its body."""
    headers = {"Content-Type": "application/json"}
    if call.tenant is not None:
        headers["X-Tenant-ID"] = call.tenant
    if call.key is not None:
        headers["Idempotency-Key"] = call.key
    return headers


def web() -> Any:
    """The HTTP library. Raises MissingExtra."""
    try:
        import httpx2
    except ImportError:
        raise MissingExtra("client", "the client of the HTTP service") from None
    return httpx2


def none_refused(done: tuple[Recorded, ...]) -> tuple[Recorded, ...]:
    """``done``. Raises DuplicateId where it holds messages whose ids are taken."""
    refused = [outcome.message.id for outcome in done if outcome.status == "refused"]
    if refused:
        raise DuplicateId(
            "message id",
            f"{', '.join(map(repr, refused[:5]))} already recorded with other content; "
            f"{len(done) - len(refused)} of {len(done)} messages are stored",
        )
    return done


def key_header(key: str | None) -> dict[str, str]:
    """What shows the key."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdigit() else None
