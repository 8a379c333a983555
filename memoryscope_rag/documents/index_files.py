"""A dense index on disk: a manifest, the vectors, the chunks; no pickle.

``vectors-….faiss`` is FAISS's own format, ``chunks-….jsonl`` one JSON object a chunk. Both carry
the beginning of their SHA-256 in the name, so another index never writes over them.
``dense_index.json`` names the two, and is put in place by a rename when they are on the disk:
whoever reads finds the index before or the one after. Other files may lie beside these.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from memoryscope_rag.documents.chunking import Chunk
from memoryscope_rag.documents.vectors import Device, IndexOptions, Vectors
from memoryscope_rag.durable import settle, write_durably
from memoryscope_rag.errors import (
    EmbeddingMismatch,
    InvalidInput,
    SchemaTooNew,
    StoreCorrupt,
    StoreUnavailable,
)
from memoryscope_rag.ports import EmbedderSpec

MANIFEST = "dense_index.json"
FORMAT: Final = "memoryscope-rag dense index"
VERSION: Final = 1

_OURS = ("vectors-*.faiss", "chunks-*.jsonl", ".vectors-*.new", ".chunks-*.new")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    dimension: int = Field(ge=1)
    fingerprint: str


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["memoryscope-rag dense index"] = FORMAT
    version: Literal[1] = VERSION
    embedder: _Model
    options: IndexOptions
    count: int = Field(ge=0)
    vectors: str = Field(pattern="^[0-9a-f]{64}$")
    chunks: str = Field(pattern="^[0-9a-f]{64}$")

    def files(self, folder: Path) -> tuple[Path, Path]:
        """Where the vectors and the chunks are."""
        return (
            folder / f"vectors-{self.vectors[:16]}.faiss",
            folder / f"chunks-{self.chunks[:16]}.jsonl",
        )


class Saved(NamedTuple):
    """What was read from a folder."""

    options: IndexOptions
    vectors: Vectors
    chunks: tuple[Chunk, ...]


def save(
    folder: Path,
    spec: EmbedderSpec,
    options: IndexOptions,
    vectors: bytes,
    chunks: Sequence[Chunk],
) -> None:
    """Write an index and remove the files of the one before.

    Raises:
        StoreUnavailable: the folder cannot be written; what was there is as it was.
    """
    lines = "".join(json.dumps(asdict(chunk), ensure_ascii=False) + "\n" for chunk in chunks)
    texts = lines.encode()
    manifest = _Manifest(
        embedder=_Model(name=spec.name, dimension=spec.dimension, fingerprint=spec.fingerprint),
        options=options,
        count=len(chunks),
        vectors=hashlib.sha256(vectors).hexdigest(),
        chunks=hashlib.sha256(texts).hexdigest(),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        kept = manifest.files(folder)
        for path, data in zip(kept, (vectors, texts), strict=True):
            write_durably(path, data, private=False)
        about = manifest.model_dump_json(indent=2).encode() + b"\n"
        write_durably(folder / MANIFEST, about, private=False)
        settle(folder)  # before anything goes that the manifest of before names
        for pattern in _OURS:
            for path in folder.glob(pattern):
                if path not in kept:
                    path.unlink()
    except OSError as error:
        raise StoreUnavailable(f"cannot write the index {folder}: {error}") from error


def load(folder: Path, spec: EmbedderSpec, device: Device = "auto") -> Saved:
    """The index in ``folder``, checked; ``spec`` is the model that will embed its queries.

    Raises:
        InvalidInput, EmbeddingMismatch, SchemaTooNew, StoreCorrupt: see ``DenseIndex.load``.
    """
    manifest = _manifest(folder)
    held = manifest.embedder
    if (held.fingerprint, held.dimension) != (spec.fingerprint, spec.dimension):
        raise EmbeddingMismatch(
            f"the index {folder} holds vectors of {held.name} ({held.fingerprint}), not of "
            f"{spec.name} ({spec.fingerprint}); open it with that model or index the texts anew"
        )
    vectors_path, chunks_path = manifest.files(folder)
    data = _checked(vectors_path, manifest.vectors)
    lines = _checked(chunks_path, manifest.chunks)
    vectors = Vectors.from_bytes(data, spec.dimension, manifest.options, device)
    chunk = TypeAdapter(Chunk)
    try:
        chunks = tuple(chunk.validate_json(line) for line in lines.splitlines())
    except ValidationError as error:
        raise StoreCorrupt(f"{chunks_path} holds what is no chunk") from error
    if [chunk.index for chunk in chunks] != list(range(manifest.count)):
        raise StoreCorrupt(f"{chunks_path} lacks some of {manifest.count} chunks")
    if len(vectors) != manifest.count:
        raise StoreCorrupt(f"{vectors_path} has {len(vectors)} vectors, not {manifest.count}")
    return Saved(manifest.options, vectors, chunks)


def _manifest(folder: Path) -> _Manifest:
    path = folder / MANIFEST
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise InvalidInput("folder", f"{folder} holds no dense index: no {MANIFEST}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreCorrupt(f"{path} cannot be read: {error}") from error
    try:
        value = json.loads(text)
    except ValueError as error:
        raise StoreCorrupt(f"{path} is no JSON") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise StoreCorrupt(f"{path} is not that of a dense index")
    version = value.get("version")
    if isinstance(version, int) and version > VERSION:
        raise SchemaTooNew(
            f"the index {folder} is of version {version}, this package reads {VERSION}"
        )
    try:
        return _Manifest.model_validate(value)
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, item["loc"])) for item in error.errors()}))
        raise StoreCorrupt(f"{path} is damaged: {fields}") from error


def _checked(path: Path, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreCorrupt(f"{path} cannot be read: {error.strerror or error}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise StoreCorrupt(f"{path} is not the file that was saved: its checksum is another")
    return data
