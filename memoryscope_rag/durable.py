"""Files that are on the disk when a call returns, and under their name whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

_PREFIX, _SUFFIX = ".", ".new"


def write_durably(path: Path, data: bytes, *, private: bool = True) -> None:
    """Put all of ``data`` on the disk, then under its name; ``private`` to its owner.

    Whoever opens ``path`` finds what was there before or all of ``data``. Only after
    :func:`settle` is the name sure to outlive a loss of power. Raises OSError.
    """
    fresh = path.with_name(f"{_PREFIX}{path.name}{_SUFFIX}")
    with open(fresh, "wb", opener=_private if private else None) as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(fresh, path)


def is_unfinished(path: Path) -> bool:
    """Whether ``path`` has the name of a file that :func:`write_durably` is still writing."""
    return path.name.startswith(_PREFIX) and path.name.endswith(_SUFFIX)


def settle(folder: Path) -> None:
    """Have the names in ``folder`` on the disk, too, where a folder can be synchronised."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
