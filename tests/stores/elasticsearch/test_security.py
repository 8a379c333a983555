"""A secured server: certificates, passwords and API keys, the right ones and the wrong ones."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memoryscope_rag.configs.model import ElasticsearchConfig
from memoryscope_rag.errors import StoreError
from memoryscope_rag.ports import Query, SearchRequest
from memoryscope_rag.stores.elasticsearch.connection import check_server, connect
from memoryscope_rag.testing.samples import ALL_KINDS
from tests.stores.elasticsearch import servers
from tests.stores.elasticsearch.servers import Server
from tests.stores.elasticsearch.writing import SCOPE, append, names, opened, whole

DOCUMENT = Path(__file__).parents[3] / "docs" / "elasticsearch.md"
REQUEST = SearchRequest((Query("q", ("text",), None),), ALL_KINDS)
PREFIX = "secured"
KEY = "MEMORYSCOPE_TEST_ELASTICSEARCH_KEY"
ALSO_HERE = "127.0.0.2"
"""A second address of the server, which its certificate does not name."""


@pytest.fixture(scope="module")
def _secured() -> Iterator[Server | None]:
    server = None
    if servers.has_command():
        hosts = f"http.host=127.0.0.1,{ALSO_HERE}"
        server = servers.start("--heap", "512m", "--security", "--set", hosts)
    yield server
    if server is not None:
        server.stop()


@pytest.fixture
def secured(_secured: Server | None, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The module's secured server."""
    servers.need_command()
    assert _secured is not None
    assert _secured.password is not None
    monkeypatch.setenv(servers.PASSWORD, _secured.password)
    return _secured


def check(config: ElasticsearchConfig) -> None:
    async def look() -> None:
        async with connect(config) as client:
            await check_server(client, config.prefix)

    asyncio.run(look())


def refused(config: ElasticsearchConfig, said: str) -> None:
    with pytest.raises(StoreError, match=said) as caught:
        check(config)
    assert not caught.value.retryable


def fingerprint(server: Server) -> str:
    assert server.ca is not None
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(server.ca.read_text())).hexdigest()


# ---------------------------------------------------------------- certificates


def test_a_trusted_certificate_and_the_right_password(secured: Server) -> None:
    check(secured.config(PREFIX))


def test_a_certificate_nobody_vouches_for_is_refused(secured: Server) -> None:
    refused(secured.config(PREFIX, ca_certs=None), "certificate is not trusted; set .*ca_certs")


def test_the_certificate_of_another_authority_is_refused(secured: Server, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=other -keyout other.key -out"
    subprocess.run([*make.split(), other], check=True, capture_output=True, cwd=tmp_path)
    refused(secured.config(PREFIX, ca_certs=other), "certificate is not trusted")


def test_a_certificate_for_another_host_is_refused(secured: Server) -> None:
    url = secured.url.replace("127.0.0.1", ALSO_HERE)
    refused(secured.config(PREFIX, url=url), "certificate is for another host")


def test_a_fingerprint_stands_for_an_authority(secured: Server) -> None:
    right = fingerprint(secured)
    spelled = ":".join(right[at : at + 2] for at in range(0, 64, 2)).upper()
    check(secured.config(PREFIX, ca_certs=None, fingerprint=right))
    check(secured.config(PREFIX, ca_certs=None, fingerprint=spelled))
    for ca in (None, secured.ca):
        refused(
            secured.config(PREFIX, ca_certs=ca, fingerprint="0" * 64), "has another fingerprint"
        )


def test_verification_ends_only_when_it_is_switched_off(secured: Server) -> None:
    url = secured.url.replace("127.0.0.1", ALSO_HERE)
    check(secured.config(PREFIX, url=url, ca_certs=None, verify=False))


def test_http_to_a_server_of_https_is_said(secured: Server) -> None:
    plain = secured.config(PREFIX, url=secured.url.replace("https:", "http:"), retries=0)
    with pytest.raises(StoreError, match="no connection"):
        check(plain)


# ---------------------------------------------------------------- credentials


def test_a_wrong_password_is_refused(secured: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(servers.PASSWORD, "canary-4711")
    with pytest.raises(StoreError, match="credentials were refused") as caught:
        check(secured.config(PREFIX))
    assert "canary" not in str(caught.value)


def test_no_credentials_are_refused(secured: Server) -> None:
    refused(secured.config(PREFIX, username=None, password=None), "credentials were refused")


def make_key(server: Server, rights: dict[str, Any]) -> str:
    """A new API key with these rights."""

    async def make() -> str:
        async with connect(server.config(PREFIX)) as client:
            made = await client.security.create_api_key(name="k", role_descriptors={"r": rights})
        return str(made.body["encoded"])

    return asyncio.run(make())


def with_key(server: Server) -> ElasticsearchConfig:
    return server.config(PREFIX, username=None, password=None, api_key=KEY)


def test_an_api_key_is_enough(secured: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, make_key(secured, {"cluster": ["monitor"]}))
    check(with_key(secured))
    monkeypatch.setenv(KEY, "canary")
    refused(with_key(secured), "credentials were refused")


def rights(name: str) -> dict[str, Any]:
    """What docs/elasticsearch.md says that a key must be allowed."""
    text = DOCUMENT.read_text("utf-8")
    (block,) = re.findall(rf"^<!-- {name} -->\n```json\n(.*?)^```$", text, re.M | re.S)
    return dict(json.loads(block.replace("memoryscope-*", f"{PREFIX}-*")))


def test_the_documented_rights_are_enough(secured: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, make_key(secured, rights("write")))

    async def use() -> None:
        store = await opened(with_key(secured))
        await append(store, names("m", 3))
        await store.search(SCOPE, [REQUEST])
        assert (await store.forget(SCOPE, message_ids=["m-0"], compact=True)).proven
        await whole(store, names("m", 2, 1))
        assert (await store.stats()).messages == 2
        await store.close()

    asyncio.run(use())
    monkeypatch.setenv(KEY, make_key(secured, rights("read")))

    async def read() -> None:
        reader = with_key(secured).model_copy(update={"consistency": "eventual"})
        store = await opened(reader)
        (found,) = await store.search(SCOPE, [REQUEST])
        assert found.ids
        with pytest.raises(StoreError, match=r"appending messages: .* lacks a right") as caught:
            await append(store, names("m", 3, 3))
        assert not caught.value.retryable
        await store.close()

    asyncio.run(read())


def test_an_api_key_for_other_indices_is_told_so(
    secured: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {"names": ["others-*"], "privileges": ["all"]}
    monkeypatch.setenv(KEY, make_key(secured, {"cluster": ["monitor"], "indices": [others]}))
    with pytest.raises(StoreError, match="opening the store: the user or API key lacks a right"):
        asyncio.run(opened(with_key(secured)))


def test_an_api_key_that_is_revoked_in_the_midst(
    secured: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, make_key(secured, rights("write")))

    async def revoke() -> None:
        store = await opened(with_key(secured))
        await append(store, names("r", 3))
        async with connect(secured.config(PREFIX)) as client:
            await client.security.invalidate_api_key(name="k")
        with pytest.raises(StoreError, match="credentials were refused"):
            await append(store, names("r", 3, 3))
        await store.close()
        again = await opened(secured.config(PREFIX))
        assert [m.id for m in await again.get_messages(SCOPE, names("r", 6))] == names("r", 3)
        await again.close()

    asyncio.run(revoke())
