"""Connecting to a cluster: settings, retries, and what is said of a server that will not do."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import VERSION

from memoryscope_rag.configs.load import load_config, parse_config, with_store
from memoryscope_rag.configs.model import ElasticsearchConfig
from memoryscope_rag.errors import (
    ConfigError,
    InvalidInput,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
)
from memoryscope_rag.stores.elasticsearch.connection import (
    ServerVersion,
    check_server,
    connect,
)
from memoryscope_rag.stores.elasticsearch.failures import elasticsearch_errors, response_error
from memoryscope_rag.testing.scripted_server import (
    ScriptedServer,
    WireReply,
    WireRequest,
    scripted_server,
)

PRODUCT = {"X-Elastic-Product": "Elasticsearch"}
GREETING = {"version": {"number": f"{VERSION[0]}.99.0"}, "cluster_name": "c"}
CANARY = "canary-4711"


def reply(body: Any, status: int = 200, *, product: bool = True) -> WireReply:
    return WireReply((json.dumps(body).encode(),), status, PRODUCT if product else {})


def failure(status: int, kind: str = "some_exception", **more: Any) -> WireReply:
    error = {"type": kind, "reason": f"preview of the value: '{CANARY}'", **more}
    return reply({"error": error, "status": status}, status)


def checked(config: ElasticsearchConfig) -> ServerVersion:
    async def look() -> ServerVersion:
        async with connect(config) as client:
            return await check_server(client, config.prefix)

    return asyncio.run(look())


def cluster(server: ScriptedServer, **changes: Any) -> ElasticsearchConfig:
    return ElasticsearchConfig(url=server.url, **changes)


def searched(config: ElasticsearchConfig) -> None:
    async def look() -> None:
        async with connect(config) as client:
            with elasticsearch_errors("searching"):
                await client.search(index="x")

    asyncio.run(look())


# ---------------------------------------------------------------- settings


def test_a_url_in_place_of_a_path_is_a_cluster() -> None:
    url = "https://a:9200,https://b:9200"
    environ = {"MEMORYSCOPE_STORE__PATH": url, "MEMORYSCOPE_STORE__ELASTICSEARCH__PREFIX": "p"}
    for store in (load_config(environ=environ).store, with_store(load_config(), url).store):
        assert store.provider == "elasticsearch"
        assert store.elasticsearch.urls == ("https://a:9200", "https://b:9200")
        assert url in store.place
    kept = with_store(load_config(environ=environ), "https://c").store.elasticsearch
    assert (kept.url, kept.prefix) == ("https://c", "p")
    assert str(kept.outbox_path) == "p-outbox.db"
    back = with_store(load_config(environ=environ), "x.db").store
    assert (back.provider, back.path, back.place) == ("sqlite", Path("x.db"), "x.db")
    chosen = {"MEMORYSCOPE_STORE__ELASTICSEARCH__URL": "https://d"}
    word = with_store(load_config(environ=chosen), "elasticsearch").store
    assert (word.provider, word.elasticsearch.url) == ("elasticsearch", "https://d")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "needs elasticsearch.url"),
        ({"url": "ftp://a"}, "must begin with http"),
        ({"url": "https://"}, "name a host"),
        ({"url": "https://me:secret@a"}, "holds credentials"),
        ({"url": "https://a", "prefix": "Caps"}, "prefix must be lower case"),
        ({"url": "https://a", "prefix": "a*"}, "prefix must be lower case"),
        ({"url": "https://a", "username": "me"}, "go together"),
        ({"url": "https://a", "api_key": "sk-123"}, "never as its value"),
        (
            {"url": "https://a", "username": "me", "password": "P", "api_key": "K"},
            "not both",
        ),
        ({"url": "https://a", "fingerprint": "abc"}, "64 hex digits"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as caught:
        parse_config({"store": {"provider": "elasticsearch", "elasticsearch": settings}})
    assert "secret@" not in str(caught.value)
    assert "sk-123" not in str(caught.value)


def test_what_cannot_be_read_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"store\.elasticsearch\.url"):
        connect(ElasticsearchConfig())
    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        connect(ElasticsearchConfig(url="https://a", api_key="NO_SUCH_KEY"))
    (tmp_path / "ca.pem").write_text("no certificate")
    for ca in (tmp_path / "ca.pem", tmp_path / "none.pem"):
        with pytest.raises(ConfigError, match="ca_certs"):
            connect(ElasticsearchConfig(url="https://a", ca_certs=ca))


@pytest.mark.parametrize(
    ("given", "path"),
    [(True, Path("p-outbox.db")), (False, None), ("x.db", Path("x.db")), (Path("y"), Path("y"))],
)
def test_the_outbox_has_a_file_unless_told_otherwise(given: object, path: Path | None) -> None:
    within = {"url": "https://a", "prefix": "p", "outbox": given}
    assert (
        parse_config({"store": {"elasticsearch": within}}).store.elasticsearch.outbox_path == path
    )


def test_without_the_client_the_extra_is_named() -> None:
    # in a process of its own: the modules here are in use
    code = (
        "import sys; sys.modules['elastic_transport'] = None\n"
        "from memoryscope_rag import MemoryScope\n"
        "MemoryScope.open('http://127.0.0.1:9')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtra" in done.stderr
    assert "pip install 'memoryscope-rag[elasticsearch]'" in done.stderr


# ---------------------------------------------------------------- which server it is


def test_a_server_tells_who_it_is(config: ElasticsearchConfig) -> None:
    version = checked(config)
    assert int(version.number.split(".")[0]) >= 8
    assert version.health in {"green", "yellow"}


def test_opensearch_is_named() -> None:
    greeting = {"version": {"number": "2.19.1", "distribution": "opensearch"}}
    with (
        scripted_server([reply(greeting, product=False)]) as server,
        pytest.raises(StoreError, match="the server is OpenSearch, not Elasticsearch") as caught,
    ):
        checked(cluster(server))
    assert not caught.value.retryable


def test_a_server_of_something_else_is_named() -> None:
    page = WireReply((b"<html>hello</html>",), content_type="text/html")
    for answer in (page, reply({"hello": 1}, product=False)):
        with (
            scripted_server([answer]) as server,
            pytest.raises(StoreError, match="not Elasticsearch"),
        ):
            checked(cluster(server))


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (f"{VERSION[0] - 1}.99.0", "the client .* does not speak to: pip|8.19 or later is needed"),
        (f"{VERSION[0] + 2}.0.0", "the client .* does not speak to: pip install"),
        ("7.17.9", "8.19 or later is needed"),
    ],
)
def test_a_server_of_another_version_is_named_in_one_sentence(number: str, said: str) -> None:
    def script(request: WireRequest) -> WireReply:
        # what such a server says to a client's usual headers
        if "compatible-with" in request.headers.get("accept", ""):
            return failure(400, "media_type_header_exception")
        return reply({**GREETING, "version": {"number": number}})

    if number == "8.99.0":
        said = "the client 9.* does not speak to: pip install 'elasticsearch\\[async\\]>=8,<9'"
    with scripted_server(script) as server, pytest.raises(StoreError, match=said) as caught:
        checked(cluster(server))
    assert not caught.value.retryable
    assert len(server.requests) == 1


def test_the_next_version_of_a_server_is_spoken_to() -> None:
    greeting = {**GREETING, "version": {"number": f"{VERSION[0] + 1}.0.0"}}
    with scripted_server([reply(greeting), reply({"status": "green"})]) as server:
        assert checked(cluster(server)).health == "green"


def test_a_red_index_is_named() -> None:
    red = {"status": "red", "unassigned_shards": 2, "timed_out": True}
    with (
        scripted_server([reply(GREETING), reply(red, 408)]) as server,
        pytest.raises(StoreUnavailable, match=r"2 shards are not assigned .*red"),
    ):
        checked(cluster(server))


def test_a_key_that_may_not_ask_for_health_is_enough() -> None:
    with scripted_server([reply(GREETING), failure(403, "security_exception")]) as server:
        assert checked(cluster(server)).health is None


# ---------------------------------------------------------------- trying again


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(status: int) -> None:
    busy = failure(status, "es_rejected_execution_exception")
    with scripted_server([busy, busy, busy, reply({"hits": {}})]) as server:
        searched(cluster(server, retries=3))
    assert len(server.requests) == 4


def test_retries_end_with_their_number() -> None:
    with (
        scripted_server(lambda _: failure(429, "circuit_breaking_exception")) as server,
        pytest.raises(StoreUnavailable, match="overloaded") as caught,
    ):
        searched(cluster(server, retries=2))
    assert len(server.requests) == 3
    assert caught.value.retryable


def test_retries_end_with_the_deadline() -> None:
    started = time.monotonic()
    with (
        scripted_server(lambda _: WireReply((b"{}",), 200, PRODUCT, delay=3.0)) as server,
        pytest.raises(StoreUnavailable, match="no answer in time"),
    ):
        searched(cluster(server, timeout_s=0.3, deadline_s=0.7, retries=100))
    assert time.monotonic() - started < 3.0


def test_a_mistake_is_not_sent_again() -> None:
    with (
        scripted_server([failure(400, "parsing_exception")]) as server,
        pytest.raises(StoreError, match="refused the request"),
    ):
        searched(cluster(server))
    assert len(server.requests) == 1


def test_the_next_node_is_asked_when_one_is_away() -> None:
    with scripted_server(lambda _: reply({"hits": {}})) as server:
        away = "http://127.0.0.1:9"
        for _ in range(4):  # whichever of the two is chosen first
            searched(ElasticsearchConfig(url=f"{away},{server.url}"))
    assert len(server.requests) == 4


def test_nobody_there_is_said() -> None:
    with pytest.raises(StoreUnavailable, match=r"connecting: no connection: .*127\.0\.0\.1:9"):
        checked(ElasticsearchConfig(url="http://127.0.0.1:9", retries=1))


def test_https_to_a_server_of_http_is_said() -> None:
    with (
        scripted_server(()) as server,
        pytest.raises(StoreError, match="does the server speak https"),
    ):
        checked(ElasticsearchConfig(url=server.url.replace("http:", "https:")))


# ---------------------------------------------------------------- what an error becomes


@pytest.mark.parametrize(
    ("answer", "becomes", "said"),
    [
        (failure(401, "security_exception"), StoreError, "credentials were refused"),
        (failure(403, "security_exception"), StoreError, "lacks a right"),
        (
            failure(403, "security_exception", **{"license.expired.feature": "x"}),
            StoreError,
            "licence does not cover",
        ),
        (failure(404, "index_not_found_exception"), StoreCorrupt, "an index of the store is miss"),
        (failure(400, "strict_dynamic_mapping_exception"), StoreCorrupt, "mapping"),
        (failure(400, "document_parsing_exception"), StoreCorrupt, "mapping"),
        (failure(409, "version_conflict_engine_exception"), StoreUnavailable, "another writer"),
        (failure(413), InvalidInput, "larger than"),
        (failure(503, "master_not_discovered_exception"), StoreUnavailable, "no elected master"),
        (
            failure(
                503,
                "search_phase_execution_exception",
                root_cause=[{"type": "no_shard_available_action_exception"}],
            ),
            StoreUnavailable,
            "red",
        ),
        (failure(500, "null_pointer_exception"), StoreUnavailable, "the server failed"),
        (failure(418, "teapot_exception"), StoreError, "teapot_exception"),
        (reply("gone", 502), StoreUnavailable, "the server failed"),
    ],
)
def test_an_error_becomes_one_of_ours_without_content(
    answer: WireReply, becomes: type[Exception], said: str
) -> None:
    with (
        scripted_server(lambda _: answer) as server,
        pytest.raises(becomes, match=said) as caught,
    ):
        searched(cluster(server, retries=0))
    assert type(caught.value) is becomes
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("blocked by: [TOO_MANY_REQUESTS/12/x read-only-allow-delete block];", "flood-stage"),
        ("blocked by: [SERVICE_UNAVAILABLE/2/no master];", "no elected master"),
        ("blocked by: [FORBIDDEN/8/index write (api)];", "blocked by its settings"),
    ],
)
def test_a_block_is_told_apart(reason: str, said: str) -> None:
    error = response_error("x", 403, {"type": "cluster_block_exception", "reason": reason})
    assert isinstance(error, StoreUnavailable)
    assert said in str(error)


def test_no_secret_is_in_an_error_or_a_representation(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OUR_PASSWORD", CANARY)
    with scripted_server(lambda _: failure(401)) as server:
        config = cluster(server, username="me", password="OUR_PASSWORD")
        client = connect(config)
        with pytest.raises(StoreError) as caught:
            searched(config)
    assert server.requests[0].headers["authorization"].startswith("Basic ")
    for shown in (repr(config), repr(client), str(caught.value), caplog.text):
        assert CANARY not in shown
    asyncio.run(client.close())
