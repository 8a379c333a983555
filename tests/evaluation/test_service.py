"""bench service measures a real service."""

from __future__ import annotations

import asyncio

from memoryscope_rag.configs.load import load_config
from memoryscope_rag.evaluation.service import measure


def test_each_number_of_clients_has_its_figures() -> None:
    config = load_config(overrides={"embedder": {"name": "none"}})
    said: list[str] = []
    figures = asyncio.run(measure(config, clients=(1, 3), seconds=2.0, workers=1, say=said.append))
    assert said == ["1 clients on sqlite", "3 clients on sqlite"]
    for clients in (1, 3):
        assert figures[f"requests_per_s@{clients}"] > 0
        times = [figures[f"request_p{share}_ms@{clients}"] for share in (50, 95, 99)]
        assert 0 < times[0] <= times[1] <= times[2]
