"""A thread that does a model's work for tasks of any event loop, until nobody waits for it."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from memoryscope_rag.beacon.memorizing import GivenUp
from memoryscope_rag.errors import ModelError
from memoryscope_rag.models.decoding import Stopped
from memoryscope_rag.models.torch_runtime import TorchThread

T = TypeVar("T")
_NICE: Final = 10
"""How far work in the background stands back; each step of one gives up a tenth of the CPU
where others want it (``man 7 sched``)."""


class ModelThread:
    """Does one job at a time, in order. A job that nobody waits for any more is told so.

    Args:
        name: of the model.
        threads: of torch; 0 is half the cores.
        background: stand back where others want the CPU, as far as the system allows that for a
            thread: Linux does, and torch's own threads begin with the standing of this one.
    """

    def __init__(self, name: str, threads: int = 0, *, background: bool = False) -> None:
        self.name = name
        self._thread = TorchThread(f"memory-{name}", threads)
        self._closed = threading.Event()
        if background:
            self._thread.submit(_stand_back)

    async def run(self, work: Callable[[GivenUp], T]) -> T:
        """What ``work`` gives.

        Raises:
            ModelError: torch failed, or the thread was closed.
        """
        given_up = threading.Event()
        job = self._thread.submit(work, lambda: given_up.is_set() or self._closed.is_set())
        try:
            return await asyncio.wrap_future(job)
        except Stopped:  # somebody waits, so it was not given up
            raise self._was_closed() from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed.is_set() and task is not None and not task.cancelling():
                raise self._was_closed() from None
            raise
        except RuntimeError as error:  # torch's, as for want of memory
            raise ModelError(f"the model {self.name} failed: {error}") from error
        finally:
            given_up.set()

    def stop(self) -> None:
        """Have what is running end, and run nothing more."""
        self._closed.set()
        self._thread.close(wait=False)

    async def close(self) -> None:
        """End what is running, which fails; a second call does nothing."""
        self.stop()
        await asyncio.to_thread(self._thread.close)

    def _was_closed(self) -> ModelError:
        return ModelError(f"the memory of {self.name} was closed")


def _stand_back() -> None:
    if sys.platform == "linux":  # elsewhere a priority is a process's
        with suppress(OSError):
            os.nice(_NICE)
