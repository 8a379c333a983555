"""Taking what was deleted out of the files, not only out of every answer.

A deleted document stays in its segment until that is merged, and may not even go then: each copy of
a shard holds a lease on the latest operations, so that a copy which comes back can catch up, and
the leases move on twice a minute only. So this waits for them.
"""

from __future__ import annotations

import asyncio
from typing import Any

from memoryscope_rag.stores.elasticsearch.cluster import Cluster, Index

WAIT_SECONDS = 60
"""How long a lease may take; that of a node which is down is not waited for longer."""
_MERGE_SECONDS = 3600


async def compact(cluster: Cluster, index: Index) -> None:
    """Rewrite the segments of an index that hold deleted documents, without them."""
    alias = cluster.alias(index)
    client = cluster.client.options(request_timeout=_MERGE_SECONDS)
    last = {
        shard: int(copy["seq_no"]["max_seq_no"]) for shard, copy in await _copies(cluster, alias)
    }
    for _ in range(WAIT_SECONDS):
        copies = await _copies(cluster, alias)
        if all(_kept_from(copy) > last.get(shard, -1) for shard, copy in copies):
            break
        await asyncio.sleep(1)
    # a merge keeps what the last commit does not hold yet
    await client.indices.flush(index=alias)
    await client.indices.forcemerge(index=alias, only_expunge_deletes=True)
    await client.indices.flush(index=alias)


async def _copies(cluster: Cluster, alias: str) -> list[tuple[str, dict[str, Any]]]:
    """Every copy of every shard, under the number of its shard."""
    answer = await cluster.client.indices.stats(index=alias, level="shards", metric="docs")
    return [
        (number, copy)
        for index in answer.body["indices"].values()
        for number, copies in index["shards"].items()
        for copy in copies
    ]


def _kept_from(copy: dict[str, Any]) -> int:
    """The first operation that a lease still holds."""
    leases = copy["retention_leases"]["leases"]
    return min((int(lease["retaining_seq_no"]) for lease in leases), default=0)
