"""Starting and killing the child of :mod:`writer`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

WRITER = Path(__file__).with_name("writer.py")


def start(path: Path, *arguments: str, script: Path = WRITER) -> subprocess.Popen[str]:
    """A child at work on the store ``path``; its BLAS keeps to one thread."""
    return subprocess.Popen(
        [sys.executable, str(script), str(path), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )


def killed_after(child: subprocess.Popen[str], seconds: float) -> list[str]:
    """The lines a child printed up to SIGKILL, ``seconds`` after its first one."""
    assert child.stdout is not None
    lines = [child.stdout.readline()]
    reader = threading.Thread(target=lambda: lines.extend(child.stdout or ()))
    reader.start()
    time.sleep(seconds)
    child.kill()
    child.wait()
    reader.join()
    child.stdout.close()
    # the kill may fall in the middle of a line
    return [line.rstrip("\n") for line in lines if line.endswith("\n")]
