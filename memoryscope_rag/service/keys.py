"""API keys: made once, shown once, kept as a digest, bound to tenants and rights.

A key reads ``msk_ID_SECRET``. The id finds its row. The secret is 256 random bits, which nobody
guesses, so one SHA-256 hides it as well as a slow function would; a slow one would let whoever
knows an id keep the service busy with wrong secrets.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, get_args

from memoryscope_rag.errors import InvalidInput, UnknownId, suggest
from memoryscope_rag.schema import check_name
from memoryscope_rag.service.state import StateFile

Right = Literal["read", "write", "forget", "admin"]
RIGHTS: tuple[Right, ...] = get_args(Right)
EVERY_TENANT = "*"
_PREFIX = "msk"
_COLUMNS = "id, name, tenants, rights, digest, created_at, user_id, revoked_at"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Who may do what, for which tenants; ``*`` among ``tenants`` is any.

    A key with a ``user`` speaks for that one alone, through the proxy or MCP alone.
    """

    id: str
    name: str
    tenants: tuple[str, ...]
    rights: tuple[Right, ...]
    created_at: datetime
    user: str | None = None
    revoked_at: datetime | None = None
    digest: bytes = field(default=b"", repr=False)

    def opened_by(self, secret: str) -> bool:
        """Whether this is its secret and it was not revoked; takes as long for any secret."""
        same = hmac.compare_digest(self.digest, _digest(self.id, secret))
        return same and self.revoked_at is None

    def allows(self, tenant: str) -> bool:
        """Whether it is bound to ``tenant``."""
        return tenant in self.tenants or EVERY_TENANT in self.tenants


def create_key(
    file: StateFile,
    name: str,
    *,
    tenants: Collection[str],
    rights: Collection[str],
    user: str | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its text, which nobody can read again. Raises InvalidInput."""
    check_name("name", name)
    if not tenants:
        raise InvalidInput("tenants", "name at least one, or '*' for any")
    for tenant in tenants:
        check_name("tenant", tenant)
    if user is not None:
        check_name("user", user)
        if EVERY_TENANT in tenants or len(set(tenants)) != 1:
            raise InvalidInput("tenants", "a key of one user has exactly one tenant")
    chosen = tuple(right for right in RIGHTS if right in rights)
    for right in rights:
        if right not in RIGHTS:
            raise InvalidInput("right", f"{right!r}: {suggest(right, RIGHTS)}")
    if not chosen:
        raise InvalidInput("rights", f"name at least one of {', '.join(RIGHTS)}")
    secret = secrets.token_urlsafe(32)
    identity = secrets.token_hex(6)
    key = ApiKey(
        identity,
        name,
        tuple(dict.fromkeys(tenants)),
        chosen,
        datetime.now(UTC),
        user,
        digest=_digest(identity, secret),
    )
    with file.write() as connection:
        connection.execute(
            f"INSERT INTO keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
            (
                key.id,
                key.name,
                "\n".join(key.tenants),  # a name holds no line end
                " ".join(key.rights),
                key.digest,
                key.created_at.isoformat(),
                key.user,
            ),
        )
    return key, f"{_PREFIX}_{identity}_{secret}"


def all_keys(file: StateFile) -> tuple[ApiKey, ...]:
    """Every key, revoked ones too, oldest first."""
    with file.read() as connection:
        rows = connection.execute(f"SELECT {_COLUMNS} FROM keys ORDER BY created_at").fetchall()
    return tuple(
        ApiKey(
            id=identity,
            name=name,
            tenants=tuple(tenants.split("\n")),
            rights=tuple(right for right in RIGHTS if right in rights.split(" ")),
            created_at=datetime.fromisoformat(created_at),
            user=user,
            revoked_at=None if revoked_at is None else datetime.fromisoformat(revoked_at),
            digest=digest,
        )
        for identity, name, tenants, rights, digest, created_at, user, revoked_at in rows
    )


def revoke_key(file: StateFile, identity: str) -> None:
    """End a key for good; one that has ended stays as it is. Raises UnknownId."""
    with file.write() as connection:
        changed = connection.execute(
            "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?",
            (datetime.now(UTC).isoformat(), identity),
        ).rowcount
    if not changed:
        raise UnknownId("key", f"there is no key {identity!r}")


def split(text: str) -> tuple[str, str] | None:
    """Id and secret of a key as it is sent, ``None`` when it is none."""
    prefix, _, rest = text.partition("_")
    identity, _, secret = rest.partition("_")
    return (identity, secret) if prefix == _PREFIX and identity and secret else None


def _digest(identity: str, secret: str) -> bytes:
    return hashlib.sha256(f"{identity}:{secret}".encode(errors="replace")).digest()
