"""An HTTP server on loopback that answers as it is told, and remembers what it was asked.

>>> from memoryscope_rag.testing.scripted_server import scripted_server
>>> from memoryscope_rag.testing.wire import openai_chat
>>> with scripted_server([openai_chat("hello")]) as server:          # doctest: +SKIP
...     ...  # point a client at server.url
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from memoryscope_rag.testing.loopback import LoopbackServer, serving


@dataclass(frozen=True, slots=True)
class WireRequest:
    """What came in: header names are in lower case, ``body`` is the JSON value or ``None``."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class WireReply:
    """What goes out.

    ``pieces`` are sent one after the other, each as a chunk of its own; a number among them is a
    pause in seconds. With ``cut`` the connection breaks off after the last piece. ``delay`` is the
    time before anything is sent, in seconds.
    """

    pieces: tuple[bytes | float, ...] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    cut: bool = False
    delay: float = 0.0


Script = Iterable[WireReply] | Callable[[WireRequest], WireReply]


class ScriptedServer(LoopbackServer):
    """Serves replies in order, or what a function of the request gives.

    A request for which the script has no reply left is answered with status 599. ``requests`` lists
    what came in; ``hung_up`` counts the replies that the client did not wait for.
    """

    def __init__(self, script: Script) -> None:
        super().__init__(_Handler)
        self.requests: list[WireRequest] = []
        self.hung_up = 0
        self._script = script if callable(script) else None
        self._replies = iter(()) if callable(script) else iter(script)
        self._lock = threading.Lock()

    @property
    def bodies(self) -> list[Any]:
        """The bodies of the requests so far."""
        return [request.body for request in self.requests]

    def reply_to(self, request: WireRequest) -> WireReply:
        """Note the request and give what the script has for it."""
        with self._lock:
            self.requests.append(request)
            if self._script is None:
                return next(self._replies, WireReply((b"{}",), 599))
        return self._script(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing on stderr: clients that hang up are part of the script."""


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # small pieces go out at once, as those of model servers do

    def do_POST(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""

    def _answer(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        reply = self.server.reply_to(
            WireRequest(
                self.command,
                parts.path,
                dict(parse_qsl(parts.query)),
                {name.lower(): value for name, value in self.headers.items()},
                json.loads(data) if data else None,
            )
        )
        try:
            self._send(reply)
        except (BrokenPipeError, ConnectionResetError):
            self.server.hung_up += 1
            self.close_connection = True

    def _send(self, reply: WireReply) -> None:
        time.sleep(reply.delay)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in reply.pieces:
            if isinstance(piece, bytes):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.flush()
            else:
                time.sleep(piece)
        if reply.cut:
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")


def scripted_server(script: Script) -> AbstractContextManager[ScriptedServer]:
    """A server that runs until the block ends."""
    return serving(ScriptedServer(script))
