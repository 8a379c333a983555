"""The command line as a function: arguments in, exit code and text out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from memoryscope_rag.cli.run import run


@dataclass(frozen=True)
class Outcome:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The columns of each line of standard output."""
        return [line.split("\t") for line in self.out.splitlines()]


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in an empty folder, without an embedding model unless one is named.

    What is recorded stays pending; a test of consolidation asks for it.
    """
    monkeypatch.setenv("MEMORYSCOPE_EMBEDDER__NAME", "none")
    monkeypatch.setenv("MEMORYSCOPE_SCHEDULE__CLOSE_S", "0")

    def call(*arguments: str, code: int | None = 0) -> Outcome:
        capsys.readouterr()
        left = run(arguments)
        captured = capsys.readouterr()
        outcome = Outcome(left, captured.out, captured.err)
        assert code is None or left == code, outcome
        assert "Traceback" not in outcome.err
        assert "\x1b" not in outcome.out + outcome.err
        return outcome

    return call
