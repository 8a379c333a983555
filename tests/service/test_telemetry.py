"""OpenTelemetry: what is exported, where to, and what is never in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.cli.conftest import Cli, cli
from tests.service.collector import Collector, collecting
from tests.service.conftest import Start

__all__ = ["cli"]

SECRET = "pomegranate"
USER = "ann-of-the-orchard"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")  # ms between exports
        monkeypatch.setenv("OTEL_SERVICE_NAME", "memory")
        yield server


def served(spans: list[Span]) -> dict[str, Span]:
    """The spans of whole requests, by name."""
    return {span.name: span for span in spans if span.kind == Span.SPAN_KIND_SERVER}


def values(span: Span) -> dict[str, str]:
    return {
        pair.key: pair.value.string_value or str(pair.value.int_value) for pair in span.attributes
    }


def test_requests_become_spans_named_by_route_without_content(
    collector: Collector, start: Start
) -> None:
    service = start(service={"telemetry": True})
    with service.client() as client:
        client.record(f"I planted a {SECRET}", scope=USER)
        assert client.retrieve(SECRET, scope=USER, floor=False).items
        client.forget(scope=USER, everything=True)
    # who is refused, or sends what is not understood, leaves no more behind
    for key, body in ((None, {"query": SECRET}), (service.key(), {"query": {SECRET: SECRET}})):
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        trace = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
        httpx2.post(f"{service.url}/v1/retrieve", json=body, headers=headers | trace)
    wanted = {"POST /v1/record", "POST /v1/retrieve", "POST /v1/forget"}
    collector.wait_until(
        lambda spans: (
            wanted <= set(served(spans))
            and any(values(span).get("http.response.status_code") == "422" for span in spans)
        )
    )
    spans = collector.spans()
    recorded = served(spans)["POST /v1/record"]
    told = values(recorded)
    assert told["http.route"] == told["url.path"] == "/v1/record"
    assert told["http.response.status_code"] == "200"
    assert recorded.status.code == Status.STATUS_CODE_UNSET
    # the endpoint and what it takes to call it stand beneath the request
    inner = [span for span in spans if span.parent_span_id == recorded.span_id]
    assert "fastapi.endpoint" in {span.name for span in inner}
    # a caller's trace goes on here
    assert any(span.trace_id == bytes.fromhex("ab" * 16) for span in spans)
    assert all(
        part not in body
        for _, body in collector.exported
        for part in (SECRET.encode(), USER.encode(), service.root.encode())
    )


def test_what_was_measured_is_exported_when_the_service_stops(
    collector: Collector, start: Start
) -> None:
    service = start(workers=2, service={"telemetry": True})
    for number in range(4):
        with service.client() as client:
            client.record(SECRET, scope=f"{USER}-{number}")
    service.running.process.terminate()
    service.running.process.wait(60)
    assert "POST /v1/record" in served(collector.spans())
    assert "http.server.request.duration" in collector.metrics()
    assert b"service.name" in collector.exported[0][1]
    assert all(SECRET.encode() not in body for _, body in collector.exported)


def test_a_collector_that_is_away_costs_the_traces_only(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")  # seconds that an export is tried for
    service = start(service={"telemetry": True})
    with service.client() as client:
        for number in range(5):
            client.record(f"{SECRET} {number}", scope=USER)
        assert len(client.messages(scope=USER)) == 5
    service.running.process.terminate()
    service.running.process.wait(60)
    assert SECRET not in service.running.log.read_text("utf-8")


def test_without_the_setting_nothing_is_exported(collector: Collector, start: Start) -> None:
    service = start()
    with service.client() as client:
        client.record(SECRET, scope=USER)
    service.running.process.terminate()
    service.running.process.wait(60)
    assert collector.exported == []


def test_the_extra_is_named_where_it_is_missing(
    cli: Cli, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_tmp / "settings.yaml").write_text("service: {telemetry: true}", "utf-8")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    refused = cli("--config", "settings.yaml", "serve", "--port", "0", code=2)
    assert "memoryscope-rag[otel]" in refused.err
