"""Cutting what is appended into calls of the model, before any is made. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from memoryscope_rag.beacon.ratios import higher, history_ratio, window_ratio
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.errors import ModelError


class Keeping(Protocol):
    """What a plan needs to know of a compressor."""

    @property
    def uses_beacons(self) -> bool: ...

    def rows(self, tokens: int, ratio: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Position:
    """Where a memory stands.

    Attributes:
        prefix: tokens that are never compressed, so far.
        windows: full windows.
        memory_rows: rows of the prefix, the sinks and the blocks.
        offset: raw tokens of the unfinished window.
        ratio: its ratio; ``None`` before its first token.
        fixed_ratio: the ratio of the whole history, where one was chosen.
    """

    prefix: int
    windows: int
    memory_rows: int
    offset: int
    ratio: int | None
    fixed_ratio: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """Tokens that go through the model together.

    Attributes:
        kind: ``prefix``: never compressed, before all windows; ``window``; ``rest``: after the
            last window, never compressed.
        offset: raw tokens of the window that were there before.
        count: tokens of this step.
        ratio: the window's; 0 otherwise.
        full: whether the window is full with it.
    """

    kind: Literal["prefix", "window", "rest"]
    offset: int
    count: int
    ratio: int
    full: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps, the ratio that was chosen for the whole history, and the most rows at any time."""

    steps: tuple[Step, ...]
    fixed_ratio: int | None
    peak: int


def plan(settings: BeaconSettings, keeping: Keeping, at: Position, new: int, capacity: int) -> Plan:
    """How ``new`` more tokens are read.

    Args:
        capacity: positions of the model.

    Raises:
        ModelError: they would need more positions than there are.
    """
    fixed = at.fixed_ratio
    if fixed is None and new:
        fixed = history_ratio(settings, new, capacity)
    rows, windows, offset, ratio = at.memory_rows, at.windows, at.offset, at.ratio
    steps: list[Step] = []
    peak = rows
    prefix = min(new, settings.skip_first - at.prefix)
    if prefix > 0:
        steps.append(Step("prefix", at.prefix, prefix, 0, False))
        rows += prefix
        peak, new = rows, new - prefix
    compressible = (
        None
        if settings.skip_last is None
        else (settings.skip_last - settings.skip_first) // settings.window
    )
    while new > 0:
        if compressible is not None and windows >= compressible:
            steps.append(Step("rest", offset, new, 0, False))
            peak = max(peak, rows + offset + new)
            break
        if ratio is None:
            ratio = window_ratio(settings, windows) if fixed is None else fixed
            if settings.when_full == "raise-ratio":
                ratio = _fitting(settings, keeping, ratio, capacity - rows)
        count = min(new, settings.window - offset)
        full = offset + count == settings.window
        steps.append(Step("window", offset, count, ratio, full))
        peak = max(peak, rows + _rows_in(settings, keeping, ratio, offset + count))
        new -= count
        offset = 0 if full else offset + count
        if full:
            rows += keeping.rows(settings.window, ratio)
            rows += settings.sink_size if windows == 0 else 0
            windows += 1
            ratio = None
    if peak > capacity:
        raise ModelError(
            f"the memory would take {peak} positions, but the model has {capacity}; use a higher "
            "ratio, when_full='raise-ratio', or a model with a longer context"
        )
    return Plan(tuple(steps), fixed, max(peak, rows))


def _rows_in(settings: BeaconSettings, keeping: Keeping, ratio: int, tokens: int) -> int:
    """Rows of a window of which ``tokens`` raw tokens were read."""
    if not ratio or not keeping.uses_beacons:
        return tokens
    if settings.placement == "append" and tokens < settings.window:
        return tokens
    return tokens + tokens // ratio


def _fitting(settings: BeaconSettings, keeping: Keeping, ratio: int, room: int) -> int:
    """``ratio`` or the lowest above it with which a window and what is kept of it fit ``room``."""
    for candidate in (ratio, *higher(settings, ratio)):
        if _rows_in(settings, keeping, candidate, settings.window) <= room:
            return candidate
    return ratio
