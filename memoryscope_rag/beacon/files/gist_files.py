"""The gists of a memory on disk: a JSON file each, named by its checksum.

The manifest names them, for their ids among its spans hold the checksums: a crash at any moment
leaves the gists of the memory that is there, and no file can be put in another's place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from memoryscope_rag.beacon.engine import TokenizedMessage
from memoryscope_rag.beacon.files.manifest import REMEDY, gist_name
from memoryscope_rag.beacon.gist import Gist, gist_digest
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.durable import write_durably
from memoryscope_rag.errors import StoreCorrupt, StoreUnavailable


def write_gists(folder: Path, gists: Iterable[Gist]) -> None:
    """Put those on the disk that are not there; before the manifest. Raises StoreUnavailable."""
    try:
        for gist in gists:
            data = gist.to_json()
            path = folder / gist_name(hashlib.sha256(data).hexdigest())
            if not path.is_file() or path.read_bytes() != data:
                write_durably(path, data)
    except OSError as error:
        raise StoreUnavailable(f"cannot write the gists in {folder}: {error}") from error


def read_gists(folder: Path, memory: MemoryState) -> list[Gist]:
    """The gists that ``memory`` holds.

    Raises:
        StoreCorrupt: one is missing, or is not the one that was saved.
    """
    digests = (gist_digest(span.message_id) for span in memory.spans)
    return [_read(folder / gist_name(digest), digest) for digest in digests if digest is not None]


def _read(path: Path, digest: str) -> Gist:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreCorrupt(f"{path} cannot be read: {error.strerror}; {REMEDY}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise StoreCorrupt(f"{path} is not as it was written: its checksum is another; {REMEDY}")
    tree = json.loads(data)  # ours, by its checksum
    return Gist(tree["text"], tuple(TokenizedMessage(name, ids) for name, ids in tree["pieces"]))
