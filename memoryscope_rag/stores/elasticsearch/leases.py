"""Leases as documents: one owner at a time, for a while, with a token that only ever rises."""

from __future__ import annotations

from datetime import datetime, timedelta

from memoryscope_rag.errors import LeaseLost
from memoryscope_rag.ports import Lease
from memoryscope_rag.schema import Scope
from memoryscope_rag.stores.elasticsearch import heads
from memoryscope_rag.stores.elasticsearch.cluster import Cluster, Held
from memoryscope_rag.stores.elasticsearch.documents import lease_ref, scope_key
from memoryscope_rag.stores.elasticsearch.writing import plain_write
from memoryscope_rag.stores.rows import micros


async def acquire(
    cluster: Cluster, scope: Scope, name: str, owner: str, seconds: float, now: datetime
) -> Lease | None:
    """Take a lease that is free or expired, or renew one's own, which keeps its token."""
    key = scope_key(scope)
    ref = lease_ref(key, name)
    (held,) = await cluster.get([ref])
    alive = held is not None and held.source["expires_at"] > micros(now)
    if held is not None and alive:
        if held.source["owner"] != owner:
            return None
        token = int(held.source["token"])
    else:
        # by the clock, so that it rises also when forgetting took the last one's document
        token = max(micros(now), held.source["token"] + 1 if held is not None else 0)
    expires = now + timedelta(seconds=seconds)
    source = {
        "scope": key,
        "name": name,
        "owner": owner,
        "token": token,
        "expires_at": micros(expires),
    }
    taken = await heads.put(cluster, plain_write(ref, source, held), held)
    if taken is None:
        # another was first, or the answer to a first attempt of ours was lost on its way
        (now_held,) = await cluster.get([ref])
        if now_held is None or now_held.source != source:
            return None
    return Lease(scope, name, owner, token, expires)


async def check(cluster: Cluster, lease: Lease, now: int) -> None:
    """Raise LeaseLost unless ``lease`` is held still at ``now`` in microseconds."""
    (held,) = await cluster.get([lease_ref(scope_key(lease.scope), lease.name)])
    if held is None or not _is(held, lease) or held.source["expires_at"] <= now:
        raise LeaseLost(f"the lease {lease.name!r} expired; another process may have taken it")


async def release(cluster: Cluster, lease: Lease) -> None:
    """Give a lease back if it is still this one; its document stays, for the next token."""
    ref = lease_ref(scope_key(lease.scope), lease.name)
    (held,) = await cluster.get([ref])
    if held is not None and _is(held, lease):
        await heads.put(cluster, plain_write(ref, held.source | {"expires_at": 0}, held), held)


def _is(held: Held, lease: Lease) -> bool:
    return (held.source["owner"], held.source["token"]) == (lease.owner, lease.token)
