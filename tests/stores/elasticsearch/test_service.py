"""The HTTP service over a cluster: several processes, and an outage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from memoryscope_rag.client import Client, Patience
from memoryscope_rag.configs.model import ElasticsearchConfig
from memoryscope_rag.errors import StoreUnavailable
from tests.service.collector import collecting
from tests.service.conftest import Service, start_in
from tests.stores.elasticsearch.proxy import proxy
from tests.stores.elasticsearch.servers import Server

DRAINED_S = 60


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What a test starts, ended before its indices are deleted."""
    with ExitStack() as started:
        yield started


def serving(
    stack: ExitStack, folder: Path, cluster: ElasticsearchConfig, *, workers: int, **service: object
) -> Service:
    place = cluster.model_dump(mode="json", exclude_defaults=True)
    return start_in(folder, stack)(
        workers=workers,
        store={"provider": "elasticsearch", "elasticsearch": place},
        service={"state": str(folder / "keys.db"), **service},
    )


def test_record_retrieve_forget_by_two_processes(
    config: ElasticsearchConfig, tmp_path: Path, stack: ExitStack
) -> None:
    service = serving(stack, tmp_path, config, workers=2)
    key = service.key()
    for number in range(6):  # a connection each, so that both processes have some
        with Client(service.url, key=key) as client:
            told = client.record(
                f"My locker at the pool is number {number}", scope="ann", message_id=f"m{number}"
            )
            assert told.status == "stored"
    for number in range(6):
        with Client(service.url, key=key) as client:
            found = client.retrieve(f"locker number {number}", scope="ann", floor=False)
            assert {item.node.provenance[0] for item in found} == {f"m{n}" for n in range(6)}
            assert not client.retrieve("locker number", scope="bob", floor=False).items
    with Client(service.url, key=key) as client:
        gone = client.forget(scope="ann", message_ids=["m3"])
        assert (gone.messages, gone.proven) == (1, True)
    for _ in range(4):
        with Client(service.url, key=key) as client:
            found = client.retrieve("locker number 3", scope="ann", floor=False)
            assert "m3" not in {item.node.provenance[0] for item in found}
    assert httpx2.get(f"{service.url}/ready").status_code == 200


def test_while_the_cluster_is_away_messages_wait_and_it_is_not_ready(
    server: Server, config: ElasticsearchConfig, tmp_path: Path, stack: ExitStack
) -> None:
    between = stack.enter_context(proxy(server.url, lambda *_: "pass"))
    through = config.model_copy(
        update={
            "url": between.url,
            "outbox": tmp_path / "outbox.db",
            "retries": 0,
            "deadline_s": 5.0,
        }
    )
    service = serving(stack, tmp_path, through, workers=1)
    with Client(service.url, key=service.key(), patience=Patience(attempts=1)) as client:
        assert client.record("I moved to Lisbon", scope="ann", message_id="m1").status == "stored"
        between.fate = lambda *_: 503
        assert client.record("My cat is Otto", scope="ann", message_id="m2").status == "waiting"
        with pytest.raises(StoreUnavailable):
            client.retrieve("Lisbon", scope="ann", floor=False)
        away = httpx2.get(f"{service.url}/ready", timeout=30)
        assert away.status_code == 503
        assert away.json()["type"].rpartition(":")[2] in {"store-unavailable", "not-ready"}
        assert httpx2.get(f"{service.url}/health").status_code == 200

        between.fate = lambda *_: "pass"
        end = time.monotonic() + DRAINED_S
        while len(client.messages(scope="ann")) < 2 and time.monotonic() < end:
            time.sleep(0.2)
        assert [message.id for message in client.messages(scope="ann")] == ["m1", "m2"]
        found = client.retrieve("Which cat is mine?", scope="ann", floor=False)
        assert "m2" in {item.node.provenance[0] for item in found}
        assert httpx2.get(f"{service.url}/ready", timeout=30).status_code == 200


def test_requests_to_the_cluster_are_traced_without_content(
    config: ElasticsearchConfig, tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = stack.enter_context(collecting())
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    service = serving(stack, tmp_path, config, workers=1, telemetry=True)
    with Client(service.url, key=service.key()) as client:
        client.record("I planted a pomegranate", scope="ann-of-the-orchard")
        client.retrieve("pomegranate", scope="ann-of-the-orchard", floor=False)
    service.running.process.terminate()
    service.running.process.wait(60)
    spans = {span.span_id: span for span in collector.spans()}

    def request(span: Span) -> str:
        """The request that a span belongs to."""
        above = spans.get(span.parent_span_id)
        return span.name if above is None else request(above)

    done = {(request(span), span.name) for span in spans.values()}
    assert ("POST /v1/record", "bulk") in done
    assert ("POST /v1/retrieve", "msearch") in done
    assert all(
        word not in body
        for _, body in collector.exported
        for word in (b"pomegranate", b"ann-of-the-orchard")
    )
