"""A memory that can be asked: texts or conversations in, clues and answers out.

After MemoRAG's memory model (arXiv 2409.05591, §2), but what was memorized can be added to, taken
back and forgotten, and asking leaves it as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict, TypeVar, Unpack

from memoryscope_rag.beacon.core import MemoryCore, MemoryStats
from memoryscope_rag.beacon.files.quantize import Encoding
from memoryscope_rag.beacon.gist import WINDOW, longest_gist
from memoryscope_rag.beacon.gist_writers import GeneratorGists
from memoryscope_rag.beacon.memorizing import GivenUp, Progress
from memoryscope_rag.beacon.model_thread import ModelThread
from memoryscope_rag.beacon.opening import open_engine
from memoryscope_rag.beacon.options import MemoryOptions, read_options
from memoryscope_rag.beacon.prompts import MemoryPrompts
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.ports import Generator, Reply, Sampling
from memoryscope_rag.schema import Clue, ClueKind, NewMessage

__all__ = ["BeaconMemory", "MemoryOptions", "MemoryStats", "Place", "Running"]

T = TypeVar("T")


class Place(TypedDict, total=False):
    """Where and how a model runs.

    ``models_dir``: where model folders are, looked at first; ``cache_dir``: where pulled and
    converted models are. ``device``: of torch; ``threads``: of torch, 0 is half the cores.
    ``prompts``: a folder with ``LANGUAGE.yaml`` files in place of the packaged prompts. ``zone``:
    in which the times of messages are written; as they have them by default.
    """

    models_dir: Path | None
    cache_dir: Path | None
    device: str | None
    threads: int
    prompts: Path | None
    zone: tzinfo | None


class Running(Place, total=False):
    """Where and how a memory's models run.

    ``generator``: retells windows for the compressor *gist* in place of the model; it is used in
    the event loop of this call, and closing it is left to the caller.
    """

    generator: Generator | None


class BeaconMemory:
    """A language model's memory. Made by :meth:`open` or :meth:`load`; an async context manager.

    One call runs at a time, in a thread of its own, others wait in order; the event loop never
    does. A call that nobody waits for any more ends soon and changes nothing. For any number of
    event loops.
    """

    def __init__(self, core: MemoryCore, thread: ModelThread) -> None:
        self._core = core
        self._thread = thread

    @classmethod
    async def open(
        cls, options: MemoryOptions | None = None, **running: Unpack[Running]
    ) -> BeaconMemory:
        """An empty memory; opening the model takes some seconds.

        Args:
            options: what it is made with; by default the offline model.

        Raises:
            InvalidInput: an unknown name or device, or a generator for another compressor.
            ConfigError: window and ratio do not go together, or prompts are none.
            ModelNotFound: the model's files are not here; says how to get them.
            ModelCorrupt: a file is not the pinned one, or cannot be read.
            ModelError: no chat model, or one that no memory can be made with; says why.
        """
        wanted = (MemoryOptions() if options is None else options).absolute()
        prompts = MemoryPrompts.load(running.get("prompts"))
        generator = running.get("generator")
        if generator is not None and wanted.compressor != "gist":
            raise InvalidInput("generator", "retells windows; only the compressor 'gist' does")
        loop = asyncio.get_running_loop()
        thread = ModelThread(Path(wanted.model).name, running.get("threads", 0))

        def opening(given_up: GivenUp) -> MemoryCore:
            del given_up
            engine, settled = open_engine(
                wanted,
                models_dir=running.get("models_dir"),
                cache_dir=running.get("cache_dir"),
                device=running.get("device", "cpu"),
            )
            summarise = None
            if generator is not None:
                longest = longest_gist(settled.window or WINDOW)
                summarise = GeneratorGists(generator, prompts, loop, longest=longest)
            return MemoryCore(engine, settled, prompts, running.get("zone"), summarise)

        try:
            return cls(await thread.run(opening), thread)
        except BaseException:
            thread.stop()
            raise

    @classmethod
    async def load(
        cls, folder: Path, *, model: str | None = None, **running: Unpack[Running]
    ) -> BeaconMemory:
        """The memory that was saved in ``folder``, with its model.

        Args:
            model: where that model is now, if it has moved.

        Raises:
            StoreUnavailable: there is none.
            StoreCorrupt: a file is damaged or missing.
            SchemaTooNew: a later version of this package wrote it.
            BeaconMismatch: model, tokenizer or prompts are others than it was made with.
            InvalidInput, ModelNotFound, ModelCorrupt, ModelError: as for :meth:`open`.
        """
        saved = read_options(folder)
        options = saved.options if model is None else replace(saved.options, model=model)
        memory = await cls.open(options, **running)
        try:
            await memory._run(lambda given_up: memory._core.restore(folder, saved))
        except BaseException:
            await memory.close()
            raise
        return memory

    async def close(self) -> None:
        """End what is running, which fails, and free the memory; a second call does nothing."""
        await self._thread.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def state(self) -> MemoryState:
        """What is remembered at this moment; it never changes, a later one takes its place.

        Of *gist* the spans before the tail are of gists, under ids of their own.
        """
        return self._core.state

    async def stats(self) -> MemoryStats:
        """What the memory consists of."""
        return await self._run(lambda given_up: self._core.stats())

    # ------------------------------------------------------------ what is remembered

    async def memorize(
        self,
        history: str | Iterable[NewMessage],
        *,
        source: str = "text",
        progress: Progress = lambda done, total: None,
    ) -> MemoryStats:
        """Remember ``history`` and nothing else.

        Args:
            history: a text of at most 20 million characters, or messages in their order.
            source: the id of a text, by which it is found and forgotten.
            progress: is told (tokens read, tokens to read), in another thread.

        Raises:
            InvalidInput: an empty text, or one that UTF-8 cannot carry.
            ModelError: it does not fit the model at any ratio, or a model failed.
            MalformedReply: a window was not retold.
        """
        return await self._take_in(history, source, progress, anew=True)

    async def append(
        self,
        history: str | Iterable[NewMessage],
        *,
        source: str = "text",
        progress: Progress = lambda done, total: None,
    ) -> MemoryStats:
        """Remember ``history``, too. Only that is read, unless the memory has outgrown its ratio.

        Messages whose ids are here already are passed over. Else as :meth:`memorize`.

        Raises:
            InvalidInput: also a ``source`` that is here already.
        """
        return await self._take_in(history, source, progress, anew=False)

    async def forget(self, message_ids: Collection[str]) -> MemoryStats:
        """Make the memory one that has never seen these messages.

        Windows from the first of them on are read again without them. A saved copy stays until
        :meth:`save` replaces it.

        Raises:
            UnknownId: one of them is not here; nothing was forgotten.
            ModelError, MalformedReply: as for :meth:`memorize`, where windows are retold.
        """
        return await self._run(lambda given_up: self._core.forget(message_ids, given_up))

    async def rollback(self, blocks: int) -> MemoryStats:
        """Go back to when the first ``blocks`` blocks were made. Raises InvalidInput.

        A text or message that goes on after them stays in part; :meth:`forget` takes it out. What
        waits for its window to be full goes, too.
        """
        return await self._run(lambda given_up: self._core.rollback(blocks))

    async def save(self, folder: Path, *, encoding: Encoding = "bf16") -> MemoryStats:
        """Write the memory into ``folder``, in place of what is there.

        A second call writes what is new only. A crash leaves what was there or the new memory;
        what was made with other options or prompts is then of no use.

        Raises:
            InvalidInput: it is empty.
            StoreUnavailable: it cannot be written.
        """
        return await self._run(lambda given_up: self._core.save(folder, encoding))

    # ------------------------------------------------------------ asking

    async def recall(self, query: str) -> tuple[Clue, ...]:
        """Passages of the memory that bear on ``query``, as the model recalls them.

        One that nothing in memory echoes is left out, for it was made up. Raises as
        :meth:`generate`.
        """
        return await self._clues(query, "span")

    async def rewrite(self, query: str) -> tuple[Clue, ...]:
        """Precise questions in place of ``query``. Raises as :meth:`generate`."""
        return await self._clues(query, "surrogate")

    async def clues(self, query: str, *, draft: bool = False) -> tuple[Clue, ...]:
        """:meth:`recall` and :meth:`rewrite` in one go; with ``draft`` an answer, too."""
        if draft:
            return await self._clues(query, "span", "surrogate", "draft")
        return await self._clues(query, "span", "surrogate")

    async def clues_each(
        self, queries: Sequence[str], kinds: Sequence[ClueKind]
    ) -> list[tuple[Clue, ...]]:
        """Clues of these kinds for each of ``queries``, side by side; as :meth:`clues`."""
        return await self._run(lambda given_up: self._core.clues(queries, kinds, given_up))

    async def answer(self, query: str) -> Reply:
        """The answer, from memory alone. Raises as :meth:`generate`."""
        return await self._run(lambda given_up: self._core.answer(query, given_up))

    async def summarize(self) -> Reply:
        """The main points, one a line. Raises as :meth:`generate`."""
        return await self._run(self._core.summarize)

    async def generate(
        self,
        prompt: str,
        *,
        sampling: Sampling = Sampling(),
        repetition_penalty: float | None = None,
        use_memory: bool = True,
    ) -> Reply:
        """What the model says to ``prompt`` with all that it remembers; that stays as it is.

        Args:
            repetition_penalty: on what stands in the prompt or the reply, not in the memory.
            use_memory: ``False``: the model by itself.

        Raises:
            InvalidInput: the memory or the prompt is empty, or sampling makes no sense.
            ModelError: the prompt does not fit, torch failed, or the memory was closed.
        """
        return await self._run(
            lambda given_up: self._core.generate(
                [prompt], sampling, repetition_penalty, given_up, use_memory=use_memory
            )[0]
        )

    async def generate_each(
        self, prompts: Sequence[str], *, sampling: Sampling = Sampling(), use_memory: bool = True
    ) -> list[Reply]:
        """As :meth:`generate`, each of ``prompts`` by itself, side by side."""
        return await self._run(
            lambda given_up: self._core.generate(
                prompts, sampling, None, given_up, use_memory=use_memory
            )
        )

    async def count_tokens(self, prompts: Sequence[str]) -> list[int]:
        """The model's tokens of each as a prompt of its own, those of the template included."""
        return await self._run(lambda given_up: self._core.count_tokens(prompts))

    def longest_prompt(self, reply_tokens: int) -> int:
        """Tokens of the longest prompt without memory that leaves room for such a reply."""
        return self._core.longest_prompt(reply_tokens)

    # ------------------------------------------------------------ within

    async def _take_in(
        self, history: str | Iterable[NewMessage], source: str, progress: Progress, *, anew: bool
    ) -> MemoryStats:
        whole = history if isinstance(history, str) else tuple(history)
        return await self._run(
            lambda given_up: self._core.take_in(whole, source, progress, given_up, anew=anew)
        )

    async def _clues(self, query: str, *kinds: ClueKind) -> tuple[Clue, ...]:
        return (await self.clues_each([query], kinds))[0]

    async def _run(self, work: Callable[[GivenUp], T]) -> T:
        """``work`` in the model's thread, told when nobody waits for it any more."""
        return await self._thread.run(work)
