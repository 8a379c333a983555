"""What holds for every test: no network, no settings from outside, a home folder of its own."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

MODELS = os.environ.get("MEMORYSCOPE_MODELS")
"""The folder of models that the suite was started with; without one, tests of these are skipped."""


class NetworkBlocked(RuntimeError):
    """A test reached out of this machine."""


def _check(address: Any) -> None:
    if not isinstance(address, tuple):
        return  # a Unix socket
    host = str(address[0])
    if host in {"", "localhost"}:
        return
    try:
        inside = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise NetworkBlocked(f"a test wanted to connect to {host}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was left out, and what it needs. Tests may have run in other processes than this one."""
    skipped = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
    )
    for reason, count in skipped.items():
        terminalreporter.write_line(f"{count} left out: {reason}", yellow=True)
    for what in ("adapters", "console"):
        if not os.environ.get(f"MEMORYSCOPE_TEST_{what.upper()}"):
            terminalreporter.write_line(f"tests/{what}: 'make test-{what}' runs it", yellow=True)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    class LoopbackSocket(socket.socket):
        def connect(self, address: Any) -> None:
            _check(address)
            super().connect(address)

        def connect_ex(self, address: Any) -> int:
            _check(address)
            return super().connect_ex(address)

        def sendto(self, data: Any, *rest: Any) -> int:
            _check(rest[-1])
            return super().sendto(data, *rest)

    resolve = socket.getaddrinfo

    def local_getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        _check((host.decode() if isinstance(host, bytes) else host or "",))
        return resolve(host, *rest, **more)

    monkeypatch.setattr(socket, "socket", LoopbackSocket)
    monkeypatch.setattr(socket, "getaddrinfo", local_getaddrinfo)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in list(os.environ):
        if name.startswith("MEMORYSCOPE_") and not name.startswith("MEMORYSCOPE_TEST_"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    for name in ("HF_HOME", "HF_TOKEN", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def models_dir() -> Path:
    """The folder of models that MEMORYSCOPE_MODELS named; skips where there is none."""
    if MODELS is None:
        pytest.skip("MEMORYSCOPE_MODELS names no folder of models")
    return Path(MODELS).resolve()


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
