"""The memories of many scopes, on disk, mapped, and on the device.

The manifest on disk is what counts: every call compares what it holds with it, so that a write by
another process is seen. A reader is given an immutable state, of one generation, and keeps it as
long as it likes; a writer has its scope to itself and is seen whole when it is done.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from memoryscope_rag.beacon.files.bank_folder import BankFolder
from memoryscope_rag.beacon.files.maker import Maker
from memoryscope_rag.beacon.files.manifest import StoredMemory, read_head, read_manifest
from memoryscope_rag.beacon.files.quantize import Encoding, is_exact
from memoryscope_rag.beacon.files.scope_lock import locked
from memoryscope_rag.beacon.files.state_files import remove_state, save_state, sweep_folder
from memoryscope_rag.beacon.files.stored_state import open_state
from memoryscope_rag.beacon.files.tiers import Held, Tiers
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.schema import Scope

T = TypeVar("T")
_LOADING_LOCKS = 32


@dataclass(frozen=True, slots=True)
class Budgets:
    """Limits in bytes: decoded on the device, mapped on the host, on disk.

    Beyond ``disk`` the memories used least recently are removed, to be built anew from the
    messages when they are asked for; ``None``: none is.
    """

    device: int = 2 << 30
    host: int = 4 << 30
    disk: int | None = None


@dataclass(frozen=True, slots=True)
class BankStats:
    """Bytes that a bank holds decoded, mapped, and on disk; memories on disk."""

    device_bytes: int
    host_bytes: int
    disk_bytes: int
    memories: int


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Where memories come from: an engine's memory of nothing, and what makes them."""

    empty: MemoryState
    maker: Maker

    def __post_init__(self) -> None:
        if self.empty.origin != self.maker.origin:
            raise InvalidInput(
                "empty", f"was made by {self.empty.origin}, not by {self.maker.origin}"
            )


@dataclass(slots=True, eq=False)
class Draft:
    """A memory while it is being written: set ``state`` to what it is to be.

    ``parts`` are saved before it; a part that is set to ``None`` is removed. ``seconds``, spent
    reading, are remembered.
    """

    state: MemoryState
    seconds: float = 0.0
    parts: dict[str, MemoryState | None] = field(default_factory=dict)


class BeaconBank:
    """Memories by scope. For tasks, threads and processes; nothing is bound to an event loop.

    Beside the memory of a scope there may be some of its parts, by names that
    :func:`~memoryscope_rag.beacon.files.bank_folder.part_of` gives.

    Blocks are what their encoding makes of them from the moment that they are written, so that what
    a memory says does not depend on whether it was still at hand.

    Args:
        folder: where the memories lie.
        empty: the engine's memory of nothing; device and type of the rows are as in it.
        maker: what makes the memories; those of others are refused.
        parts: where those of parts come from; as the others by default.
        encoding: of the blocks on disk.
        wait_seconds: how long a writer waits for another one of its scope.

    Raises:
        StoreUnavailable: the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        empty: MemoryState,
        maker: Maker,
        *,
        parts: Source | None = None,
        encoding: Encoding = "int8",
        budgets: Budgets = Budgets(),
        wait_seconds: float = 60.0,
    ) -> None:
        self.whole = Source(empty, maker)
        self.part = parts or self.whole
        self.encoding = encoding
        self.budgets = budgets
        self._wait_seconds = wait_seconds
        self._disk = BankFolder(folder)
        self._disk.sweep()
        self._tiers = Tiers(budgets.device, budgets.host)
        # one scope is loaded once at a time, lest it take its memory several times over
        self._loading = [threading.Lock() for _ in range(_LOADING_LOCKS)]

    @property
    def empty(self) -> MemoryState:
        """The memory of a scope that has none."""
        return self.whole.empty

    async def read(self, scope: Scope, part: str = "") -> MemoryState:
        """The memory of ``scope``, or of a part of it, as it was last written; empty if never.

        Raises:
            BeaconMismatch: another model, tokenizer or prompt made it.
            SchemaTooNew: a later version of this package wrote it.
            StoreCorrupt: a file is damaged. :meth:`forget` or ``writing(…, anew=True)`` help.
        """
        return await asyncio.to_thread(self._read, scope, part)

    async def parts(self, scope: Scope) -> dict[str, StoredMemory]:
        """What the manifests of the parts of ``scope`` say. For its writer.

        Files that a crash has left behind are removed.

        Raises:
            SchemaTooNew, StoreCorrupt: as :meth:`read`.
            StoreUnavailable: what is left of a part cannot be removed.
        """

        def look() -> dict[str, StoredMemory]:
            found = {}
            for part in self._disk.parts(scope):
                folder = self._disk.memory(scope, part)
                manifest = read_manifest(folder)
                if manifest is None:
                    remove_state(folder)
                else:
                    found[part] = manifest[2]
                    sweep_folder(folder, manifest[2].names)
            return found

        return await asyncio.to_thread(look)

    async def heads(self, scope: Scope) -> dict[str, bytes]:
        """The parts of ``scope``, and what names the generation of each."""

        def look() -> dict[str, bytes]:
            found = {}
            for part in self._disk.parts(scope):
                head = read_head(self._disk.memory(scope, part))
                if head is not None:
                    found[part] = head
            return found

        return await asyncio.to_thread(look)

    @asynccontextmanager
    async def writing(self, scope: Scope, *, anew: bool = False) -> AsyncIterator[Draft]:
        """Have the memory of ``scope`` to oneself; what the draft then holds is saved.

        Nothing is, when the block ends with an exception. Others read what was before until it is.

        Args:
            anew: begin with ``empty``, whatever there is: for a memory that cannot be gone on with.

        Raises:
            StoreUnavailable: another writer did not finish in time, or the disk is not writable.
            Otherwise as :meth:`read`.
        """
        async with locked(self._disk.lock(scope), self._wait_seconds):
            before = self.empty if anew else await self.read(scope)
            draft = Draft(before)
            yield draft
            if draft.state is not before or draft.parts or anew:
                await _to_its_end(lambda: self._commit(scope, draft, before))

    async def forget(self, scope: Scope) -> None:
        """Remove the memory of ``scope`` and of its parts from the disk and from what is held.

        Raises:
            StoreUnavailable: a writer did not finish in time, or the disk is not writable.
        """
        async with locked(self._disk.lock(scope), self._wait_seconds):
            await _to_its_end(lambda: self._forget(scope))

    @property
    def held_bytes(self) -> tuple[int, int]:
        """Bytes decoded on the device and mapped on the host; see :class:`Budgets`."""
        return self._tiers.nbytes

    async def stats(self) -> BankStats:
        """How much is held."""

        def count() -> BankStats:
            disk = self._disk
            return BankStats(*self.held_bytes, disk.nbytes(), len(disk.memories()))

        return await asyncio.to_thread(count)

    def close(self) -> None:
        """Let go of everything that is held; what readers have stays theirs."""
        self._tiers.clear()

    # ------------------------------------------------------------ in threads

    def _source(self, part: str) -> Source:
        return self.part if part else self.whole

    def _read(self, scope: Scope, part: str) -> MemoryState:
        folder, source, key = self._disk.memory(scope, part), self._source(part), (scope, part)
        with self._loading_lock(scope):
            held = self._tiers.get(key)
            if held is None or read_head(folder) != held.head:
                stored = open_state(folder, source.maker, None if held is None else held.stored)
                known = None if held is None else held.state
            elif held.state is not None:
                self._disk.touch(scope)
                return held.state
            else:
                stored, known = held.stored, None
            if stored is None:
                self._tiers.drop(key)
                return source.empty
            rows = source.empty.tail.keys
            state = stored.load(rows.device, rows.dtype, known)
            self._tiers.put(key, Held(stored.head, stored, state))
        self._disk.touch(scope)
        return state

    def _commit(self, scope: Scope, draft: Draft, before: MemoryState) -> None:
        with self._loading_lock(scope):
            self._disk.make(scope)
            for part, state in draft.parts.items():
                if state is None:
                    self._tiers.drop((scope, part))
                    remove_state(self._disk.memory(scope, part))
                else:
                    held = self._tiers.get((scope, part))
                    self._save(scope, part, state, None if held is None else held.state, 0.0)
            self._save(scope, "", draft.state, before, draft.seconds)
        if self.budgets.disk is not None:
            self._disk.shrink(self.budgets.disk, spared=scope)

    def _save(
        self,
        scope: Scope,
        part: str,
        state: MemoryState,
        before: MemoryState | None,
        seconds: float,
    ) -> None:
        folder, source, key = self._disk.memory(scope, part), self._source(part), (scope, part)
        held = self._tiers.get(key)
        opened = None if held is None else held.stored
        stored = save_state(folder, state, source.maker, self.encoding, opened, seconds=seconds)
        rows = source.empty.tail.keys
        if not is_exact(self.encoding, rows.dtype):  # blocks as they would be read
            state = replace(state, blocks=stored.blocks(rows.device, rows.dtype, before))
        self._tiers.put(key, Held(stored.head, stored, state))

    def _forget(self, scope: Scope) -> None:
        with self._loading_lock(scope):
            self._tiers.drop_scope(scope)
            self._disk.remove(self._disk.memory(scope))

    def _loading_lock(self, scope: Scope) -> threading.Lock:
        return self._loading[hash(scope) % _LOADING_LOCKS]


async def _to_its_end(job: Callable[[], T]) -> T:
    """Run ``job`` in a thread. A cancelled caller waits for it, since it holds a lock for it."""
    # no task: those are all cancelled when a loop is closed
    future = asyncio.get_running_loop().run_in_executor(None, job)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        future.exception()  # the caller is gone; nobody else would look
        raise
