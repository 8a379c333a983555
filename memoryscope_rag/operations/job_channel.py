"""A background process that runs, seen from the application: what is asked of it, what it answers.

A fresh interpreter, not a copy of this process: it runs nothing of the host's program, and
shares with it no thread, no lock and no file but its two pipes.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from memoryscope_rag.configs.model import Config
from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.models.ledger import Ledger
from memoryscope_rag.operations.job_lines import (
    Ask,
    Begin,
    Cancel,
    Done,
    Failed,
    Holding,
    Job,
    Logged,
    Order,
    Progressed,
    Ready,
    error_of,
    order_line,
    read_answer,
    report_of,
)
from memoryscope_rag.ports import Lease
from memoryscope_rag.schema import Scope

PATIENCE_S: Final = 8.0
"""How long a process may take to end that was told to; it ends itself sooner than that."""
_PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv[1:]; from memoryscope_rag.background import main; main()"
)
_LOGGER: Final = logging.getLogger("memoryscope_rag")


class NotStarted(Exception):
    """The process ended before it said a word: this machine cannot start one like it."""


@dataclass(slots=True, eq=False)
class _Asked:
    job: Job
    answer: asyncio.Future[Any]
    progress: Callable[[int, int], None] | None


class Channel:
    """A background process; made by :meth:`open`. It belongs to one event loop.

    ``leases`` are those that it holds, or was killed with.
    """

    def __init__(self, process: subprocess.Popen[bytes], ledger: Ledger) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self.leases: tuple[Lease, ...] = ()
        self._process = process
        self._orders: IO[bytes] = process.stdin
        self._ledger = ledger
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._asked: dict[int, _Asked] = {}
        self._ids = itertools.count(1)
        self._ended = False
        self._listener = threading.Thread(
            target=self._listen, args=(process.stdout,), name="memoryscope-rag-jobs", daemon=True
        )
        self._listener.start()

    @classmethod
    async def open(cls, config: Config, folder: Path | None, ledger: Ledger) -> Channel:
        """Start a process that works as ``config`` says, whose relative paths begin in ``folder``.

        What models take there is added to ``ledger``.

        Raises:
            NotStarted: there is no such process on this machine.
            MemoryScopeError: what opening the store or a model raises there; StoreUnavailable, too,
                where somebody killed it meanwhile.
        """
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=folder,
                start_new_session=True,  # Ctrl-C is for the application, which decides what ends
                creationflags=getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0),
            )
        except OSError as error:
            raise NotStarted(error.strerror or str(error)) from None
        channel = cls(process, ledger)
        try:
            level = _LOGGER.getEffectiveLevel()
            with suppress(StoreUnavailable):  # it has ended already, which is about to be heard
                channel._send(Begin(config.model_dump_json(exclude_unset=True), level))
            await channel._ready
        except BaseException:
            await channel.close()
            raise
        return channel

    @property
    def ended(self) -> bool:
        """Whether it is gone, or about to go."""
        return self._ended

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do."""
        return not self._asked

    async def do(
        self,
        job: Job,
        scope: Scope,
        seconds: float | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Any:
        """The report of a job, once it is done there; cancelling this cancels it there.

        Raises:
            StoreUnavailable: the process has ended.
            MemoryScopeError: what the job raised.
        """
        number = next(self._ids)
        asked = self._asked[number] = _Asked(job, self._loop.create_future(), progress)
        try:
            self._send(Ask(number, job, scope, seconds, progress is not None))
            return await asked.answer
        except asyncio.CancelledError:
            with suppress(StoreUnavailable):
                self._send(Cancel(number))
            raise
        finally:
            del self._asked[number]

    async def finished(self) -> None:
        """Return when everything that was asked is answered."""
        answers = [asked.answer for asked in self._asked.values()]
        if answers:
            await asyncio.wait(answers)

    async def close(self) -> None:
        """Have it hand back what it is at, and end; a second call does nothing."""
        self._end()
        with suppress(OSError):  # it reads no more
            self._orders.close()
        await asyncio.to_thread(self._listener.join, PATIENCE_S)
        if self._listener.is_alive():
            self._process.kill()
            await asyncio.to_thread(self._listener.join)

    def _send(self, order: Order) -> None:
        if not self._ended:
            try:
                self._orders.write(order_line(order))
                self._orders.flush()
                return
            except (OSError, ValueError):  # its end of the pipe is closed, or ours
                pass
        raise _gone()

    # ------------------------------------------------------------ what comes back

    def _listen(self, answers: IO[bytes]) -> None:
        """In a thread of its own, until the process has ended."""
        with answers, suppress(RuntimeError):  # the event loop may be closed before
            for line in answers:
                self._loop.call_soon_threadsafe(self._hear, line)
        self._process.wait()
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end)

    def _hear(self, line: bytes) -> None:
        answer = read_answer(line)
        if isinstance(answer, Ready):
            _settle(self._ready, None)
        elif isinstance(answer, Logged):
            logger = logging.getLogger(answer.name)
            if logger.isEnabledFor(answer.level):
                logger.log(answer.level, "%s", answer.message)
        elif isinstance(answer, Holding):
            self.leases = answer.leases
        elif isinstance(answer, Failed) and answer.id is None:
            _settle(self._ready, error_of(answer))
        else:
            self._answered(answer)

    def _answered(self, answer: Done | Failed | Progressed) -> None:
        if isinstance(answer, Done | Failed):
            self._ledger.add_all(answer.spent)
        asked = self._asked.get(answer.id or 0)
        if asked is None:
            return  # nobody waits for it any more
        if isinstance(answer, Progressed) and asked.progress is not None:
            asked.progress(answer.done, answer.total)
        elif isinstance(answer, Done):
            _settle(asked.answer, report_of(asked.job, answer.report))
        elif isinstance(answer, Failed):
            _settle(asked.answer, error_of(answer))

    def _end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        killed = (self._process.returncode or 0) < 0
        never = NotStarted("it ended as soon as it was started")
        _settle(self._ready, _gone() if killed else never)
        for asked in self._asked.values():
            _settle(asked.answer, _gone())


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
        future.exception()  # it may be that nobody waits for it
    else:
        future.set_result(result)


def _gone() -> StoreUnavailable:
    return StoreUnavailable("the background process has ended; what was pending is pending still")
