"""A service in processes of its own, on loopback, for benchmarks and tests."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from memoryscope_rag.errors import StoreUnavailable

START_S = 120.0
_ADDRESS = re.compile(r" on (http://\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Running:
    """A service that answers at ``url``; ``log`` is what it wrote so far."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def running(
    settings: Mapping[str, Any], folder: Path, *, workers: int = 1, stop_s: float = 60.0
) -> Iterator[Running]:
    """``memoryscope-rag serve`` with ``settings``, a tree as a settings file has it.

    ``folder`` is where it works and writes its log. It is stopped gracefully, and killed when that
    takes longer than ``stop_s``. Raises StoreUnavailable when it does not start.
    """
    config, log = folder / "service.yaml", folder / "service.log"
    config.write_text(yaml.safe_dump(dict(settings)), "utf-8")
    command = [sys.executable, "-m", "memoryscope_rag.cli", "--config", str(config), "serve"]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--port", "0", "--workers", str(workers)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd=folder,
        )
    try:
        yield Running(_wait(process, log), process, log)
    finally:
        process.terminate()
        try:
            process.wait(stop_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address, once the service answers."""
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        found = _ADDRESS.search(log.read_text("utf-8"))
        if found is not None and _ready(found[1]):
            return found[1]
        time.sleep(0.05)
    raise StoreUnavailable(f"the service did not start: {log.read_text('utf-8')[-2000:]}")


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
