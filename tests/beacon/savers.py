"""What the children of the crash and process tests do. Children are forked: torch is loaded once.

Random rows stand for a model's: a child has to be quick to be killed often.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

from memoryscope_rag.beacon.engine import TokenizedMessage
from memoryscope_rag.beacon.files.bank import BeaconBank
from memoryscope_rag.beacon.files.gist_files import write_gists
from memoryscope_rag.beacon.files.maker import Maker
from memoryscope_rag.beacon.files.state_files import save_state
from memoryscope_rag.beacon.files.stored_state import open_state
from memoryscope_rag.beacon.gist import Gist, gist_id
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.schema import Scope
from tests.beacon.random_states import ORIGIN, empty_state, grown

MAKER = Maker(ORIGIN)
SCOPE = Scope("ann")


def context() -> ForkServerContext:
    """How children are started."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload([__name__, "tests.beacon.memory_writers"])
    return found


def started(run: object, *arguments: object) -> ForkServerProcess:
    """A child that runs ``run``."""
    child = context().Process(target=run, args=arguments)  # type: ignore[arg-type]
    child.start()
    return child


def after(count: int) -> MemoryState:
    """The memory after so many saves."""
    state = empty_state()
    for number in range(count):
        state = changed(state, number)
    return state


def changed(state: MemoryState, number: int) -> MemoryState:
    """The change number ``number``: mostly another block, at times just another tail, or a cut."""
    if number % 7 == 6:
        state = state.rollback(len(state.blocks) - 2)
    return grown(state, 1 if number % 3 else 0, seed=number, message=f"message-{number}")


def save_on_and_on(folder: Path, told: Connection) -> None:
    """Save one memory after another, going on from the one that is there, and tell of each."""
    stored = open_state(folder, MAKER)
    count = 0 if stored is None else stored.generation
    state = after(count)
    while True:
        state = changed(state, count)
        count += 1
        stored = save_state(folder, state, MAKER, "fp32", stored)
        told.send(count)


def save_gists_on_and_on(folder: Path, told: Connection) -> None:
    """Save one memory of gists after another; at times the last ones are taken back."""
    state, gists, number = empty_state(), dict[str, Gist](), 0
    while True:
        gist = Gist(f"what was told {number}", (TokenizedMessage(f"m{number}", [number] * 50),))
        name = gist_id(number, gist)
        gists[name] = gist
        state = grown(state, 1, seed=number, message=name)
        if number % 5 == 4:
            state = state.rollback(len(state.blocks) - 3)
        write_gists(folder, [gists[span.message_id] for span in state.spans])
        save_state(folder, state, MAKER, "fp32")
        told.send(number)
        number += 1


def append_messages(folder: Path, name: str, count: int) -> None:
    """Append so many messages to the memory of SCOPE in the bank at ``folder``."""

    async def run() -> None:
        bank = BeaconBank(folder, empty_state(), MAKER, encoding="fp32")
        for number in range(count):
            async with bank.writing(SCOPE) as draft:
                draft.state = grown(draft.state, number % 2, message=f"{name}-{number}")

    asyncio.run(run())


def hold_the_lock(folder: Path, told: Connection) -> None:
    """Write the memory of SCOPE, without end."""

    async def run() -> None:
        bank = BeaconBank(folder, empty_state(), MAKER, encoding="fp32")
        async with bank.writing(SCOPE):
            told.send("held")
            await asyncio.sleep(3600)

    asyncio.run(run())
