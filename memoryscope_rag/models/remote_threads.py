"""Threads for requests of embedders and rerankers, which callers in any event loop may close.

A blocking client in threads, since a client of one event loop can neither be used from another nor
be closed without it, and the ports' ``close`` is a plain call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from memoryscope_rag.errors import ModelError
from memoryscope_rag.ports import FloatArray


class RemoteThreads:
    """At most ``concurrency`` requests at once. ``name`` is the model's, for messages."""

    def __init__(self, name: str, concurrency: int) -> None:
        self._name = name
        self._closed = False
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="model-requests")

    async def run(self, jobs: Iterable[Callable[[], FloatArray]]) -> FloatArray:
        """What the jobs give, one after the other along the first axis.

        Raises:
            ModelError: of the first job that failed, or it was closed meanwhile.
        """
        loop = asyncio.get_running_loop()
        try:
            runs = [loop.run_in_executor(self._threads, job) for job in jobs]
            return np.concatenate(await asyncio.gather(*runs))
        except RuntimeError as error:  # of the threads, or of the client under them
            if not self._closed:
                raise
            raise self._is_closed() from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and not (task is not None and task.cancelling()):
                raise self._is_closed() from None  # it was waiting for a thread
            raise

    def close(self) -> None:
        """Drop what is waiting; what is under way ends with its client. May be called twice."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _is_closed(self) -> ModelError:
        return ModelError(f"the model {self._name!r} is closed")
