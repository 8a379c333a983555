"""A memory of documents on disk: the memory's own files, and a folder with the index beside them.

The folder's name carries a hash of what the memory holds. A new one is written before the memory
is put in place, and the old one removed after: whoever loads finds the index that goes with the
memory, before a crash or after it.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from memoryscope_rag.documents.evidence import EvidenceMode
from memoryscope_rag.documents.options import DocumentOptions
from memoryscope_rag.durable import settle, write_durably
from memoryscope_rag.errors import SchemaTooNew, StoreCorrupt, StoreUnavailable

if TYPE_CHECKING:
    from memoryscope_rag.beacon.state import MemoryState

OPTIONS: Final = "documents.json"
GIST_TEXTS: Final = "gist_texts.json"
"""The memory's own file, where no model on this machine remembers."""
_VERSION: Final = 1
_PREFIX: Final = "index-"


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["memoryscope-rag documents"] = "memoryscope-rag documents"
    version: int = _VERSION
    evidence: EvidenceMode
    hits: int
    budget_tokens: int


def identity_of(state: MemoryState) -> str:
    """A hash of what ``state`` was made of: its messages, or the seals of its gists."""
    found = hashlib.sha256(state.token_ids().numpy().tobytes())
    for span in state.spans:
        found.update(f"\0{span.message_id}\0{span.start}\0{span.end}".encode())
    return found.hexdigest()


def index_folder(folder: Path, identity: str) -> Path:
    """Where the index of the memory with this identity is, within ``folder``."""
    return folder / f"{_PREFIX}{identity[:16]}"


def holds_documents(folder: Path) -> bool:
    """Whether a memory of documents was saved in ``folder``, not a memory alone."""
    return any((one / OPTIONS).is_file() for one in folder.glob(f"{_PREFIX}*"))


def holds_gist_texts(folder: Path) -> bool:
    """Whether that memory was made without a model on this machine."""
    return (folder / GIST_TEXTS).is_file()


def write_about(folder: Path, options: DocumentOptions) -> None:
    """Write the options beside the index in ``folder``. Raises StoreUnavailable."""
    content = _Options(
        evidence=options.evidence, hits=options.hits, budget_tokens=options.budget_tokens
    )
    try:
        write_durably(folder / OPTIONS, content.model_dump_json(indent=1).encode())
        settle(folder)
        settle(folder.parent)
    except OSError as error:
        raise StoreUnavailable(f"cannot write {folder / OPTIONS}: {error.strerror}") from error


def read_about(folder: Path, options: DocumentOptions) -> DocumentOptions:
    """``options`` with what was written beside the index in ``folder``.

    Raises:
        StoreUnavailable: there is no index of the memory that is there.
        StoreCorrupt, SchemaTooNew: the file is damaged, or of a later version.
    """
    path = folder / OPTIONS
    try:
        found = _Options.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise StoreUnavailable(
            f"{folder.parent} holds no index of its documents; memorize the files again with an "
            "embedder, or ask the memory alone"
        ) from None
    except (OSError, ValidationError) as error:
        raise StoreCorrupt(f"{path} is damaged; memorize the documents again") from error
    if found.version > _VERSION:
        raise SchemaTooNew(f"{path} is of version {found.version}; this package knows {_VERSION}")
    return DocumentOptions(
        memory=options.memory,
        index=options.index,
        evidence=found.evidence,
        hits=found.hits,
        budget_tokens=found.budget_tokens,
    )


def remove_others(folder: Path, kept: Path) -> None:
    """Remove the indices of what the memory in ``folder`` was before."""
    for path in folder.glob(f"{_PREFIX}*"):
        if path != kept:
            shutil.rmtree(path, ignore_errors=True)
