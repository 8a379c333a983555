"""A collector of OpenTelemetry on loopback: keeps what services export by OTLP over HTTP."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from memoryscope_rag.testing.loopback import LoopbackServer, serving


class Collector(LoopbackServer):
    """``exported`` has a path and a body for each export to its ``url``."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.exported: list[tuple[str, bytes]] = []
        self.came = threading.Condition()

    def spans(self) -> list[Span]:
        """All that came so far."""
        found: list[Span] = []
        for path, body in list(self.exported):
            if path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        found += scope.spans
        return found

    def metrics(self) -> set[str]:
        """The names of all that came so far."""
        return {
            metric.name
            for path, body in list(self.exported)
            if path == "/v1/metrics"
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def wait_until(self, come: Callable[[list[Span]], bool], seconds: float = 30.0) -> None:
        """Return once ``come`` is true of the spans."""
        with self.came:
            assert self.came.wait_for(lambda: come(self.spans()), seconds), self.spans()


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""

    def do_POST(self) -> None:
        """Keep an export."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        with self.server.came:
            self.server.exported.append((self.path, body))
            self.server.came.notify_all()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()


def collecting() -> AbstractContextManager[Collector]:
    """A running collector."""
    return serving(Collector())
