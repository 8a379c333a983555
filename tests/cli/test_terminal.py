"""On a terminal output is drawn, elsewhere it is plain; the whole program as a process."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "memoryscope_rag.cli"]


def environment(**more: str) -> dict[str, str]:
    return {
        "PYTHONPATH": str(ROOT),
        "MEMORYSCOPE_EMBEDDER__NAME": "none",
        "TERM": "xterm-256color",
        "COLUMNS": "100",
        **more,
    }


def piped(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        env=environment(**more),
    )


def on_terminal(*arguments: str) -> str:
    """What a command writes to a pseudo-terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        env=environment(),
    )
    os.close(slave)
    parts: list[bytes] = []
    try:
        while part := os.read(master, 65536):
            parts.append(part)
    except OSError:  # Linux ends a pseudo-terminal with EIO
        pass
    finally:
        os.close(master)
    assert process.wait(60) in (0, 1)
    return b"".join(parts).decode()


@pytest.fixture
def store(in_tmp: Path) -> Path:
    for index in range(3):
        done = piped("record", f"I moved to city {index}", "--user", "ann")
        assert done.returncode == 0, done.stderr
    return in_tmp / "memory.db"


def test_a_pipe_gets_plain_columns_in_any_locale(store: Path) -> None:
    for locale in ("C", "C.UTF-8"):
        piped("record", "北京 👩\u200d👧", "--user", "wei", LC_ALL=locale, PYTHONUTF8="0")
        done = piped("list", "--user", "wei", LC_ALL=locale, PYTHONUTF8="0")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
    done = piped("retrieve", "city", "--user", "ann", "--explain", "--no-floor")
    assert "\x1b" not in done.stdout
    assert not set("─━│┃╭╰┏") & set(done.stdout)
    assert all(len(line.split("\t")) == 6 for line in done.stdout.splitlines()[:3])


def test_a_terminal_gets_headings_and_a_bar(store: Path) -> None:
    drawn = on_terminal("retrieve", "city", "--user", "ann", "--no-floor")
    assert "score" in drawn
    assert "─" in drawn
    (store.parent / "log.json").write_text('[{"role": "user", "content": "hi"}]', "utf-8")
    assert "importing" in on_terminal("import", "log.json", "--user", "bob")
    assert "Nothing in memory" in on_terminal("retrieve", "x", "--user", "nobody")
    assert "╭" in on_terminal("--help")


def test_help_is_plain_in_a_pipe_and_names_the_exit_codes() -> None:
    done = piped("--help")
    assert done.returncode == 0
    assert not set("─━│┃╭╰┏") & set(done.stdout)
    assert "Exit codes: 0 done" in " ".join(done.stdout.split())


def test_a_reader_that_stops_early_is_no_error(in_tmp: Path) -> None:
    rows = [json.dumps({"role": "user", "content": f"{n} " + "x" * 500}) for n in range(300)]
    Path("log.jsonl").write_text("\n".join(rows), "utf-8")
    assert piped("import", "log.jsonl", "--user", "ann").returncode == 0
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {' '.join(PROGRAM)} export --user ann | head -n 1"],
        capture_output=True,
        encoding="utf-8",
        env={**environment(), "PATH": os.environ["PATH"]},
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
