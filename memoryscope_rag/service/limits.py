"""How much a caller may ask for: a token bucket a key, in each worker process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

REMEMBERED = 10_000
"""Callers whose buckets are kept; whoever was not seen for longest is full again."""


class RateLimit:
    """``burst`` requests at once, ``rate_per_s`` lasting, for every caller by itself."""

    def __init__(
        self, rate_per_s: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate_per_s, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> float:
        """Seconds until ``caller`` may ask again; 0 when this request may pass, and is counted."""
        now = self._clock()
        level, since = self._buckets.pop(caller, (float(self._burst), now))
        level = min(self._burst, level + (now - since) * self._rate)
        passes = level >= 1
        self._buckets[caller] = (level - passes, now)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return 0.0 if passes else (1 - level) / self._rate
