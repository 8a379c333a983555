"""Code in an interpreter of its own: nothing is loaded, and no settings come from outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_alone(code: str, folder: Path) -> str:
    """What ``code`` prints in ``folder``, which is its home, too; a warning is an error there."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "HOME": str(folder)},
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules_after(code: str, folder: Path) -> set[str]:
    """The modules that are loaded once ``code`` has run."""
    return set(run_alone(f"{code}\nimport sys; print(*sys.modules)", folder).split())
