"""A person at a terminal: a program in a pseudo-terminal, keys in, what is written out."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path

from tests.cli.test_terminal import PROGRAM, environment

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[@-Z\\-_=>])")
PATIENCE_S = 90.0
"""How long anything may take; the machine may be busy."""


class Screen:
    """What a program wrote to its terminal so far, escape sequences taken out."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self._master = master
        self._raw = b""
        self._seen = 0

    @property
    def text(self) -> str:
        return _ESCAPES.sub("", self._raw.decode("utf-8", "replace")).replace("\r", "")

    def wait(self, pattern: str) -> str:
        """What came since the last wait up to the first match of ``pattern``."""
        until = time.monotonic() + PATIENCE_S
        while True:
            text = self.text
            if found := re.search(pattern, text[self._seen :], re.DOTALL):
                start, self._seen = self._seen, self._seen + found.end()
                return text[start : self._seen]
            assert time.monotonic() < until, f"no {pattern!r} in {text[self._seen :]!r}"
            if not self._read() and self.process.poll() is not None:
                raise AssertionError(f"ended without {pattern!r}: {text[self._seen :]!r}")

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def line(self, text: str) -> None:
        """Type a line and Enter."""
        self.type(f"{text}\r")

    def end(self) -> int:
        """Wait until the program has ended; its exit code."""
        until = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < until, self.text[self._seen :]
            self._read()
        while self._read():
            pass
        return self.process.returncode

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 0.1)
        if not ready:
            return False
        try:
            part = os.read(self._master, 65536)
        except OSError:  # Linux ends a pseudo-terminal with EIO
            return False
        self._raw += part
        return bool(part)


@contextmanager
def terminal(*arguments: str, folder: Path, **more: str) -> Iterator[Screen]:
    """A command at a terminal of 120 columns; killed when the block ends."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    variables = environment(
        PROMPT_TOOLKIT_NO_CPR="1",
        HOME=str(folder),
        MEMORYSCOPE_SCHEDULE__CLOSE_S="0",
        **more,
    )
    del variables["COLUMNS"]
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=folder,
        env=variables,
        start_new_session=True,
        # Ctrl-C reaches the program by way of its terminal
        preexec_fn=lambda: ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    try:
        yield Screen(process, master)
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        os.close(master)
