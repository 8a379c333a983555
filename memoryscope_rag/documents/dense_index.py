"""Documents that are found by meaning: chunks, their vectors, and searches over both."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from memoryscope_rag.documents import index_files
from memoryscope_rag.documents.chunking import Chunk, chunk_text
from memoryscope_rag.documents.fusion import reciprocal_rank_fusion
from memoryscope_rag.documents.vectors import Device, IndexOptions, Vectors
from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.ports import Embedder, EmbedderSpec, FloatArray
from memoryscope_rag.schema import check_text


class Hit(NamedTuple):
    """A chunk that a query found. Higher is nearer: see ``IndexOptions.metric``."""

    chunk: Chunk
    score: float


class DenseIndex:
    """Chunks of documents, searched by the vectors of any embedder.

    Chunks are embedded as documents and queries as queries, so an embedder's instructions for
    either are used; no chunk is longer than the model reads. May be shared by tasks and threads:
    a search sees a document whole or not at all. The embedder stays the caller's to close.
    """

    def __init__(
        self, embedder: Embedder, options: IndexOptions | None = None, *, device: Device = "auto"
    ) -> None:
        """An empty index.

        Args:
            embedder: any; its ``spec`` is written down with the index.
            options: how to cut and to compare.
            device: ``auto``, ``cpu`` or ``gpu``; see :class:`.vectors.Vectors` for both errors.
        """
        self._embedder = embedder
        self._options = options or IndexOptions()
        self._device: Device = device
        self._vectors = Vectors(embedder.spec.dimension, self._options, device)
        self._chunks: tuple[Chunk, ...] = ()
        self._lock = threading.Lock()

    @property
    def options(self) -> IndexOptions:
        """How it cuts and compares."""
        return self._options

    @property
    def spec(self) -> EmbedderSpec:
        """Of the embedder."""
        return self._embedder.spec

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """All chunks in document order: ``chunks[n].index == n``."""
        return self._chunks

    def __len__(self) -> int:
        return len(self._chunks)

    async def add(self, text: str, *, source: str = "") -> tuple[Chunk, ...]:
        """Cut ``text``, embed the chunks and make them findable; a failure changes nothing.

        Args:
            text: a document, at most 20 million characters.
            source: a name for it, such as its file's; it comes back with every chunk.

        Returns:
            Its chunks in order; none for a text of white space.

        Raises:
            InvalidInput: ``text`` or ``source`` is no text.
            ModelError: the embedder failed.
            MissingExtra: the extra ``documents`` is not installed.
        """
        check_text("source", source)
        chunks = await asyncio.to_thread(self._cut, text)
        if not chunks:
            return ()
        rows = await self._embedded([chunk.text for chunk in chunks], "document")
        return await asyncio.to_thread(self._append, chunks, rows, source)

    async def search(self, queries: Sequence[str], hits: int = 3) -> list[list[Hit]]:
        """The ``hits`` nearest chunks of each query, nearest first; fewer where there are fewer.

        Raises:
            InvalidInput: ``queries`` is one string, or ``hits`` is less than 1.
            ModelError: the embedder failed.
        """
        if isinstance(queries, str):
            raise InvalidInput("queries", "must be a list of strings, not one string")
        if hits < 1:
            raise InvalidInput("hits", f"is {hits}, must be at least 1")
        if not queries or not len(self):
            return [[] for _ in queries]
        rows = await self._embedded(queries, "query")
        return await asyncio.to_thread(self._nearest, rows, hits)

    async def search_union(self, queries: Sequence[str], hits: int = 3) -> tuple[Chunk, ...]:
        """What any of ``queries`` finds, each chunk once, in document order, however much it is.

        This is how MemoRAG collects evidence (Qian et al., "MemoRAG", WWW 2025, and its
        library); :meth:`search_fused` is the better choice. Raises as :meth:`search`.
        """
        found = {
            hit.chunk.index: hit.chunk for near in await self.search(queries, hits) for hit in near
        }
        return tuple(found[index] for index in sorted(found))

    async def search_fused(
        self, queries: Sequence[str], hits: int = 3, *, tokens: int = 2048
    ) -> tuple[Chunk, ...]:
        """The best of what ``queries`` find together, in document order, within ``tokens``.

        The queries' rankings are fused by reciprocal rank. Chunks are taken in that order; one
        that does not fit any more, or says what another has said, is passed over.

        Args:
            queries: a question and its clues, say.
            hits: chunks of each query.
            tokens: of all chunks together, as ``Chunk.tokens`` counts them.

        Raises:
            InvalidInput: as :meth:`search`, or ``tokens`` is less than 1.
            ModelError: the embedder failed.
        """
        if tokens < 1:
            raise InvalidInput("tokens", f"is {tokens}, must be at least 1")
        rankings = await self.search(queries, hits)
        found = {hit.chunk.index: hit.chunk for near in rankings for hit in near}
        order = reciprocal_rank_fusion([[hit.chunk.index for hit in near] for near in rankings])
        chosen: dict[str, Chunk] = {}
        for chunk in map(found.__getitem__, order):
            if chunk.text not in chosen and chunk.tokens <= tokens:
                chosen[chunk.text] = chunk
                tokens -= chunk.tokens
        return tuple(sorted(chosen.values(), key=lambda chunk: chunk.index))

    def empty(self) -> DenseIndex:
        """An index of its own without chunks, of the same embedder and options."""
        return DenseIndex(self._embedder, self._options, device=self._device)

    async def copy(self) -> DenseIndex:
        """An index of its own with the same chunks; the vectors are copied, not made anew."""
        result = self.empty()
        result._vectors, result._chunks = await asyncio.to_thread(self._copied)
        return result

    async def save(self, folder: str | Path) -> None:
        """Write the index to ``folder``, in place of one that is there.

        A crash leaves the index before or this one. One process writes to a folder at a time.

        Raises:
            StoreUnavailable: the folder cannot be written.
        """
        await asyncio.to_thread(self._save, Path(folder))

    @classmethod
    async def load(
        cls, folder: str | Path, embedder: Embedder, *, device: Device = "auto"
    ) -> DenseIndex:
        """The index that was saved to ``folder``.

        Checksums tell damage, not malice: load folders of people you trust.

        Raises:
            InvalidInput: there is no index in ``folder``.
            EmbeddingMismatch: its vectors are of another model than ``embedder``.
            SchemaTooNew: a later version of this package wrote it.
            StoreCorrupt: a file is missing or damaged; names it.
        """
        saved = await asyncio.to_thread(index_files.load, Path(folder), embedder.spec, device)
        result = cls(embedder, saved.options, device="cpu")
        result._device = device
        result._vectors, result._chunks = saved.vectors, saved.chunks
        return result

    def _cut(self, text: str) -> tuple[Chunk, ...]:
        # without the lesser of the two, remainders of a text would be cut a second time
        tokens = min(self._options.tokens, self._embedder.spec.max_tokens)
        overlap = min(self._options.overlap, tokens - 1)
        return chunk_text(text, tokens, overlap=overlap, pieces=self._embedder.pieces)

    async def _embedded(
        self, texts: Sequence[str], kind: Literal["query", "document"]
    ) -> FloatArray:
        rows = await self._embedder.embed(texts, kind)
        spec = self._embedder.spec
        if rows.shape != (len(texts), spec.dimension) or not np.isfinite(rows).all():
            raise ModelError(
                f"the embedder {spec.name} gave {rows.shape} for {len(texts)} texts, or numbers "
                f"that are not finite; its vectors have {spec.dimension} dimensions"
            )
        return rows

    def _append(
        self, chunks: tuple[Chunk, ...], rows: FloatArray, source: str
    ) -> tuple[Chunk, ...]:
        with self._lock:
            first = len(self._chunks)
            placed = tuple(
                replace(chunk, index=first + chunk.index, source=source) for chunk in chunks
            )
            self._vectors.add(rows)
            self._chunks += placed
        return placed

    def _nearest(self, rows: FloatArray, hits: int) -> list[list[Hit]]:
        with self._lock:
            chunks = self._chunks
            scores, found = self._vectors.search(rows, min(hits, len(chunks)))
        ranked = [
            [Hit(chunks[at], score) for at, score in zip(near, given, strict=True) if at >= 0]
            for near, given in zip(found.tolist(), scores.tolist(), strict=True)
        ]
        # FAISS leaves the order of equal scores open
        return [sorted(hits, key=lambda hit: (-hit.score, hit.chunk.index)) for hits in ranked]

    def _copied(self) -> tuple[Vectors, tuple[Chunk, ...]]:
        with self._lock:
            data, chunks = self._vectors.to_bytes(), self._chunks
        dimension = self._embedder.spec.dimension
        return Vectors.from_bytes(data, dimension, self._options, self._device), chunks

    def _save(self, folder: Path) -> None:
        with self._lock:
            data, chunks = self._vectors.to_bytes(), self._chunks
        index_files.save(folder, self._embedder.spec, self._options, data, chunks)
