"""Documents that are remembered and searched: a memory leads, passages answer.

MemoRAG's pipelines (arXiv 2409.05591, §2, and its package's ``MemoRAG`` and ``MemoRAGLite``) over
any compressor, embedder and chat model: documents are read into a memory once, and cut into chunks
that are found by meaning and by words. What the memory recalls of a question is searched for, too;
the answer is written from what that finds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from memoryscope_rag.beacon.files.quantize import Encoding
from memoryscope_rag.beacon.memorizing import Progress
from memoryscope_rag.beacon.memory import BeaconMemory, MemoryStats
from memoryscope_rag.documents import memory_files
from memoryscope_rag.documents.asking import Asking, DocumentAnswer, Task, found
from memoryscope_rag.documents.evidence import Evidence, Found
from memoryscope_rag.documents.opening import (
    Models,
    Parts,
    check_kind,
    identity_of,
    load_parts,
    open_parts,
)
from memoryscope_rag.documents.options import DocumentOptions
from memoryscope_rag.documents.reading import read_document
from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.ports import Embedder, Sampling
from memoryscope_rag.schema import Clue, ClueKind

__all__ = ["DocumentAnswer", "DocumentMemory", "DocumentOptions", "DocumentStats"]


@dataclass(frozen=True, slots=True)
class DocumentStats:
    """What a memory of documents consists of.

    Attributes:
        memory: tokens, rows, ratio, bytes and seconds of the memory.
        sources: names of the documents, in order.
        chunks: that can be found.
        characters: of all chunks.
        embedder: what finds them by meaning.
        writer: what writes the final text.
        seconds: spent here on ``memory`` and ``index``.
    """

    memory: MemoryStats
    sources: tuple[str, ...]
    chunks: int
    characters: int
    embedder: str
    writer: str
    seconds: Mapping[str, float]


class DocumentMemory:
    """A memory of documents. Made by :meth:`open` or :meth:`load`; an async context manager.

    For one event loop. Documents are taken in one after the other; questions that are put
    meanwhile are answered from what was there before. The embedder and the generators stay the
    caller's to close.
    """

    def __init__(self, parts: Parts) -> None:
        self._memory = parts.memory
        self._index = parts.index
        self._evidence = Evidence(parts.index)
        self._writer = parts.writer
        self._prompts = parts.prompts
        self._options = parts.options
        self._lock = asyncio.Lock()
        self._seconds = {"memory": 0.0, "index": 0.0}

    @classmethod
    async def open(
        cls,
        options: DocumentOptions | None = None,
        *,
        embedder: Embedder,
        **models: Unpack[Models],
    ) -> DocumentMemory:
        """An empty memory of documents; opening a model takes some seconds.

        Args:
            options: what it is made with; by default the offline model.
            embedder: finds chunks by meaning.
            models: what else there is, and where a model runs.

        Raises:
            InvalidInput: an unknown name or device, or neither a model nor a generator.
            ConfigError, ModelNotFound, ModelCorrupt, ModelError: as for :meth:`.BeaconMemory.open`.
        """
        return cls(await open_parts(options or DocumentOptions(), embedder, models))

    @classmethod
    async def load(
        cls,
        folder: Path,
        *,
        embedder: Embedder,
        model: str | None = None,
        **models: Unpack[Models],
    ) -> DocumentMemory:
        """What was saved in ``folder``; it has its options with it.

        Args:
            model: where the model that remembers is now, if it has moved.

        Raises:
            StoreUnavailable: there is none, or a memory without an index of its documents.
            EmbeddingMismatch: the chunks' vectors are of another model than ``embedder``.
            BeaconMismatch: the memory was made with another model or other prompts.
            StoreCorrupt, SchemaTooNew: a file is damaged, or of a later version.
            InvalidInput, ModelNotFound, ModelCorrupt, ModelError: as for :meth:`open`.
        """
        parts = await load_parts(folder, embedder, model, models)
        return await asyncio.to_thread(cls, parts)

    async def close(self) -> None:
        """End what is running, which fails, and free the memory; a second call does nothing."""
        await self._memory.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # ------------------------------------------------------------ what is remembered

    async def memorize(
        self,
        documents: str | Path | Iterable[Path],
        *,
        source: str = "text",
        progress: Progress = lambda done, total: None,
    ) -> DocumentStats:
        """Remember ``documents`` and nothing else.

        Args:
            documents: a text, a file or files (txt, md, pdf, docx).
            source: the name of a text; a file's is its path as it was given.
            progress: is told (tokens read, tokens to read) of each document, in another thread.

        Raises:
            InvalidInput: an empty text, a file that cannot be read, or one that is named twice.
            ModelError, MalformedReply: as for :meth:`.BeaconMemory.memorize`. Documents that were
                read before the one that failed are remembered.
        """
        async with self._lock:
            texts = await asyncio.to_thread(_texts, documents, source)
            for number, (name, text) in enumerate(texts.items()):
                await self._take_in(name, text, progress, anew=number == 0)
            return await self.stats()

    async def append(
        self,
        documents: str | Path | Iterable[Path],
        *,
        source: str = "text",
        progress: Progress = lambda done, total: None,
    ) -> DocumentStats:
        """Remember ``documents``, too. As :meth:`memorize`.

        Raises:
            InvalidInput: also a document whose name is here already.
        """
        async with self._lock:
            for name, text in (await asyncio.to_thread(_texts, documents, source)).items():
                await self._take_in(name, text, progress, anew=False)
            return await self.stats()

    async def stats(self) -> DocumentStats:
        """What the memory consists of."""
        chunks = self._evidence.chunks
        return DocumentStats(
            memory=await self._memory.stats(),
            sources=tuple(dict.fromkeys(chunk.source for chunk in chunks)),
            chunks=len(chunks),
            characters=sum(len(chunk.text) for chunk in chunks),
            embedder=self._index.spec.name,
            writer=self._writer.model,
            seconds=dict(self._seconds),
        )

    async def save(self, folder: Path, *, encoding: Encoding = "bf16") -> DocumentStats:
        """Write all of it into ``folder``, in place of what is there.

        A crash leaves what was there or this. One process writes to a folder at a time.

        Args:
            encoding: of the memory's rows: ``bf16``, ``fp32``, ``int8`` or ``int4``.

        Raises:
            InvalidInput: it is empty, or a memory of another kind is in the folder.
            StoreUnavailable: it cannot be written.
        """
        async with self._lock:
            stats = await self.stats()
            if not stats.chunks:
                raise InvalidInput("memory", "is empty; memorize something first")
            where = memory_files.index_folder(folder, identity_of(self._memory))
            check_kind(folder, self._memory)
            await self._index.save(where)
            await asyncio.to_thread(memory_files.write_about, where, self._options)
            if isinstance(self._memory, BeaconMemory):
                await self._memory.save(folder, encoding=encoding)
            else:
                await self._memory.save(folder)
            await asyncio.to_thread(memory_files.remove_others, folder, where)
            return await self.stats()

    # ------------------------------------------------------------ asking

    async def clues(self, queries: Sequence[str], *, draft: bool = False) -> list[tuple[Clue, ...]]:
        """What the memory recalls of each of ``queries``, side by side; with ``draft`` an answer.

        Raises ModelError.
        """
        kinds: tuple[ClueKind, ...] = ("span", "surrogate", "draft")
        return await self._memory.clues_each(queries, kinds if draft else kinds[:2])

    async def find(self, query: str, clues: Sequence[Clue] = ()) -> Found:
        """Passages for ``query`` and ``clues``, as :meth:`ask` finds them. Raises ModelError."""
        return await found(self._evidence, query, clues, self._options)

    async def ask(
        self,
        query: str = "",
        task: Task = "memorag",
        *,
        template: str | None = None,
        use_memory_answer: bool = False,
        max_tokens: int = 256,
        sampling: Sampling = Sampling(temperature=0.0),
    ) -> DocumentAnswer:
        """Carry out one of MemoRAG's tasks.

        Args:
            query: the question; of ``summarize`` none.
            task: ``memorag``: clues, search, answer; ``qa``: memory alone; ``summarize``: main
                points, search, summary.
            template: in place of the final prompt: with ``$context`` and ``$input`` for
                ``memorag``, ``$question`` for ``qa``, ``$context`` for ``summarize``.
            use_memory_answer: of ``memorag``: the memory's own answer is one more query and one
                more passage.
            max_tokens: of the final text, unless ``sampling`` says it.
            sampling: of the final text.

        Raises:
            InvalidInput: an unknown task, no query, or an empty memory.
            ConfigError: the template lacks a mark, or has one that is not known.
            ModelError: a model failed.
        """
        told = await self._asked([query], task, template, use_memory_answer, max_tokens, sampling)
        return told[0]

    async def ask_many(
        self,
        queries: Sequence[str],
        task: Task = "memorag",
        *,
        template: str | None = None,
        use_memory_answer: bool = False,
        max_tokens: int = 256,
        sampling: Sampling = Sampling(temperature=0.0),
    ) -> list[DocumentAnswer]:
        """:meth:`ask` for each of ``queries``, from one memory: the model reads them side by side.

        Raises:
            InvalidInput: also ``queries`` that are one string, or the task ``summarize``.
        """
        if isinstance(queries, str):
            raise InvalidInput("queries", "must be a list of strings, not one string")
        if task == "summarize":
            raise InvalidInput("task", "'summarize' has no queries; call ask")
        if not queries:
            return []
        return await self._asked(queries, task, template, use_memory_answer, max_tokens, sampling)

    async def _asked(
        self,
        queries: Sequence[str],
        task: Task,
        template: str | None,
        use_memory_answer: bool,
        max_tokens: int,
        sampling: Sampling,
    ) -> list[DocumentAnswer]:
        if max_tokens < 1:
            raise InvalidInput("max_tokens", f"is {max_tokens}, must be at least 1")
        asking = Asking(self._memory, self._evidence, self._writer, self._prompts, self._options)
        wanted = replace(sampling, max_tokens=sampling.max_tokens or max_tokens)
        return await asking.ask(queries, task, template, use_memory_answer, wanted)

    # ------------------------------------------------------------ within

    async def _take_in(self, source: str, text: str, progress: Progress, *, anew: bool) -> None:
        began = time.perf_counter()
        index = self._index.empty() if anew else await self._index.copy()
        await index.add(text, source=source)
        evidence = await asyncio.to_thread(Evidence, index)
        indexed = time.perf_counter()
        take_in = self._memory.memorize if anew else self._memory.append
        await take_in(text, source=source, progress=progress)
        self._index, self._evidence = index, evidence
        before = {"memory": 0.0, "index": 0.0} if anew else self._seconds
        self._seconds = {
            "memory": before["memory"] + time.perf_counter() - indexed,
            "index": before["index"] + indexed - began,
        }


def _texts(documents: str | Path | Iterable[Path], source: str) -> dict[str, str]:
    """Texts by their names."""
    if isinstance(documents, str):
        return {source: documents}
    files = [documents] if isinstance(documents, Path) else list(documents)
    found = {str(file): read_document(file) for file in files}
    if not found:
        raise InvalidInput("documents", "are none")
    if len(found) < len(files):
        raise InvalidInput("documents", "name one file twice")
    return found
