"""Reading an index that another program made, document by document; nothing is written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from memoryscope_rag.configs.model import ElasticsearchConfig
from memoryscope_rag.stores.elasticsearch.connection import check_server, connect
from memoryscope_rag.stores.elasticsearch.failures import elasticsearch_errors

_PAGE = 500
_KEEP_ALIVE = "2m"
_UNREAD = ("embedding", "metadata.key_vector", "metadata._node_content")
"""What of a MemoryScope document stays in the cluster: vectors, and a pickle that nobody reads."""


async def documents(config: ElasticsearchConfig, index: str) -> AsyncIterator[dict[str, Any]]:
    """Every document of ``index`` as a hit with ``_id`` and ``_source``, at one point in time.

    Raises StoreError, and ConfigError for settings that cannot work.
    """
    client = connect(config)
    try:
        await check_server(client)
        with elasticsearch_errors(f"reading the index {index!r}"):
            opened = await client.open_point_in_time(index=index, keep_alive=_KEEP_ALIVE)
            pit, after = opened.body["id"], None
            try:
                while True:
                    answer = await client.search(
                        pit={"id": pit, "keep_alive": _KEEP_ALIVE},
                        sort=["_shard_doc"],
                        size=_PAGE,
                        search_after=after,
                        source={"excludes": list(_UNREAD)},
                        allow_partial_search_results=False,
                    )
                    pit = answer.body["pit_id"]
                    hits = answer.body["hits"]["hits"]
                    for hit in hits:
                        yield hit
                    if len(hits) < _PAGE:
                        return
                    after = hits[-1]["sort"]
            finally:
                await client.options(ignore_status=404).close_point_in_time(id=pit)
    finally:
        await client.close()
