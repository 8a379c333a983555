"""The compose file: what it promises, and that a real server accepts its settings."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from memoryscope_rag.stores.elasticsearch.connection import check_server, connect
from tests.stores.elasticsearch.servers import Server

FILE = Path(__file__).parents[3] / "docker-compose.yml"


def service() -> dict[str, Any]:
    tree = yaml.safe_load(FILE.read_text("utf-8"))
    assert "elasticsearch" in tree["volumes"]
    return dict(tree["services"]["elasticsearch"])


def settings() -> dict[str, str]:
    """What the server itself is told: the keys with a dot."""
    return {key: value for key, value in service()["environment"].items() if "." in key}


def test_it_is_pinned_secured_and_kept() -> None:
    told = service()
    assert re.fullmatch(r"elasticsearch:9\.\d+\.\d+", told["image"])
    assert told["environment"]["ELASTIC_PASSWORD"].startswith("${ELASTIC_PASSWORD:?")
    assert settings()["xpack.security.enabled"] == "true"
    assert all(port.startswith("127.0.0.1:") for port in told["ports"])
    assert told["volumes"] == ["elasticsearch:/usr/share/elasticsearch/data"]
    assert "_cluster/health" in told["healthcheck"]["test"][1]


@pytest.mark.slow
def test_a_real_server_accepts_its_settings(start_server: Callable[..., Server]) -> None:
    # the certificate is the test server's own, which waits for its greeting by https
    wanted = settings()
    del wanted["xpack.security.http.ssl.enabled"]
    options = [part for key, value in wanted.items() for part in ("--set", f"{key}={value}")]
    server = start_server("--security", *options)

    async def look() -> None:
        async with connect(server.config("compose")) as client:
            version = await check_server(client)
            answer = await client.nodes.info(filter_path="nodes.*.settings", flat_settings=True)
        assert version.cluster == settings()["cluster.name"]
        (node,) = answer.body["nodes"].values()
        in_force = node["settings"]
        assert {key: in_force[key] for key in wanted} == wanted

    asyncio.run(look())
