"""Keeps vectors in a file, so that a benchmark run again does not embed again."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np

from memoryscope_rag.errors import StoreCorrupt, StoreUnavailable
from memoryscope_rag.models.cached import text_key
from memoryscope_rag.ports import Embedder, EmbedderSpec, FloatArray

_CHUNK = 500
"""Keys in one statement; SQLite allows 999 parameters where it was built conservatively."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    fingerprint TEXT NOT NULL, kind TEXT NOT NULL, text BLOB NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (fingerprint, kind, text)
) WITHOUT ROWID
"""


class DiskCachedEmbedder:
    """An embedder around another that keeps every vector in a SQLite file.

    Rows are keyed by (fingerprint, kind, SHA-256 of the text): many models share a file, and it
    holds no text. Vectors are fp32, little-endian. Several processes may use one file. It only
    grows; delete it at will. Closing it closes the inner embedder.

    Raises (all methods that touch the file):
        StoreUnavailable: the file cannot be opened, is busy, or the disk is full.
        StoreCorrupt: it is no such cache.
    """

    def __init__(self, inner: Embedder, path: Path) -> None:
        self._inner = inner
        self._path = path
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                path, timeout=30, isolation_level=None, check_same_thread=False
            )
            try:
                self._database.execute("PRAGMA journal_mode=WAL")
                # What a power cut takes can be computed again.
                self._database.execute("PRAGMA synchronous=OFF")
                self._database.execute(_SCHEMA)
            except sqlite3.Error:
                self._database.close()
                raise
        # One thread owns the connection, so statements of two tasks cannot mix.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vector-cache")

    @property
    def spec(self) -> EmbedderSpec:
        """The inner embedder's."""
        return self._inner.spec

    async def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> FloatArray:
        """As the inner embedder, which is asked only for what is not in the file."""
        loop = asyncio.get_running_loop()
        keys = [text_key(text) for text in texts]
        found = await loop.run_in_executor(
            self._thread, self._read, kind, list(dict.fromkeys(keys))
        )
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if missing:
            fresh = await self._inner.embed(list(missing.values()), kind)
            new = dict(zip(missing, fresh, strict=True))
            await loop.run_in_executor(self._thread, self._write, kind, new)
            found.update(new)
        result = np.empty((len(texts), self.spec.dimension), dtype=np.float32)
        for row, key in enumerate(keys):
            result[row] = found[key]
        return result

    def pieces(self, text: str) -> tuple[tuple[int, int], ...]:
        """The inner embedder's."""
        return self._inner.pieces(text)

    def close(self) -> None:
        """Close the file and the inner embedder; a second call does nothing."""
        self._thread.shutdown(wait=True)
        self._database.close()
        self._inner.close()

    def _read(self, kind: str, keys: list[bytes]) -> dict[bytes, FloatArray]:
        found: dict[bytes, FloatArray] = {}
        size = 4 * self.spec.dimension
        with self._told():
            for start in range(0, len(keys), _CHUNK):
                part = keys[start : start + _CHUNK]
                marks = ",".join("?" * len(part))
                rows = self._database.execute(
                    "SELECT text, vector FROM vectors"
                    f" WHERE fingerprint = ? AND kind = ? AND text IN ({marks})",
                    (self.spec.fingerprint, kind, *part),
                )
                for key, blob in rows:
                    if len(blob) != size:
                        raise StoreCorrupt(f"{self._path} holds a vector of {len(blob)} bytes")
                    found[key] = np.frombuffer(blob, dtype="<f4").astype(np.float32)
        return found

    def _write(self, kind: str, vectors: dict[bytes, FloatArray]) -> None:
        rows = [
            (self.spec.fingerprint, kind, key, vector.astype("<f4").tobytes())
            for key, vector in vectors.items()
        ]
        with self._told():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany("INSERT OR IGNORE INTO vectors VALUES (?,?,?,?)", rows)
                self._database.execute("COMMIT")
            except sqlite3.Error:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """SQLite's and the file system's errors as ours."""
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise StoreUnavailable(f"the vector cache {self._path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreCorrupt(f"the vector cache {self._path}: {error}") from error
