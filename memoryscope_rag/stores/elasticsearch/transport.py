"""Trying a request again, with waits: the client's own retries have none in version 8."""

from __future__ import annotations

import asyncio
from typing import Any

import tenacity
from elastic_transport import (
    AsyncTransport,
    ConnectionError,
    ConnectionTimeout,
    TransportApiResponse,
)

from memoryscope_rag.stores.elasticsearch.failures import is_refused_certificate

RETRIED = frozenset({429, 502, 503, 504})
"""Statuses of a cluster that is busy, restarting or without a master."""


class RetryingTransport(AsyncTransport):
    """Sends a request again when the cluster was busy or away, to the next node if there is one.

    An attempt that got no answer may have been carried out, so every write of the store can be
    repeated: ids are the caller's, and changes name the version that they replace. Waits double
    from 0.1 s to 3 s, each drawn at random below that ("full jitter"). ``deadline_s`` bounds all
    attempts and waits together, or the request's own time-out where that is longer.
    """

    def __init__(self, *args: Any, deadline_s: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline_s = deadline_s

    async def perform_request(  # type: ignore[override]  # the root of its classes is not async
        self, method: str, target: str, **options: Any
    ) -> TransportApiResponse:
        """The response of the first attempt that is worth no other."""
        # both are set by the client for each request
        timeout_s, retries = float(options.pop("request_timeout")), options.pop("max_retries")
        deadline_s = max(self._deadline_s, timeout_s)
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline_s

        async def attempt() -> TransportApiResponse:
            left = max(end - loop.time(), 0.001)
            return await super(RetryingTransport, self).perform_request(
                method, target, request_timeout=min(timeout_s, left), max_retries=0, **options
            )

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_is_passing)
            | tenacity.retry_if_result(lambda answer: answer.meta.status in RETRIED),
            stop=tenacity.stop_after_attempt(retries + 1) | tenacity.stop_before_delay(deadline_s),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=3.0),
            retry_error_callback=_last,
        )
        return await retrying(attempt)


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, ConnectionError | ConnectionTimeout) and not is_refused_certificate(
        error
    )


def _last(state: tenacity.RetryCallState) -> TransportApiResponse:
    assert state.outcome is not None  # it was called
    answer: TransportApiResponse = state.outcome.result()
    return answer
