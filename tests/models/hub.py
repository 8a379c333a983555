"""A model hub on loopback: what ``huggingface_hub`` asks of one, and some ways to fail."""

from __future__ import annotations

import hashlib
import re
import signal
import threading
import time
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler

from memoryscope_rag.testing.loopback import LoopbackServer, serving

_RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/main/(.+)")


class Hub(LoopbackServer):
    """Serves ``files``: (repo, path) to content.

    ``drop_once``: paths whose first GET breaks off in the middle. ``short``: paths of which half
    is sent as if it were all. ``broken``: those answered with 500. ``interrupting``: whose GET
    breaks off with a Ctrl-C to this process. ``requests`` is the log.
    """

    def __init__(self, files: dict[tuple[str, str], bytes]) -> None:
        super().__init__(_Handler)
        self.files = files
        self.drop_once: set[str] = set()
        self.short: set[str] = set()
        self.broken: set[str] = set()
        self.interrupting: set[str] = set()
        self.requests: list[tuple[str, str]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""

    def _answer(self, *, body: bool) -> None:
        self.server.requests.append((self.command, self.path))
        match = _RESOLVE.fullmatch(self.path)
        repo, path = match.groups() if match else ("", self.path)
        content = self.server.files.get((repo, path))
        if path in self.server.broken:
            return self._refuse(500, "")
        if content is None:
            known = any(repo == name for name, _ in self.server.files)
            return self._refuse(404, "EntryNotFound" if known else "RepoNotFound")
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked and body:
            start = int(asked[1])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        if not (body and path in self.server.short):
            self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if body and (path in self.server.drop_once or path in self.server.short):
            self.server.drop_once.discard(path)
            content = content[: len(content) // 2]
        if body and path in self.server.interrupting:
            content = content[: len(content) // 2]
        if body:
            self.wfile.write(content[start:])
        if body and path in self.server.interrupting:
            self.wfile.flush()
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(1)  # keep the client waiting for the rest
        return None

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def running(files: dict[tuple[str, str], bytes]) -> AbstractContextManager[Hub]:
    return serving(Hub(files))
