"""``beacon.json``: what a memory on disk consists of.

The file is one JSON object: ``format``, ``version``, ``generation`` (how often it was written),
``sha256`` of what follows, and ``memory``. Its beginning thus tells two generations apart.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from memoryscope_rag.beacon.files.maker import Maker
from memoryscope_rag.beacon.files.quantize import Encoding
from memoryscope_rag.beacon.gist import gist_digest
from memoryscope_rag.beacon.state import Span
from memoryscope_rag.durable import write_durably
from memoryscope_rag.errors import BeaconMismatch, SchemaTooNew, StoreCorrupt

MANIFEST = "beacon.json"
FORMAT: Final = "memoryscope-rag beacon memory"
VERSION: Final = 1
HEAD_BYTES = 256
"""So many bytes of the file hold all that comes before ``memory``."""
REMEDY = "remove it and build the memory anew from the messages"

DTYPES: Final = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

Count = Annotated[int, Field(ge=0, lt=1 << 40)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StoredBlock(_Strict):
    """A block but for its tensors; see :class:`~memoryscope_rag.beacon.state.Block`.

    ``sources`` tells whether they are stored.
    """

    rows: Count
    tokens: Count
    start: Count
    ratio: Count
    compressor: str
    digest: Sha256
    repeats: bool
    sources: bool

    @model_validator(mode="after")
    def _rows_are_of_tokens(self) -> StoredBlock:
        if self.rows > self.tokens:
            raise ValueError("more rows than tokens")
        return self


class StoredFile(_Strict):
    """A file of blocks; its name begins with its checksum."""

    sha256: Sha256
    bytes: Count
    blocks: list[StoredBlock] = Field(min_length=1)

    @property
    def name(self) -> str:
        """The name in the memory's folder."""
        return f"blocks-{self.sha256[:32]}.safetensors"


class StoredOpen(_Strict):
    """The file of what may still change: sink, prefix, tail, in the type that the model has."""

    sha256: Sha256
    bytes: Count
    dtype: Literal["float32", "bfloat16", "float16"]
    sink_rows: Count
    prefix_tokens: Count
    tail_rows: Count
    tail_tokens: Count

    @property
    def name(self) -> str:
        """The name in the memory's folder."""
        return f"open-{self.sha256[:32]}.safetensors"


class StoredMemory(_Strict):
    """All of a memory but its tensors.

    ``spans``: message id, first token, token after the last. ``seconds`` were spent reading.
    """

    origin: str
    tokenizer: str
    prompt: str
    encoding: Encoding
    layers: Annotated[int, Field(ge=1, lt=1 << 16)]
    kv_heads: Annotated[int, Field(ge=1, lt=1 << 16)]
    head_dim: Annotated[int, Field(ge=2, lt=1 << 16)]
    files: list[StoredFile]
    open: StoredOpen
    tail_ratio: Count | None
    fixed_ratio: Count | None
    spans: list[Annotated[list[str | int], Field(min_length=3, max_length=3)]]
    seconds: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _parts_follow_each_other(self) -> StoredMemory:
        end = self.open.prefix_tokens
        for block in self.blocks:
            if block.start != end:
                raise ValueError("a block does not begin where the one before it ends")
            end += block.tokens
        before = 0
        for name, first, last in self.spans:
            if not (isinstance(name, str) and isinstance(first, int) and isinstance(last, int)):
                raise ValueError("a span is not an id and two numbers")
            if not before <= first <= last <= end + self.open.tail_tokens:
                raise ValueError("a span is out of order or beyond the end")
            before = last
        return self

    @property
    def blocks(self) -> list[StoredBlock]:
        """Those of all files, in order."""
        return [block for file in self.files for block in file.blocks]

    @property
    def maker(self) -> Maker:
        """What made it."""
        return Maker(self.origin, self.tokenizer, self.prompt)

    @property
    def names(self) -> frozenset[str]:
        """Its files in the folder, beside the manifest."""
        digests = (gist_digest(str(span[0])) for span in self.spans)
        gists = (gist_name(digest) for digest in digests if digest is not None)
        return frozenset({self.open.name, *(file.name for file in self.files), *gists})

    @property
    def nbytes(self) -> int:
        """Bytes of its files, without the manifest."""
        return self.open.bytes + sum(file.bytes for file in self.files)

    def state_spans(self) -> tuple[Span, ...]:
        """The spans as a state has them."""
        return tuple(Span(str(name), int(first), int(last)) for name, first, last in self.spans)


def gist_name(sha256: str) -> str:
    """The name in a memory's folder of the gist with this checksum."""
    return f"gist-{sha256[:32]}.json"


def read_head(folder: Path) -> bytes | None:
    """The beginning of the manifest: the same means the same generation. ``None``: no memory.

    Raises:
        StoreCorrupt: it cannot be read.
    """
    path = folder / MANIFEST
    try:
        with path.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _corrupt(path, f"cannot be read: {error.strerror or error}") from error


def read_manifest(folder: Path) -> tuple[bytes, int, StoredMemory] | None:
    """(head, generation, memory) of the manifest in ``folder``; ``None`` where there is none.

    Raises:
        StoreCorrupt: it is damaged, or was changed by hand.
        SchemaTooNew: a later version of this package wrote it.
    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _corrupt(path, f"cannot be read: {error.strerror or error}") from error
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _corrupt(path, "is no JSON") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise _corrupt(path, "is not that of a beacon memory")
    version = value.get("version")
    if isinstance(version, int) and version > VERSION:
        raise SchemaTooNew(
            f"{path} is of version {version}, this package reads {VERSION}: update it, or {REMEDY}"
        )
    generation, body = value.get("generation"), value.get("memory")
    if version != VERSION or not isinstance(generation, int):
        raise _corrupt(path, "is damaged: version, generation")
    if value.get("sha256") != _seal(generation, body):
        raise _corrupt(path, "is not as it was written: its checksum is another")
    try:
        return data[:HEAD_BYTES], generation, StoredMemory.model_validate(body)
    except ValidationError as error:
        wrong = {".".join(map(str, item["loc"])) or item["msg"] for item in error.errors()}
        raise _corrupt(path, f"is damaged: {', '.join(sorted(wrong)[:4])}") from error


def write_manifest(folder: Path, generation: int, memory: StoredMemory) -> bytes:
    """Put the manifest in place, and return its head. Raises OSError."""
    body = memory.model_dump(mode="json")
    value = {"format": FORMAT, "version": VERSION, "generation": generation}
    value |= {"sha256": _seal(generation, body), "memory": body}
    data = json.dumps(value).encode() + b"\n"
    write_durably(folder / MANIFEST, data)
    return data[:HEAD_BYTES]


def check_maker(folder: Path, memory: StoredMemory, maker: Maker) -> None:
    """Raises BeaconMismatch when ``maker`` did not make ``memory``."""
    different = memory.maker.differences(maker)
    if different:
        held, here = asdict(memory.maker), asdict(maker)
        told = ", ".join(f"{name} {held[name] or 'none'}" for name in different)
        asked = ", ".join(here[name] or "none" for name in different)
        raise BeaconMismatch(
            f"the beacon memory {folder} was made with another model, tokenizer or prompt "
            f"({told}; here {asked}): open it with those, or {REMEDY}"
        )


def _seal(generation: int, body: Any) -> str:
    text = json.dumps([generation, body], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _corrupt(path: Path, problem: str) -> StoreCorrupt:
    return StoreCorrupt(f"{path} {problem}; {REMEDY}")
