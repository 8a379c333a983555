"""A cluster of three nodes whose elected master is killed in the midst of writing."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from memoryscope_rag.ports import Query, SearchRequest
from memoryscope_rag.stores.elasticsearch.connection import check_server, connect
from memoryscope_rag.testing.samples import ALL_KINDS
from tests.stores.elasticsearch import servers
from tests.stores.elasticsearch.servers import Server
from tests.stores.elasticsearch.writing import SCOPE, append, names, opened, whole

NODES = ("n1", "n2", "n3")


def three_nodes(folder: Path) -> dict[str, Server]:
    """By name the nodes of one new cluster."""
    ports = [servers.free_port() for _ in NODES]
    seeds = ",".join(f"127.0.0.1:{port}" for port in ports)
    options = []
    for name, port in zip(NODES, ports, strict=True):
        settings = {
            "discovery.type": "multi-node",
            "node.name": name,
            "cluster.initial_master_nodes": ",".join(NODES),
            "transport.port": port,
            "discovery.seed_hosts": seeds,
        }
        more = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        options.append(["--heap", "512m", "--data", str(folder / name), *more])
    return dict(zip(NODES, servers.start_together(options), strict=True))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_master_of_three_nodes_is_killed(tmp_path: Path) -> None:
    servers.need_command()
    nodes = three_nodes(tmp_path)
    some = next(iter(nodes.values()))
    config = some.config(
        "cluster",
        url=",".join(node.url for node in nodes.values()),
        replicas=1,
        shards=2,
        timeout_s=10.0,
        deadline_s=90.0,
        retries=100,
    )

    async def lose_the_master() -> None:
        store = await opened(config)
        told: list[str] = []
        for at in range(0, 300, 10):
            ids = names("m", 10, at)
            if at == 150:
                async with connect(config) as client:
                    master = str(await client.cat.master(h="node")).strip()
                nodes[master].send(signal.SIGKILL)
            outcome = await append(store, ids)
            assert {item.status for item in outcome} == {"stored"}
            told += ids
        async with connect(config) as client:
            assert (await check_server(client, config.prefix)).health in {"green", "yellow"}
        request = SearchRequest((Query("q", ("text",), None),), ALL_KINDS, limit=10)
        (found,) = await store.search(SCOPE, [request])
        assert found.ids
        await whole(store, told)
        await store.close()

    try:
        asyncio.run(lose_the_master())
    finally:
        for node in nodes.values():
            node.stop()
