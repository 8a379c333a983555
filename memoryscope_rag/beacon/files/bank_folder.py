"""The folder of a bank: where each memory lies, which was used last, what has been left behind."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path

from memoryscope_rag.beacon.files.manifest import MANIFEST
from memoryscope_rag.beacon.files.scope_lock import try_lock
from memoryscope_rag.beacon.files.state_files import remove_state
from memoryscope_rag.durable import settle
from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.schema import Scope

_LOCK = ".lock"
_NAME = re.compile("[0-9a-f]{40}")


def part_of(name: str) -> str:
    """The part of a scope that is called ``name``, such as a session."""
    return hashlib.sha256(name.encode()).hexdigest()[:40]


class BankFolder:
    """``<digest>/`` holds the memory of a scope, ``<digest>/<part>/`` one of a part of it.

    ``<digest>.lock`` is the right to write them. The digest is of the scope, a part is named by
    :func:`part_of`: no id stands in a name.

    Raises:
        StoreUnavailable: the folder cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"cannot make the folder {path}: {error}") from error

    def memory(self, scope: Scope, part: str = "") -> Path:
        """Where the memory of ``scope``, or of a part of it, lies, or would."""
        folder = self.path / scope.digest
        return folder / part if part else folder

    def parts(self, scope: Scope) -> list[str]:
        """The parts that have a folder, in no order that means anything."""
        return [path.name for path in _parts(self.memory(scope))]

    def lock(self, scope: Scope) -> Path:
        """The lock of ``scope``."""
        return _lock_of(self.memory(scope))

    def make(self, scope: Scope) -> None:
        """Have a folder for ``scope``, on the disk, too. Raises StoreUnavailable."""
        folder = self.memory(scope)
        try:
            if not folder.is_dir():
                folder.mkdir(mode=0o700, exist_ok=True)
                settle(self.path)
        except OSError as error:
            raise StoreUnavailable(f"cannot make the folder {folder}: {error}") from error

    def touch(self, scope: Scope) -> None:
        """Note that the memory of ``scope`` was used now."""
        with suppress(OSError):
            os.utime(self.memory(scope))

    def memories(self) -> list[Path]:
        """Folders of memories, the least recently used first."""
        used: list[tuple[int, Path]] = []
        for path in self.path.iterdir():
            with suppress(FileNotFoundError):  # removed meanwhile
                if _NAME.fullmatch(path.name) and path.is_dir():
                    used.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(used)]

    def nbytes(self) -> int:
        """Bytes on disk."""
        return sum(_size(folder) for folder in self.memories())

    def remove(self, folder: Path) -> None:
        """Remove a memory with its parts and its lock, which the caller holds."""
        remove_state(folder)
        for part in _parts(folder):
            remove_state(part)
        with suppress(OSError):  # something of others is in it, or it is gone
            folder.rmdir()
        with suppress(OSError):  # a held file cannot be removed everywhere; it is empty
            _lock_of(folder).unlink()

    def shrink(self, limit: int, spared: Scope) -> None:
        """Remove the memories used least recently until ``limit`` bytes hold the others.

        That of ``spared`` stays, and so do those that are being written.
        """
        sizes = {folder: _size(folder) for folder in self.memories()}
        total = sum(sizes.values())
        for folder, size in sizes.items():
            if total <= limit:
                break
            with suppress(StoreUnavailable):  # the next write tries again
                if folder != self.memory(spared) and self._removed(folder):
                    total -= size

    def sweep(self) -> None:
        """Remove what crashes left behind: memories without a manifest, locks without a memory."""
        locked = (path.with_suffix("") for path in self.path.glob(f"*{_LOCK}"))
        ours = {folder for folder in locked if _NAME.fullmatch(folder.name)}
        for folder in {*self.memories(), *ours}:
            if not (folder / MANIFEST).exists():
                self._removed(folder, left_behind=True)

    def _removed(self, folder: Path, *, left_behind: bool = False) -> bool:
        """Whether ``folder`` could be removed, being still ``left_behind``, and not written."""
        held = try_lock(_lock_of(folder))
        if held is None:
            return False
        try:
            if left_behind and (folder / MANIFEST).exists():
                return False
            self.remove(folder)
        finally:
            held.release()
        return True


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + _LOCK)


def _parts(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def _size(folder: Path) -> int:
    total = 0
    for place in (folder, *_parts(folder)):
        with suppress(OSError):
            for path in place.iterdir():
                with suppress(FileNotFoundError):
                    total += path.stat().st_size if path.is_file() else 0
    return total
