"""Who gets in, to what, and that nobody else does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from memoryscope_rag import Scope
from memoryscope_rag.client import Client, ServiceError
from memoryscope_rag.service.access import OPEN, STALE_S, KeyRing, is_loopback
from memoryscope_rag.service.keys import all_keys, create_key, revoke_key, split
from memoryscope_rag.service.process import running
from memoryscope_rag.service.state import StateFile
from tests.service.conftest import SETTINGS, Service


def test_without_a_key_nothing_is_answered(service: Service) -> None:
    paths = httpx2.get(f"{service.url}/openapi.json").json()["paths"]
    assert len(paths) > 20
    for path, methods in paths.items():
        for method in methods:
            for key in ("", "Bearer", "Basic x", "Bearer msk_0_0", f"Bearer {service.root}x"):
                answer = httpx2.request(
                    method, service.url + path, headers={"Authorization": key}, content=b"{"
                )
                if path in OPEN:
                    assert answer.status_code == 200
                else:
                    assert answer.status_code == 401, path
                    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_key_sees_its_tenant_alone(service: Service) -> None:
    with service.client(tenants=("a",)) as a, service.client(tenants=("b",)) as b:
        a.record("mine", scope="ann")
        assert b.messages(scope="ann") == ()
        assert len(b.retrieve("mine", scope="ann", floor=False)) == 0
        with pytest.raises(ServiceError, match="not bound to that tenant") as refused:
            b.messages(scope=Scope("ann", tenant_id="a"))
        assert refused.value.status == 403
        assert b.scopes() == ()
        assert a.scopes() == (Scope("ann", tenant_id="a"),)


def test_a_key_of_several_tenants_says_which(service: Service) -> None:
    with service.client(tenants=("c", "d")) as client:
        with pytest.raises(ServiceError, match="X-Tenant-ID") as refused:
            client.record("hello", scope="ann")
        assert refused.value.kind == "tenant-needed"
        client.record("hello", scope=Scope("ann", tenant_id="d"))
        assert len(client.messages(scope=Scope("ann", tenant_id="d"))) == 1
        assert client.messages(scope=Scope("ann", tenant_id="c")) == ()


def test_rights_are_kept_to(service: Service) -> None:
    def refused(client: Client, what: str) -> None:
        calls: dict[str, Callable[[], object]] = {
            "read": lambda: client.messages(scope="ann"),
            "write": lambda: client.record("x", scope="ann"),
            "forget": lambda: client.forget(scope="ann", everything=True),
            "admin": client.scopes,
        }
        with pytest.raises(ServiceError, match=f"'{what}'") as error:
            calls[what]()
        assert error.value.status == 403

    with service.client("read", tenants=("r",)) as reader:
        assert reader.messages(scope="ann") == ()
        for what in ("write", "forget", "admin"):
            refused(reader, what)
    with service.client("write", tenants=("r",)) as writer:
        writer.record("hello", scope="ann")
        for what in ("read", "forget", "admin"):
            refused(writer, what)


def test_the_whole_store_is_for_administrators_of_every_tenant(service: Service) -> None:
    with service.client(tenants=("w",)) as client:
        with pytest.raises(ServiceError, match="every tenant"):
            client.stats()
        with pytest.raises(ServiceError, match="every tenant"):
            client.flush()
    with Client(service.url, key=service.root) as root:
        assert root.stats().scopes >= 0
        assert root.flush() == 0


def test_a_key_is_good_from_the_moment_it_is_made(tmp_path: Path) -> None:
    with closing(StateFile(tmp_path / "state.db")) as file:

        async def main() -> None:
            ring = KeyRing(file)
            for _ in range(5):  # the keys were read a moment ago each time
                key, _text = create_key(file, "new", tenants=["acme"], rights=["read"])
                found, _any = await ring.find(key.id)
                assert found == key
            missing = await asyncio.gather(*(ring.find("nobody") for _ in range(100)))
            assert {found for found, _any in missing} == {None}

        asyncio.run(main())


def test_a_revoked_key_is_refused_within_a_second(service: Service) -> None:
    key = service.key()
    parts = split(key)
    assert parts is not None
    with Client(service.url, key=key) as client:
        client.messages(scope="ann")
        revoke_key(service.keys, parts[0])
        time.sleep(STALE_S + 0.3)
        with pytest.raises(ServiceError, match="valid key") as refused:
            client.messages(scope="ann")
        assert refused.value.status == 401


def test_no_key_is_kept(service: Service) -> None:
    key = service.key()
    parts = split(key)
    assert parts is not None
    kept = b"".join(path.read_bytes() for path in service.folder.glob("memory-service.db*"))
    assert parts[0].encode() in kept
    assert parts[1].encode() not in kept
    assert parts[1] not in repr(all_keys(service.keys))


def test_without_any_key_this_machine_is_served_and_told_so(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("open")
    tree = {**SETTINGS, "store": {"path": str(folder / "memory.db")}}
    with running(tree, folder) as service, Client(service.url) as client:
        assert "there is no API key yet" in service.log.read_text("utf-8")
        client.record("hello", scope="ann")
        assert client.stats().messages == 1
        # a name of somebody else's that was made to point here
        with httpx2.Client(base_url=service.url) as web:
            answer = web.get("/metrics", headers={"Host": "evil.example:80"})
        assert answer.status_code == 403


def test_what_is_loopback() -> None:
    for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]"):
        assert is_loopback(host)
    for host in ("0.0.0.0", "::", "", "10.0.0.1", "example.com", "localhost.example.com"):
        assert not is_loopback(host)
