"""The right to write one memory: a lock on a file, for tasks, threads and processes alike.

The system takes it back from a process that dies. Nobody who waits blocks a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from memoryscope_rag.errors import StoreUnavailable

_LOOK_SECONDS = 0.01


def try_lock(path: Path) -> FileLock | None:
    """Take the lock, to be released by the caller; ``None`` when another has it.

    Raises:
        StoreUnavailable: the file cannot be made.
    """
    # one object a holder, so that holders in one process exclude each other, too
    lock = FileLock(path, mode=0o600, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    except OSError as error:
        raise StoreUnavailable(f"cannot lock {path}: {error}") from error
    return lock


@asynccontextmanager
async def locked(path: Path, seconds: float) -> AsyncIterator[None]:
    """Hold the lock.

    Raises:
        StoreUnavailable: others still had it after ``seconds``, or the file cannot be made.
    """
    deadline = time.monotonic() + seconds
    while (lock := try_lock(path)) is None:
        if time.monotonic() >= deadline:
            raise StoreUnavailable(
                f"another writer has been at work on this memory for {seconds:g} s ({path})"
            )
        await asyncio.sleep(_LOOK_SECONDS)
    try:
        yield
    finally:
        lock.release()
