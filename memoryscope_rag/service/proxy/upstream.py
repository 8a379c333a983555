"""Where requests go on to: a server that speaks OpenAI's API, with a key of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from memoryscope_rag.errors import MissingExtra
from memoryscope_rag.models.failures import Asked, Failure, check_server

try:
    import httpx2
except ImportError as error:
    raise MissingExtra("service", "the proxy") from error

Headers = tuple[tuple[str, str], ...]

CONNECT_S = 10.0
"""For connecting to the upstream, seconds."""
_HOP = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that are about one connection."""
_NOT_ON = _HOP | {"accept-encoding", "authorization", "cookie", "expect", "host"}
"""Headers of a request that the upstream is not sent as they came."""
_NOT_BACK = _HOP | {
    "alt-svc",
    "cache-control",
    "date",
    "server",
    "set-cookie",
    "strict-transport-security",
    "x-content-type-options",
    "x-request-id",
}
"""Headers of an answer that are about the upstream's own place, or that the service sets."""


@dataclass(frozen=True, slots=True)
class Forward:
    """A request that goes on; ``path`` is what follows ``/v1/``, ``query`` what follows ``?``."""

    method: str
    path: str
    query: str = ""
    headers: Headers = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer whose bytes are still coming; closing ``pieces`` ends the request.

    Reading them raises ModelError where the answer breaks off.
    """

    status: int
    headers: Headers
    pieces: AsyncGenerator[bytes, None]

    @property
    def media(self) -> str:
        """The media type, in lower case and without its parameters."""
        return self.header("content-type").partition(";")[0].strip().lower()

    def header(self, wanted: str) -> str:
        """The header ``wanted``, in lower case; "" where there is none."""
        return next((value for name, value in self.headers if name.lower() == wanted), "")

    async def whole(self) -> bytes:
        """All of it. Raises ModelError."""
        return b"".join([piece async for piece in self.pieces])


class Source(Protocol):
    """What answers."""

    async def ask(self, request: Forward) -> Answered:
        """The answer's head, whatever its status. Raises ModelError where there is none."""
        ...

    async def close(self) -> None: ...


class Upstream:
    """A server with OpenAI's API at ``base_url``, which is what OpenAI's clients call so.

    ``not_on`` are further headers that stay here. Bytes are asked for as they are, uncompressed,
    so that what is passed on can be read. Raises ConfigError for a URL or a key that cannot be.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None,
        key_variable: str | None,
        timeout_s: float,
        not_on: Iterable[str] = (),
    ) -> None:
        check_server(base_url, api_key, key_variable)
        self._base = base_url.rstrip("/")
        self._asked = Asked("the proxy's upstream", base_url, "", key_variable)
        self._not_on = _NOT_ON | {name.lower() for name in not_on}
        self._own = [("Accept-Encoding", "identity")]
        if api_key is not None:
            self._own.append(("Authorization", f"Bearer {api_key}"))
        self._client = httpx2.AsyncClient(
            timeout=httpx2.Timeout(timeout_s, connect=CONNECT_S),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100),
        )

    async def ask(self, request: Forward) -> Answered:
        """See :class:`Source`."""
        url = f"{self._base}/{request.path}" + (f"?{request.query}" if request.query else "")
        kept = [(name, text) for name, text in request.headers if name.lower() not in self._not_on]
        with self._told():
            response = await self._client.send(
                self._client.build_request(
                    request.method, url, headers=[*kept, *self._own], content=request.body or None
                ),
                stream=True,
            )
        headers = [
            (name, text)
            for name, text in response.headers.multi_items()
            if name.lower() not in _NOT_BACK
        ]
        if named := response.headers.get("x-request-id"):
            headers.append(("X-Upstream-Request-ID", named))
        return Answered(response.status_code, tuple(headers), self._pieces(response))

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _pieces(self, response: httpx2.Response) -> AsyncGenerator[bytes, None]:
        try:
            with self._told():
                async for piece in response.aiter_raw():
                    yield piece
        finally:
            await response.aclose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the client raises, as ModelError."""
        try:
            yield
        except httpx2.TimeoutException:
            raise Failure("timeout").error(self._asked) from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Failure("connection", code=type(error).__name__).error(self._asked) from None
