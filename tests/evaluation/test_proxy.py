"""bench proxy measures a real proxy beside its upstream."""

from __future__ import annotations

from memoryscope_rag.configs.load import load_config
from memoryscope_rag.evaluation.proxy import measure


def test_each_way_has_its_figures() -> None:
    config = load_config(overrides={"embedder": {"name": "none"}})
    systems = measure(config, requests=3)
    assert set(systems) == {"direct", "proxy", "overhead"}
    for name in ("completion", "stream", "stream_first_byte"):
        assert 0 < systems["direct"][f"{name}_p50_ms"] < systems["proxy"][f"{name}_p95_ms"]
