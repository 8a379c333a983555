"""Timing several ways of doing something, each in its turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch

Work = Callable[[], object]


def median_seconds(work: Mapping[str, Work], rounds: int, device: torch.device) -> dict[str, float]:
    """Of each of ``work`` the median over ``rounds``, after one round that does not count.

    In a round all take their turn, so a machine that slows down slows down all of them.

    Args:
        device: where the work is done; waited for at both ends of each measurement.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds + 1):
        for name, do in work.items():
            _wait(device)
            started = time.perf_counter()
            do()
            _wait(device)
            seconds[name].append(time.perf_counter() - started)
    return {name: median(some[1:]) for name, some in seconds.items()}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
