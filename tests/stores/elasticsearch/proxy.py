"""A proxy before a server that can be told to fail: to refuse requests, or to lose answers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from typing import Literal
from urllib.parse import urlsplit

from memoryscope_rag.testing.loopback import LoopbackServer, serving

Fate = int | Literal["pass", "lose"]
"""Of a request: a status to refuse it with, or ``lose``: it is carried out, its answer is not."""
_DROPPED = {"transfer-encoding", "content-length", "connection"}


class Proxy(LoopbackServer):
    """Forwards to ``target`` what ``fate(method, path)`` lets pass; counts what it did not."""

    def __init__(self, target: str, fate: Callable[[str, str], Fate]) -> None:
        super().__init__(_Handler)
        self.target = urlsplit(target)
        self.fate = fate
        self.failed = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing on stderr: clients that hang up are part of the test."""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fate = self.server.fate(self.command, self.path)
        if fate == "pass" or fate == "lose":
            target = self.server.target
            onward = HTTPConnection(target.hostname or "", target.port, timeout=60)
            onward.request(self.command, self.path, body or None, dict(self.headers))
            answer = onward.getresponse()
            status, headers, data = answer.status, answer.getheaders(), answer.read()
            onward.close()
        else:
            error = b'{"error":{"type":"es_rejected_execution_exception"},"status":429}'
            status, headers, data = fate, [("Content-Type", "application/json")], error
        if fate != "pass":
            self.server.failed += 1
        if fate == "lose":
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _DROPPED:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):  # whatever the method
            return self._forward
        raise AttributeError(name)


def proxy(target: str, fate: Callable[[str, str], Fate]) -> AbstractContextManager[Proxy]:
    """A running proxy."""
    return serving(Proxy(target, fate))
