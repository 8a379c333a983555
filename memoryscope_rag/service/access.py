"""Who is calling, and what they may do.

Every request but those to :data:`OPEN` has to bring ``Authorization: Bearer KEY``, and is refused
before anything of its body is read. Only a service without any key, on loopback, does without.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from memoryscope_rag.errors import MemoryScopeError
from memoryscope_rag.schema import check_name
from memoryscope_rag.service.keys import EVERY_TENANT, RIGHTS, ApiKey, Right, all_keys, split
from memoryscope_rag.service.limits import RateLimit
from memoryscope_rag.service.problems import OPENAI, TOO_LARGE, Problem, problem_of
from memoryscope_rag.service.state import StateFile

OPEN = frozenset({"/health", "/ready", "/openapi.json"})
"""Paths that need no key and tell nothing of any memory."""
CONSOLE = "/console"
"""Where the console's files are; they hold no data, and ask for a key themselves."""
STALE_S = 1.0
"""Seconds after which a revoked key is not taken any more by any process."""
DEFAULT_TENANT = "default"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request this is: the key's id, its rights, and the tenant chosen for this request.

    ``user`` is the one whom the key is bound to, if it is to one.
    """

    name: str
    rights: tuple[Right, ...]
    tenant: str
    tenants: tuple[str, ...]
    user: str | None = None

    def sees(self, tenant: str) -> bool:
        """Whether memories of ``tenant`` may be shown."""
        return tenant in self.tenants or EVERY_TENANT in self.tenants

    def need(self, right: Right) -> None:
        """Raise a Problem unless the key has ``right``."""
        if right not in self.rights:
            raise Problem("forbidden", 403, f"this key has not the right {right!r}")

    def need_whole_store(self) -> None:
        """Raise a Problem unless the key is an administrator's of every tenant."""
        self.need("admin")
        if EVERY_TENANT not in self.tenants:
            raise Problem("forbidden", 403, "only a key of every tenant sees the whole store")


class KeyRing:
    """The keys of the state file, as they were :data:`STALE_S` ago at most."""

    def __init__(self, file: StateFile) -> None:
        self._file = file
        self._keys: Mapping[str, ApiKey] = {}
        self._read_at = -math.inf
        self._reading = asyncio.Lock()

    async def find(self, identity: str | None) -> tuple[ApiKey | None, bool]:
        """The key of that id, if there is one, and whether there is any key. Raises StoreError."""
        asked_at = time.monotonic()
        await self._read(asked_at - STALE_S)
        if identity is not None and identity not in self._keys:
            await self._read(asked_at)  # it may have been made a moment ago
        return self._keys.get(identity or ""), bool(self._keys)

    async def _read(self, since: float) -> None:
        """Have the keys as of ``since`` or later: many who wait share the next reading."""
        if self._read_at < since:
            async with self._reading:
                if self._read_at < since:
                    now = time.monotonic()
                    keys = await asyncio.to_thread(all_keys, self._file)
                    self._keys, self._read_at = {key.id: key for key in keys}, now


class Gate:
    """The ASGI layer that lets callers with a key through, with no more and no faster than may be.

    A body that does not say how long it is is measured further in, as it is read.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        ring: KeyRing,
        limit: RateLimit,
        body_bytes: int,
        without_keys: bool,
    ) -> None:
        self._app, self._ring, self._limit = app, ring, limit
        self._body_bytes, self._without_keys = body_bytes, without_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See :class:`Gate`."""
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        state = scope["state"]
        try:
            headers = Headers(scope=scope)
            key = await self._key(headers)
            state["caller"] = None if key is None else key.id
            state["key"] = key
            if wait := self._limit.take("" if key is None else key.id):
                after = {"Retry-After": str(math.ceil(wait))}
                raise Problem("rate-limit", 429, "too many requests of this key", headers=after)
            if int(headers.get("content-length", "0")) > self._body_bytes:
                raise Problem("too-large", 413, TOO_LARGE)
        except MemoryScopeError as error:
            refusal = problem_of(error)
        except Problem as error:
            refusal = error
        else:
            await self._app(scope, receive, send)
            return
        state["problem"] = refusal.kind
        await refusal.response(state["request_id"], scope["path"])(scope, receive, send)

    async def _key(self, headers: Headers) -> ApiKey | None:
        """The key of a request; ``None`` where none is needed. Raises Problem."""
        scheme, _, text = headers.get("authorization", "").partition(" ")
        parts = split(text.strip()) if scheme.lower() == "bearer" else None
        key, any_key = await self._ring.find(None if parts is None else parts[0])
        if not any_key and self._without_keys:
            # a page elsewhere may have had its own name point here; a browser tells which
            if not is_loopback(_name_of(headers.get("host", ""))):
                raise Problem("forbidden", 403, "without keys only this machine is served")
            return None
        if parts is None or key is None or not key.opened_by(parts[1]):
            how = {"WWW-Authenticate": 'Bearer realm="memoryscope-rag"'}
            raise Problem(
                "unauthorized", 401, "send Authorization: Bearer KEY with a valid key", headers=how
            )
        return key


def is_open(path: str) -> bool:
    """Whether ``path`` needs no key."""
    return path in OPEN or path == CONSOLE or path.startswith(f"{CONSOLE}/")


def _name_of(host: str) -> str:
    """A Host header without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether ``host``, a name or an address, is this machine to itself."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


_bearer = HTTPBearer(auto_error=False, description="An API key, made by 'keys create'.")


async def caller(  # async, as all that is injected here: a plain one costs a thread each time
    request: Request,
    declared: Annotated[object, Security(_bearer)],
    x_tenant_id: Annotated[
        str | None,
        Header(description="Which of the key's tenants; needed where it has several."),
    ] = None,
) -> Caller:
    """Who asks, by what the :class:`Gate` found. Raises Problem."""
    key: ApiKey | None = request.state.key
    if x_tenant_id is not None:
        check_name("X-Tenant-ID", x_tenant_id)
    if key is None:
        return Caller("", RIGHTS, x_tenant_id or DEFAULT_TENANT, (EVERY_TENANT,))
    if key.user is not None and request.url.path not in OPENAI:
        raise Problem(
            "forbidden", 403, f"a key of one user opens {', '.join(sorted(OPENAI))} alone"
        )
    if x_tenant_id is not None:
        if not key.allows(x_tenant_id):
            raise Problem("forbidden", 403, "this key is not bound to that tenant")
        tenant = x_tenant_id
    elif len(key.tenants) == 1:
        tenant = DEFAULT_TENANT if EVERY_TENANT in key.tenants else key.tenants[0]
    else:
        raise Problem("tenant-needed", 400, "this key has several tenants: send X-Tenant-ID")
    return Caller(key.id, key.rights, tenant, key.tenants, key.user)


def _with(right: Right) -> object:
    async def allowed(who: Annotated[Caller, Depends(caller)]) -> Caller:
        who.need(right)
        return who

    return Depends(allowed)


Reader = Annotated[Caller, _with("read")]
Writer = Annotated[Caller, _with("write")]
Forgetter = Annotated[Caller, _with("forget")]
Administrator = Annotated[Caller, _with("admin")]
