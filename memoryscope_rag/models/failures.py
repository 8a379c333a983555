"""What went wrong at a model's server, as one error that says what to do and quotes nothing.

Servers like to quote the prompt when they refuse it. What they say is kept in
:attr:`~memoryscope_rag.errors.ModelError.detail`; the message has status, code and advice only.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from memoryscope_rag.errors import ConfigError, ModelError

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{1,60}")
_AGAIN = {408, 409, 425, 429}
_NO_CREDIT = ("insufficient_quota", "arrearage", "insufficient_balance", "freetieronly", "billing")


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked for what: for messages. ``key_variable`` is where the key came from."""

    server: str
    base_url: str
    model: str
    key_variable: str | None = None

    def __str__(self) -> str:
        parts = urlsplit(self.base_url)  # without user and password
        port = f":{parts.port}" if parts.port else ""
        return f"{self.server} at {parts.scheme}://{parts.hostname}{port}{parts.path}"


def check_server(url: str, key: str | None, variable: str | None) -> None:
    """Whether requests can be sent there with that key.

    Raises:
        ConfigError: the URL is none, or the key has characters that no key has; it is not shown.
    """
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ConfigError(f"base_url {url!r} is not of the form http://host or https://host:port")
    if key is not None and not (key.isascii() and key.isprintable() and key == key.strip()):
        raise ConfigError(f"the key in {variable} has blanks around it or odd characters in it")


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed request. ``status`` is that of HTTP; ``detail`` may quote the prompt."""

    kind: Literal["status", "timeout", "connection", "malformed"]
    status: int = 0
    code: str = ""
    detail: str = ""
    retry_after: float | None = None

    @property
    def refused(self) -> bool:
        """Whether the server understood nothing and did nothing, so another wording may help."""
        return self.kind == "status" and self.status in (400, 422)

    def error(self, asked: Asked) -> ModelError:
        """The error to raise."""
        message, retryable = self._explained(asked)
        return ModelError(
            f"{asked}: {message}",
            retryable=retryable,
            retry_after=self.retry_after,
            detail=self.detail,
        )

    def _explained(self, asked: Asked) -> tuple[str, bool]:
        if self.kind == "timeout":
            return f"no answer in time for {asked.model!r}", True
        if self.kind == "connection":
            return f"the connection failed ({self.code})", True
        if self.kind == "malformed":
            return f"the answer for {asked.model!r} is not of the form agreed on", True
        code = self.code if _CODE.fullmatch(self.code) else ""
        what = f"{self.status} {code}".strip()
        key = f"the key in {asked.key_variable}" if asked.key_variable else "the key"
        lowered = code.lower()
        if self.status == 402 or any(part in lowered for part in _NO_CREDIT):
            return f"no credit is left for {key} ({what}); add some or use another key", False
        if self.status == 401:
            wanted = "" if asked.key_variable else "; name the variable that holds one in api_key"
            return f"{key} was refused ({what}){wanted}", False
        if self.status == 403:
            return f"{key} may not use {asked.model!r} ({what})", False
        if self.status == 404:
            return f"there is no model {asked.model!r}, or the base URL is wrong ({what})", False
        if self.status == 429:
            return f"too many requests for {asked.model!r} ({what})", True
        if self.status in _AGAIN or self.status >= 500:
            return f"the server failed with {asked.model!r} ({what})", True
        return (
            f"the request for {asked.model!r} was refused ({what}); "
            "the error's `detail` has the server's words"
        ), False


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait that the server asks for; ``None`` where it does not."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return None
        try:
            return max(0.0, float(value))
        except ValueError:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
