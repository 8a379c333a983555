"""DashScope's own interface: its clients, and its errors as ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from memoryscope_rag.errors import ConfigError, MissingExtra
from memoryscope_rag.models.endpoints import ENDPOINTS
from memoryscope_rag.models.failures import Asked, Failure, check_server, retry_after

try:
    import httpx
    from dashscope import v2 as sdk
    from dashscope.v2 import errors
except ImportError as error:
    raise MissingExtra("dashscope", "a model of DashScope") from error

SdkError = errors.DashScopeError
_REGION = "cn-beijing"
"""Decides nothing once the URL is given, but the SDK would look for it in the environment."""
_BY_CODE = {
    "throttling": 429,
    "ratelimit": 429,
    "invalidapikey": 401,
    "accessdenied": 403,
    "arrearage": 402,
    "model": 404,
    "internalerror": 500,
    "serviceunavailable": 503,
    "gatewaytimeout": 504,
    "requesttimeout": 408,
}
"""Beginnings of its codes and the HTTP status they mean; it also fails under status 200."""


class DashScopeServer:
    """Where requests go and with which key; both go with each client, none into the SDK's globals.

    Args:
        base_url: such as ``https://dashscope-intl.aliyuncs.com/api/v1``.
        api_key: the key itself.
        timeout_s: for connecting, and between two pieces of an answer.

    Raises:
        ConfigError: the key is missing, or a variable that the SDK reads is broken.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        key_variable: str | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        endpoint = ENDPOINTS["dashscope"]
        variable = key_variable or endpoint.key_variable
        if not api_key:
            raise ConfigError(f"dashscope needs a key; set the variable {variable}")
        self.base_url = base_url or str(endpoint.base_url)
        check_server(self.base_url, api_key, variable)
        self.asked = Asked("dashscope", self.base_url, model, variable)
        self._options: dict[str, Any] = {
            "api_key": api_key,
            "base_url": self.base_url,
            "workspace": "",
            "region": _REGION,
            "protocol": "native",
            "timeout": timeout_s,
            "max_retries": 0,
            "config_path": os.devnull,
        }

    def client(self) -> sdk.Client:
        """A client for threads."""
        try:
            return sdk.Client(**self._options)
        except ValueError as error:
            raise ConfigError(f"dashscope: {error}") from None

    def async_client(self) -> sdk.AsyncClient:
        """A client for one event loop, that of its first request."""
        try:
            return sdk.AsyncClient(**self._options)
        except ValueError as error:
            raise ConfigError(f"dashscope: {error}") from None

    @contextmanager
    def told(self) -> Iterator[None]:
        """The SDK's errors, and answers that cannot be read, as ModelError."""
        try:
            yield
        except (errors.DashScopeError, httpx.HTTPError) as error:
            raise failure_of(error).error(self.asked) from None
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise Failure("malformed", code=type(error).__name__).error(self.asked) from None


def failure_of(error: errors.DashScopeError | httpx.HTTPError) -> Failure:
    """What the SDK's error means."""
    if isinstance(error, errors.APITimeoutError | httpx.TimeoutException):
        return Failure("timeout")
    if isinstance(error, httpx.HTTPError):  # in the middle of a stream
        return Failure("connection", code=type(error).__name__)
    if isinstance(error, errors.APIConnectionError):
        return Failure("connection", code=type(error.__cause__ or error).__name__)
    if error.status_code is None:  # an event of a stream that is no JSON object
        return Failure("malformed", detail=error.message)
    code = error.code or ""
    words = f"{error.message} {code}"
    wait = retry_after({str(name).lower(): value for name, value in error.headers.items()})
    return Failure("status", _status(error.status_code, code, words), code, words, wait)


def _status(status: int, code: str, words: str) -> int:
    """The HTTP status that the failure should have had."""
    if status in (200, 400):  # both stand for anything
        lowered = code.lower().replace("_", "").replace(".", "")
        for beginning, meant in _BY_CODE.items():
            if lowered.startswith(beginning):
                return meant
        return 404 if "model not exist" in words.lower() else 400
    return status
