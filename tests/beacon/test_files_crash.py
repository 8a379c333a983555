"""A save that is cut off anywhere leaves the memory of before or the new one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from memoryscope_rag.beacon.files.gist_files import read_gists
from memoryscope_rag.beacon.files.manifest import MANIFEST
from memoryscope_rag.beacon.files.state_files import save_state
from memoryscope_rag.beacon.files.stored_state import open_state
from memoryscope_rag.errors import StoreUnavailable
from tests.beacon.savers import (
    MAKER,
    after,
    context,
    save_gists_on_and_on,
    save_on_and_on,
    started,
)

KILLS = 100
SLOWEST = 0.08
"""Seconds from a child's first save to its death, at most."""


@pytest.mark.slow
def test_n6_a_hundred_kills_leave_a_whole_memory(tmp_path: Path) -> None:
    random = Random(6)
    folder = tmp_path / "m"
    orphans = 0
    for number in range(KILLS):
        if number % 10 == 0:  # a long memory takes long to compare
            folder = tmp_path / f"m{number}"
        ours, theirs = context().Pipe(duplex=False)
        child = started(save_on_and_on, folder, theirs)
        theirs.close()
        told = ours.recv()
        child.join(random.uniform(0, SLOWEST))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        told = max([told, *_rest(ours)])
        stored = open_state(folder, MAKER)
        assert stored is not None
        assert told <= stored.generation <= told + 1
        assert stored.load().checksum() == after(stored.generation).checksum()
        orphans += len({path.name for path in folder.iterdir()} - stored.memory.names) - 1
    assert orphans > KILLS // 10  # not all of them fell between two saves
    last = save_state(folder, after(3), MAKER)
    assert {path.name for path in folder.iterdir()} == {MANIFEST, *last.memory.names}


@pytest.mark.slow
def test_p16_killed_anywhere_a_memory_has_all_its_gists(tmp_path: Path) -> None:
    random = Random(16)
    orphans = 0
    for number in range(KILLS // 4):
        folder = tmp_path / f"m{number}"
        folder.mkdir()
        ours, theirs = context().Pipe(duplex=False)
        child = started(save_gists_on_and_on, folder, theirs)
        theirs.close()
        ours.recv()
        child.join(random.uniform(0, SLOWEST))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        ours.close()
        stored = open_state(folder, MAKER)
        assert stored is not None
        state = stored.load()
        assert len(read_gists(folder, state)) == len(state.spans)
        orphans += len({path.name for path in folder.glob("gist-*")} - stored.memory.names)
        save_state(folder, state, MAKER, "fp32")
        assert {path.name for path in folder.iterdir()} == {MANIFEST, *stored.memory.names}
    assert orphans  # not all of them fell between two saves


def _rest(pipe: Any) -> Iterator[int]:
    try:
        while True:
            yield pipe.recv()
    except EOFError:
        pipe.close()


class _DiskFullError(OSError):
    pass


def _failing_at(
    monkeypatch: pytest.MonkeyPatch, place: int, error: Callable[[], BaseException]
) -> list[str]:
    """Let the call number ``place`` of those that change a disk fail; the names of the calls."""
    calls: list[str] = []

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def calling(*arguments: Any, **named: Any) -> Any:
            calls.append(name)
            if len(calls) == place + 1:
                raise error()
            return call(*arguments, **named)

        return calling

    for name in ("open", "fsync", "replace", "unlink"):
        monkeypatch.setattr(os, name, wrapped(name, getattr(os, name)))
    return calls


@pytest.mark.parametrize("error", [KeyboardInterrupt, _DiskFullError])
def test_n6_a_failure_of_any_call_leaves_a_whole_memory(
    error: type[BaseException], tmp_path: Path
) -> None:
    outcomes: set[int] = set()
    place = 0
    while True:
        folder = tmp_path / str(place)
        save_state(folder, after(12), MAKER, "fp32")
        with pytest.MonkeyPatch.context() as patch:
            calls = _failing_at(patch, place, error)
            with suppress(KeyboardInterrupt, StoreUnavailable):
                save_state(folder, after(14), MAKER, "fp32")
        stored = open_state(folder, MAKER)
        assert stored is not None
        outcomes.add(stored.generation)
        wanted = after(12 if stored.generation == 1 else 14)
        assert stored.load().checksum() == wanted.checksum()
        last = save_state(folder, after(15), MAKER, "fp32")
        assert last.load().checksum() == after(15).checksum()
        assert {path.name for path in folder.iterdir()} == {*last.memory.names, MANIFEST}
        if place >= len(calls):
            break
        place += 1
    assert outcomes == {1, 2}
    assert {"open", "fsync", "replace", "unlink"} <= set(calls)
