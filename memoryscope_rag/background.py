"""The background process of an application, which starts it and tells it what to do.

It opens the store and the models for itself, and works in scopes under the same leases as any
other process. It ends when its parent closes the pipe, or is gone: what it is at is handed back.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import IO, Any, Final

from memoryscope_rag.app import SystemClock
from memoryscope_rag.build import (
    build_embedder,
    build_generator,
    build_memory,
    build_ranker,
    open_store,
)
from memoryscope_rag.configs.model import Config
from memoryscope_rag.errors import MissingExtra
from memoryscope_rag.models.ledger import Ledger, Spent
from memoryscope_rag.operations.job_lines import (
    Answer,
    Ask,
    Begin,
    Cancel,
    Done,
    Holding,
    Logged,
    Order,
    Progressed,
    Ready,
    answer_line,
    failed,
    plain_report,
    read_order,
)
from memoryscope_rag.operations.jobs import Jobs, OwnJobs
from memoryscope_rag.operations.told_leases import ToldLeases
from memoryscope_rag.operations.trusted_memory import TrustedMemory
from memoryscope_rag.ports import HistoryMemory
from memoryscope_rag.workers.base import NO_PROMPTS, Services
from memoryscope_rag.workers.prompts import Prompts

NICE: Final = 10
"""A tenth of the CPU where others want it: less, and who waits for its lock on the file waits long
(``man 7 sched``)."""
GRACE_S: Final = 5.0
"""How long handing back may take; what runs in native code cannot be interrupted."""
LOOK_S: Final = 2.0
"""How often it is looked whether the parent is there: another child of its may hold the pipe."""

Say = Callable[[Answer], None]
Orders = asyncio.Queue[Order | None]


def main() -> None:
    """Do what comes on standard input, answer on standard output."""
    if hasattr(os, "nice"):  # elsewhere the parent has seen to it
        os.nice(NICE)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # whoever stops a whole service means the parent
    # what libraries print must not come between the answers
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY) if sys.stderr is None else 2, 1)
    asyncio.run(_serve(sys.stdin.buffer, _teller(answers)))
    os._exit(0)  # all is closed; taking the interpreter apart would keep the parent waiting


def _teller(answers: IO[bytes]) -> Say:
    one_at_a_time = threading.Lock()  # threads log

    def say(answer: Answer) -> None:
        # a parent that is gone is noticed elsewhere
        with one_at_a_time, suppress(OSError):
            answers.write(answer_line(answer))
            answers.flush()

    return say


async def _serve(orders: IO[bytes], say: Say) -> None:
    queue: Orders = asyncio.Queue()
    _follow(orders, queue)
    begin = await queue.get()
    if not isinstance(begin, Begin):
        return
    _forward_records(begin.log_level, say)
    ledger = Ledger()
    try:
        async with opened(Config.model_validate_json(begin.config), ledger, say) as jobs:
            say(Ready())
            await _Desk(jobs, ledger, say).work(queue)
    except Exception as error:  # noqa: BLE001  # the outermost loop: the parent raises it again
        say(failed(None, error, {}))
        while await queue.get() is not None:  # it closes the pipe then
            pass


@asynccontextmanager
async def opened(config: Config, ledger: Ledger, say: Say) -> AsyncIterator[Jobs]:
    """The jobs of an application with these settings, which ``say`` what leases they hold.

    Raises what opening an application raises.
    """
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        embedder = build_embedder(config)
        if embedder is not None:
            stack.callback(embedder.close)
        store = ToldLeases(
            await open_store(config, embedder, clock=clock), lambda leases: say(Holding(leases))
        )
        stack.push_async_callback(store.close)
        memory: HistoryMemory | None = None
        with suppress(MissingExtra):  # the parent has said so
            memory = build_memory(config)
        if memory is not None:
            memory = TrustedMemory(memory, store)
            stack.push_async_callback(memory.close)
        generator = build_generator(config, ledger=ledger)
        if generator is not None:
            stack.push_async_callback(generator.close)
        services = Services(
            store=store,
            ranker=build_ranker(config, embedder),
            clock=clock,
            embedder=embedder,
            generator=generator,
            prompts=NO_PROMPTS if generator is None else Prompts.load(config.prompts),
            memory=memory,
        )
        yield OwnJobs(services, config)


class _Desk:
    """Takes orders and gives answers, several at a time."""

    def __init__(self, jobs: Jobs, ledger: Ledger, say: Say) -> None:
        self._jobs = jobs
        self._ledger = ledger
        self._say = say
        self._told: Mapping[str, Spent] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def work(self, orders: Orders) -> None:
        """Until there are no more orders; what is under way then is cancelled."""
        while (order := await orders.get()) is not None:
            if isinstance(order, Ask):
                task = self._tasks[order.id] = asyncio.create_task(self._answer(order))
                task.add_done_callback(lambda _, id=order.id: self._tasks.pop(id))  # type: ignore[misc]
            elif isinstance(order, Cancel) and order.id in self._tasks:
                self._tasks[order.id].cancel()
        under_way = list(self._tasks.values())
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _answer(self, order: Ask) -> None:
        try:
            report = await self._do(order)
        except Exception as error:  # noqa: BLE001  # the outermost loop: the parent raises it again
            self._say(failed(order.id, error, self._spent()))
        else:
            self._say(Done(order.id, plain_report(order.job, report), self._spent()))

    async def _do(self, order: Ask) -> Any:
        jobs, scope = self._jobs, order.scope
        match order.job:
            case "consolidate":
                return await jobs.consolidate(scope)
            case "reflect":
                return await jobs.reflect(scope)
            case "refresh":

                def progress(done: int, total: int) -> None:
                    self._say(Progressed(order.id, done, total))

                return await jobs.refresh(
                    scope, seconds=order.seconds, progress=progress if order.progress else None
                )
            case "break_off":
                return await jobs.break_off(scope)
            case "withdraw":
                return await jobs.withdraw(scope)

    def _spent(self) -> dict[str, Spent]:
        """What models have taken since this was last asked."""
        now = self._ledger.by_model()
        fresh = {
            model: spent.since(self._told.get(model, Spent()))
            for model, spent in now.items()
            if spent != self._told.get(model)
        }
        self._told = now
        return fresh


# ---------------------------------------------------------------- the parent


def _follow(orders: IO[bytes], queue: Orders) -> None:
    """Put what the parent says into ``queue``, ``None`` when it has no more to say or is gone.

    Then this process ends, after :data:`GRACE_S` in any case.
    """
    loop = asyncio.get_running_loop()
    parent = os.getppid()
    gone = threading.Event()

    def put(order: Order | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: this process is ending
            loop.call_soon_threadsafe(queue.put_nowait, order)

    def read() -> None:
        for line in orders:
            put(read_order(line))
        gone.set()

    def watch() -> None:
        while not gone.wait(LOOK_S) and os.getppid() == parent:
            pass
        put(None)
        time.sleep(GRACE_S)
        os._exit(1)

    for follow in (read, watch):
        threading.Thread(target=follow, daemon=True).start()


class _Forwarder(logging.Handler):
    """Hands records to the parent, whose settings of logging decide what becomes of them."""

    def __init__(self, say: Say) -> None:
        super().__init__()
        self._tell = say

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(Logged(record.name, record.levelno, record.getMessage()))


def _forward_records(level: int, say: Say) -> None:
    logger = logging.getLogger(__package__)
    logger.setLevel(level)
    logger.propagate = False
    logger.addHandler(_Forwarder(say))
