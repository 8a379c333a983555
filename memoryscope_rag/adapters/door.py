"""The application behind adapters: opened when it is first needed, or lent by the host."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.configs.load import load_config, with_store
from memoryscope_rag.configs.model import Config
from memoryscope_rag.errors import InvalidInput, ModelError, StoreError, StoreUnavailable
from memoryscope_rag.operations.chat_prompt import system_message
from memoryscope_rag.schema import utc_now
from memoryscope_rag.sync import MemoryScope
from memoryscope_rag.workers.prompts import Prompts

T = TypeVar("T")
Work = Callable[[AsyncMemoryScope], Coroutine[Any, Any, T]]
Place = Path | str | MemoryScope | AsyncMemoryScope | None
"""A file, the URL of a cluster, a memory that is open already, or what the settings name."""


class MemoryDoor:
    """One application for any number of users, agents and sessions.

    Its own is opened at the first call, in a thread with an event loop: frameworks call from one
    loop, from several, or from none, and what is recorded is consolidated in the background while
    the host's loop is busy or gone. A memory that was lent is neither started nor closed here; an
    :class:`~memoryscope_rag.AsyncMemoryScope` serves the loop that it was opened in.

    Raises:
        InvalidInput: a memory was lent, and settings were given as well.
        ConfigError: a setting is wrong.
    """

    def __init__(self, place: Place = None, *, config: Config | None = None) -> None:
        self._lent: MemoryScope | AsyncMemoryScope | None = None
        self._own: MemoryScope | None = None
        self._changing = threading.Lock()
        self._closed = False
        if isinstance(place, MemoryScope | AsyncMemoryScope):
            if config is not None:
                raise InvalidInput("config", "a memory that is lent has settings already")
            self._lent = place
            self.config = place.config
        else:
            config = config or load_config()
            self.config = config if place is None else with_store(config, place)
        self.prompts = Prompts.load(self.config.prompts)

    @property
    def place(self) -> str:
        """The file or the URL, as the constructor takes it; it holds no secret."""
        store = self.config.store
        return str(store.path) if store.provider == "sqlite" else store.elasticsearch.url or ""

    async def open(self) -> None:
        """Open the application, unless it is open. Raises as :meth:`MemoryScope.open` does."""
        if self._lent is None and self._own is None:
            await asyncio.to_thread(self._open)

    async def call(self, work: Work[T]) -> T:
        """What ``work`` gives, without blocking the caller's event loop."""
        if isinstance(self._lent, AsyncMemoryScope):
            return await work(self._lent)
        memory = self._lent or self._own
        if memory is None:
            memory = await asyncio.to_thread(self._open)
        return await memory.acall(work)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` gives, which calls this door, for a caller without an event loop.

        Raises InvalidInput where an :class:`~memoryscope_rag.AsyncMemoryScope` was lent.
        """
        begun = False

        async def begin(_: AsyncMemoryScope) -> T:
            nonlocal begun
            begun = True
            return await work

        try:
            if isinstance(self._lent, AsyncMemoryScope):
                raise InvalidInput("memory", "an AsyncMemoryScope is for async calls only")
            return (self._lent or self._own or self._open()).call(begin)
        except (StoreError, ModelError):
            if begun:
                raise
        except BaseException:
            if not begun:
                work.close()
            raise
        # closed, or not to be opened: ``work`` meets the same, and has its way to say so
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, work).result()

    def for_prompt(self, query: str, memory: str) -> str:
        """What a model is told of ``memory``, lines that are :func:`as_data`, between fences.

        The words before are in the language of ``query``. Empty where there is no memory.
        """
        if not memory:
            return ""
        return system_message(self.prompts, query, now=utc_now(), memory=memory, system_prompt="")

    async def close(self) -> None:
        """Close the application that was opened here; what is pending is consolidated first."""
        await asyncio.to_thread(self.shut)

    def shut(self) -> None:
        """As :meth:`close`, for callers without an event loop."""
        with self._changing:
            self._closed = True
            if self._own is not None:
                self._own.close()

    def _open(self) -> MemoryScope:
        with self._changing:
            if self._closed:
                raise StoreUnavailable("this memory is closed")
            if self._own is None:
                memory = MemoryScope.open(config=self.config)
                try:
                    memory.start()
                except BaseException:
                    memory.close()
                    raise
                self._own = memory
            return self._own
