"""The examples run and say what they should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        cwd=EXAMPLES.parent,
        env={"PYTHONPATH": str(EXAMPLES.parent), "PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_chatbot_backend() -> None:
    lines = run("chatbot_backend.py").splitlines()
    assert lines[-1].endswith("I remember: I moved to Lisbon in May, close to the river.")


def test_async_backend() -> None:
    lines = run("async_backend.py").splitlines()
    for user, city, other in (("ann", "Lisbon", "Oslo"), ("bob", "Oslo", "Lisbon")):
        (line,) = [line for line in lines if line.startswith(f"{user}: ")]
        assert city in line
        assert other not in line
    assert any(line.startswith("小伟: ") and "成都" in line for line in lines)


def test_every_example_is_run_here() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == {"chatbot_backend.py", "async_backend.py"}
