"""One OpenAI-compatible server: its clients, and its errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from memoryscope_rag.errors import ConfigError, MissingExtra
from memoryscope_rag.models.endpoints import Endpoint
from memoryscope_rag.models.failures import Asked, Failure, check_server, retry_after

try:
    import openai
except ImportError as error:
    raise MissingExtra("openai", "a model behind an OpenAI-compatible URL") from error

NO_KEY = "none"
"""Sent where a server wants no key: the SDK insists on one."""
REFUSALS = (openai.BadRequestError, openai.UnprocessableEntityError)
"""What is raised when a server does not accept the request itself."""
_NOT_AGAIN = ("invalid", "insufficient", "content", "auth", "permission", "not_found", "context")


class OpenAIServer:
    """Where requests go and with which key. Makes clients that never retry by themselves.

    Of the variables that the SDK reads, none changes where requests go or in whose name; keys,
    organisation and project come from here.

    Args:
        base_url: in place of the endpoint's own; for ``azure`` the resource, such as
            ``https://name.openai.azure.com``.
        api_key: the key itself.
        api_version: for ``azure`` only, such as ``2024-10-21``.
        key_variable: the variable that the key came from, for messages.
        timeout_s: for connecting, and between two pieces of an answer.

    Raises:
        ConfigError: URL, key or version is missing.
    """

    def __init__(
        self,
        model: str,
        endpoint: Endpoint,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        api_version: str | None = None,
        key_variable: str | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        url = base_url or endpoint.base_url
        variable = key_variable or endpoint.key_variable
        if url is None:
            raise ConfigError(f"{endpoint.name} needs a base_url")
        check_server(url, api_key, variable)
        if api_key is None and endpoint.key_variable is not None:
            raise ConfigError(f"{endpoint.name} needs a key; set the variable {variable}")
        self.endpoint = endpoint
        self.base_url = url
        self.asked = Asked(endpoint.name, url, model, variable if api_key else None)
        self._options: dict[str, Any] = {
            "api_key": api_key or NO_KEY,
            "timeout": timeout_s,
            "max_retries": 0,
        }
        self._azure = endpoint.name == "azure"
        if self._azure:
            if not api_version:
                raise ConfigError("azure needs an api_version, such as 2024-10-21")
            self._options |= {"azure_endpoint": url, "api_version": api_version}
        else:
            self._options["base_url"] = url

    def client(self) -> openai.OpenAI:
        """A client for threads."""
        made = (openai.AzureOpenAI if self._azure else openai.OpenAI)(**self._options)
        made.organization = made.project = None
        return made

    def async_client(self) -> openai.AsyncOpenAI:
        """A client for one event loop, that of its first request."""
        kind = openai.AsyncAzureOpenAI if self._azure else openai.AsyncOpenAI
        made = kind(**self._options)
        made.organization = made.project = None
        return made

    @contextmanager
    def told(self) -> Iterator[None]:
        """The SDK's errors, and answers that cannot be read, as ModelError."""
        try:
            yield
        except openai.OpenAIError as error:
            raise failure_of(error).error(self.asked) from None
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            # a body that is no JSON, or JSON of another shape: the SDK checks neither
            raise Failure("malformed", code=type(error).__name__).error(self.asked) from None


def failure_of(error: openai.OpenAIError) -> Failure:
    """What the SDK's error means."""
    if isinstance(error, openai.APITimeoutError):
        return Failure("timeout")
    if isinstance(error, openai.APIConnectionError):
        return Failure("connection", code=type(error.__cause__ or error).__name__)
    if isinstance(error, openai.APIStatusError):
        code = error.code or error.type or ""
        wait = retry_after(error.response.headers)
        return Failure("status", error.status_code, str(code), _words(error), wait)
    if isinstance(error, openai.APIResponseValidationError):
        return Failure("malformed")
    if isinstance(error, openai.APIError):  # in the middle of a stream, after status 200
        code = str(error.code or error.type or "")
        status = 400 if any(part in code.lower() for part in _NOT_AGAIN) else 500
        return Failure("status", int(code) if code.isdigit() else status, code, _words(error))
    return Failure("connection", code=type(error).__name__, detail=str(error))


def _words(error: openai.APIError) -> str:
    return error.message if error.body is None else f"{error.message} {error.body}"
