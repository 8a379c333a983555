"""Collections of documents that are remembered and asked over HTTP, each a folder beside the store.

A collection belongs to a scope as memories do. It is read by the memory model of the settings, or
retold by their chat model where there is none; either way it is on disk when reading is done, and
opened by whichever worker process is asked. Forgetting messages leaves it alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request
from pydantic import TypeAdapter

from memoryscope_rag.configs.model import Config
from memoryscope_rag.durable import write_durably
from memoryscope_rag.errors import ConfigError, InvalidInput, MissingExtra, UnknownId
from memoryscope_rag.models.torch_runtime import require_transformers
from memoryscope_rag.ports import Embedder, Generator, Sampling
from memoryscope_rag.schema import Scope
from memoryscope_rag.service.corpora import Answer, Corpus, Making, Step
from memoryscope_rag.service.problems import Problem

if TYPE_CHECKING:
    from memoryscope_rag.documents.asking import Task
    from memoryscope_rag.documents.memory import DocumentMemory
    from memoryscope_rag.documents.options import DocumentOptions

OPENED = 2
"""Collections that a process keeps ready; each has a model of its own in memory."""
MOST = 100
"""Collections of one scope."""
_ABOUT = "corpus.json"
_MEMORY = "memory"


@dataclass(slots=True)
class _Opened:
    memory: DocumentMemory
    stamp: tuple[int, int]


_CORPUS = TypeAdapter(Corpus)


class Shelf:
    """The collections of all scopes; for one event loop.

    ``embedder`` and ``generator`` stay the caller's to close.
    """

    def __init__(
        self, config: Config, embedder: Embedder | None, generator: Generator | None
    ) -> None:
        self._config, self._embedder, self._generator = config, embedder, generator
        self._opened: dict[Path, _Opened] = {}
        self._locks: dict[Path, asyncio.Lock] = {}
        self._reading = asyncio.Lock()
        self._tasks: set[asyncio.Task[Corpus]] = set()

    @property
    def usable(self) -> bool:
        """Whether the settings and the installed packages are those that documents need."""
        packages = ("torch", "transformers", "semantic_text_splitter")
        return (
            self._embedder is not None
            and (self._generator is not None or self._config.memory.model is not None)
            and all(importlib.util.find_spec(name) is not None for name in packages)
        )

    async def corpora(self, scope: Scope) -> list[Corpus]:
        """The collections of ``scope`` by name."""
        return await asyncio.to_thread(self._corpora, scope)

    async def add(
        self, scope: Scope, name: str, source: str, data: bytes, making: Making
    ) -> AsyncIterator[Step | Corpus]:
        """Read a file into a collection, made when it is missing: steps, then what it is now.

        ``source`` is the file's name. Reading goes on when whoever asked leaves.

        Raises:
            Problem: another reads into it at this moment.
            InvalidInput: the file cannot be read, or one of that name was.
            ConfigError, MissingExtra: the service is not set up for documents.
            ModelError: a model failed.
        """
        self._check()
        told: asyncio.Queue[Step | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def progress(done: int, total: int) -> None:  # in another thread
            loop.call_soon_threadsafe(told.put_nowait, Step(done, total))

        work = asyncio.create_task(self._add(scope, name, source, data, making, progress))
        self._tasks.add(work)
        work.add_done_callback(self._finished)
        work.add_done_callback(lambda _: told.put_nowait(None))
        while (step := await told.get()) is not None:
            yield step
        yield work.result()

    async def ask(
        self,
        scope: Scope,
        name: str,
        query: str,
        task: Task,
        *,
        use_memory_answer: bool,
        sampling: Sampling,
    ) -> Answer:
        """See :meth:`.DocumentMemory.ask`. Raises UnknownId for no such collection, too."""
        self._check()
        folder = self._folder(scope, name)
        async with self._memory(folder, name) as memory:
            told = await memory.ask(
                query, task, use_memory_answer=use_memory_answer, sampling=sampling
            )
            return Answer.of(told)

    async def remove(self, scope: Scope, name: str) -> None:
        """Remove a collection. Raises UnknownId, and Problem while it is being read into."""
        folder = self._folder(scope, name)
        _known(folder, name)
        async with self._lock(folder):
            _known(folder, name)  # another may have removed it meanwhile
            async with _sole(folder):
                await self._drop(folder)
                (folder / _ABOUT).unlink(missing_ok=True)  # from now on nobody finds it
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def close(self) -> None:
        """Break off what is being read, and let go of the models."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for folder in tuple(self._opened):
            await self._drop(folder)

    # ------------------------------------------------------------ within

    def _check(self) -> None:
        if self._embedder is None:
            raise ConfigError("documents are searched by an embedder, but embedder.name is 'none'")
        if self._generator is None and self._config.memory.model is None:
            raise ConfigError("documents need memory.model, or generator.provider")
        require_transformers("a memory of documents")
        if importlib.util.find_spec("semantic_text_splitter") is None:
            raise MissingExtra("documents", "a memory of documents")

    def _root(self, scope: Scope) -> Path:
        store = self._config.store
        beside = (
            store.path.with_name(f"{store.path.name}-documents")
            if store.provider == "sqlite"
            else Path(f"{store.elasticsearch.prefix}-documents")
        )
        return beside / scope.digest

    def _folder(self, scope: Scope, name: str) -> Path:
        return self._root(scope) / hashlib.sha256(name.encode()).hexdigest()[:40]

    def _lock(self, folder: Path) -> asyncio.Lock:
        return self._locks.setdefault(folder, asyncio.Lock())

    def _finished(self, task: asyncio.Task[Corpus]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # told by the stream, unless nobody listens any more

    def _corpora(self, scope: Scope) -> list[Corpus]:
        found = [_CORPUS.validate_json(one.read_bytes()) for one in self._abouts(scope)]
        return sorted(found, key=lambda corpus: corpus.name)

    def _abouts(self, scope: Scope) -> tuple[Path, ...]:
        return tuple(self._root(scope).glob(f"*/{_ABOUT}"))

    async def _add(
        self, scope: Scope, name: str, source: str, data: bytes, making: Making, progress: Any
    ) -> Corpus:
        from memoryscope_rag.documents.reading import document_text

        folder = self._folder(scope, name)
        text = await asyncio.to_thread(document_text, data, Path(source))
        if not (folder / _ABOUT).is_file() and len(self._abouts(scope)) >= MOST:
            raise InvalidInput("corpus", f"there are {MOST} collections, which is the limit")
        async with self._reading, self._lock(folder):
            await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
            async with _sole(folder):
                memory = await self._open(folder, making)
                try:
                    await memory.append(text, source=source, progress=progress)
                    stats = await memory.save(folder / _MEMORY)
                    corpus = Corpus(
                        name,
                        stats.sources,
                        stats.chunks,
                        stats.characters,
                        stats.memory.tokens,
                        stats.memory.rows,
                        stats.memory.model,
                    )
                    write_durably(folder / _ABOUT, _CORPUS.dump_json(corpus))
                except BaseException:
                    await self._drop(folder)  # it may hold what the disk does not
                    raise
                self._opened[folder].stamp = _stamp(folder)
                return corpus

    @asynccontextmanager
    async def _memory(self, folder: Path, name: str) -> AsyncIterator[DocumentMemory]:
        _known(folder, name)
        async with self._lock(folder):
            _known(folder, name)  # another may have removed it meanwhile
            yield await self._open(folder, Making())

    async def _open(self, folder: Path, making: Making) -> DocumentMemory:
        """The memory as the disk has it; an empty one where there is none. Holds the lock."""
        from memoryscope_rag.documents.memory import DocumentMemory

        stamp = _stamp(folder)
        opened = self._opened.pop(folder, None)
        if opened is not None and opened.stamp != stamp:  # another process has read into it
            await opened.memory.close()
            opened = None
        if opened is None:
            await self._make_room()
            given: dict[str, Any] = {
                "embedder": self._embedder,
                "generator": self._generator,
                "models_dir": self._config.embedder.models_dir,
                "device": self._config.memory.device,
                "threads": self._config.memory.threads,
            }
            if stamp == _NEVER:
                memory = await DocumentMemory.open(self._options(making), **given)
            else:
                memory = await DocumentMemory.load(folder / _MEMORY, **given)
            opened = _Opened(memory, stamp)
        self._opened[folder] = opened
        return opened.memory

    def _options(self, making: Making) -> DocumentOptions:
        from memoryscope_rag.beacon.options import MemoryOptions
        from memoryscope_rag.documents.options import DocumentOptions

        settings = self._config.memory
        memory = None
        if settings.model is not None:
            memory = MemoryOptions(
                model=settings.model,
                compressor=settings.compressor,
                ratio=making.ratio or settings.ratio,
                window=settings.window,
                adapter=None if settings.adapter is None else str(settings.adapter),
            )
        told = {
            "evidence": making.evidence,
            "hits": making.hits,
            "budget_tokens": making.budget_tokens,
        }
        given: dict[str, Any] = {key: value for key, value in told.items() if value is not None}
        return DocumentOptions(memory=memory, **given)

    async def _make_room(self) -> None:
        idle = [folder for folder in self._opened if not self._lock(folder).locked()]
        for folder in idle[: max(0, len(self._opened) - OPENED + 1)]:
            await self._drop(folder)

    async def _drop(self, folder: Path) -> None:
        opened = self._opened.pop(folder, None)
        if opened is not None:
            await opened.memory.close()


_NEVER = (0, 0)


def _stamp(folder: Path) -> tuple[int, int]:
    """What changes whenever a collection does."""
    try:
        found = (folder / _ABOUT).stat()
    except FileNotFoundError:
        return _NEVER
    return found.st_mtime_ns, found.st_ino


def _known(folder: Path, name: str) -> None:
    if not (folder / _ABOUT).is_file():
        raise UnknownId("corpus", f"there is no collection {name!r} in this scope")


@asynccontextmanager
async def _sole(folder: Path) -> AsyncIterator[None]:
    """The right to write into ``folder``, among all processes. Raises Problem."""
    from memoryscope_rag.beacon.files.scope_lock import try_lock

    lock = try_lock(folder / ".lock")
    if lock is None:
        raise Problem("under-way", 409, "another document is being read into this collection")
    try:
        yield
    finally:
        lock.release()


def _shelf(request: Request) -> Shelf:
    kept: Shelf = request.app.state.shelf
    return kept


OnShelf = Annotated[Shelf, Depends(_shelf)]
