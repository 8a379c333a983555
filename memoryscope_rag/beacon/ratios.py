"""Which ratio a window has. Pure functions; a window's draw depends on its number alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

from memoryscope_rag.beacon.settings import BeaconSettings


def history_ratio(settings: BeaconSettings, tokens: int, capacity: int) -> int | None:
    """The ratio for a whole history that begins with a call of ``tokens`` tokens.

    ``None`` where each window has a ratio of its own.
    """
    candidates = settings.candidates
    if len(candidates) == 1 or settings.mix == "instance-random":
        return random.Random(settings.seed).choice(candidates)
    if settings.mix == "adapt":
        wanted = tokens + settings.adapt_margin
        ordered = sorted(candidates)
        enough = (r for r in ordered if longest_history(settings.window, r, capacity) >= wanted)
        return next(enough, ordered[-1])
    return None


def window_ratio(settings: BeaconSettings, window: int) -> int:
    """The ratio of the window with the number ``window`` where each has its own."""
    candidates = settings.candidates
    if settings.mix == "sequence":
        return candidates[window % len(candidates)]
    return random.Random(f"{settings.seed}:{window}").choice(candidates)


def longest_history(window: int, ratio: int, capacity: int) -> int:
    """Raw tokens that fit a model of ``capacity`` positions: ``(P - w) * ratio + w``.

    Activation Beacon's own bound (arXiv 2401.03462, §3.3); it leaves the beacons of the window
    that is being read out of account, which :func:`~memoryscope_rag.beacon.plan.plan` does not.
    """
    return (capacity - window) * max(1, ratio) + window


def higher(settings: BeaconSettings, ratio: int) -> Sequence[int]:
    """Ratios above ``ratio`` that a window could have, lowest first."""
    powers = [2**power for power in range(1, 16)]
    usable = {r for r in (*settings.candidates, *powers) if r and settings.window % r == 0}
    return sorted(r for r in usable if r > ratio and r <= settings.window)


def training_ratios(
    candidates: Sequence[int], windows: int, draws: random.Random
) -> tuple[int, ...]:
    """A ratio for each of ``windows`` windows of a training sample, drawn one by one.

    0, which keeps a window's raw rows, comes at most once, and only before a window with beacons:
    the last window has none, as nothing would attend to them (§3.2 there).
    """
    beacons = [ratio for ratio in candidates if ratio]
    chosen: list[int] = []
    for window in range(windows):
        last = window >= windows - 2
        chosen.append(draws.choice(beacons if last or 0 in chosen else list(candidates)))
    return tuple(chosen)
