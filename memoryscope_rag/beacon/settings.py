"""How a history is cut into windows and how its beacons are placed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from memoryscope_rag.errors import ConfigError

Mix = Literal["step-random", "instance-random", "sequence", "adapt"]
Placement = Literal["interleave", "append"]
Pattern = Literal["full-coverage", "step-expansion", "segmentation"]
_SIZES = ("sink_size", "skip_first", "parallel_windows", "adapt_margin")


@dataclass(frozen=True, slots=True, kw_only=True)
class BeaconSettings:
    """Settings of Activation Beacon (arXiv 2401.03462, §3), by its own names where it has any.

    Attributes:
        window: raw tokens a window.
        ratios: raw tokens a beacon. Of several, ``mix`` picks one for each window; those that do
            not divide ``window`` are left out. 0 keeps the raw rows.
        mix: ``step-random``: drawn for each window; ``instance-random``: once for a history;
            ``sequence``: in turn; ``adapt``: once, the smallest that lets the model take the
            tokens of the first call and ``adapt_margin`` more.
        seed: of the draws. A window's draw depends on its number alone.
        placement: ``interleave``: a beacon after every ``ratio`` tokens; ``append``: all of them
            after the window's tokens.
        pattern: what a beacon attends to beside the memory. ``full-coverage``: all before it;
            ``step-expansion``: the raw tokens up to the end of its own unit; ``segmentation``:
            those of its own unit.
        attend_previous: whether a beacon attends to the window's beacons before it.
        sink_size: the rows of so many first tokens are copied when the first window is full and
            stay in front of everything (attention sinks, arXiv 2309.17453).
        skip_first: so many first tokens are never compressed.
        skip_last: tokens beyond so many are never compressed; ``None``: all are.
        parallel_windows: how many full windows go through the model in one call.
        when_full: beyond the model's length either an ``error``, or, as long as that helps, the
            next windows get a higher ratio of ``ratios``, or of 2, 4, 8, … (``raise-ratio``).
    """

    window: int = 2048
    ratios: tuple[int, ...] = (4,)
    mix: Mix = "step-random"
    adapt_margin: int = 1024
    seed: int = 42
    placement: Placement = "interleave"
    pattern: Pattern = "full-coverage"
    attend_previous: bool = True
    sink_size: int = 0
    skip_first: int = 0
    skip_last: int | None = None
    parallel_windows: int = 1
    when_full: Literal["error", "raise-ratio"] = "error"

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ConfigError(f"window is {self.window}, must be at least 1")
        for name in _SIZES:
            least = 1 if name == "parallel_windows" else 0
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, must be at least {least}")
        if not self.candidates:
            raise ConfigError(
                f"none of the ratios {list(self.ratios)} divides the window of {self.window} tokens"
            )
        if self.sink_size > self.window:
            raise ConfigError(f"sink_size is {self.sink_size}, more than the window {self.window}")
        if self.sink_size and self.skip_first:
            raise ConfigError("sink_size: tokens of skip_first are sinks already; set one of them")
        last = self.skip_last
        if last is not None and (last < self.skip_first or (last - self.skip_first) % self.window):
            raise ConfigError(
                f"skip_last is {last}, must be skip_first ({self.skip_first}) and a multiple of "
                f"the window ({self.window})"
            )

    @property
    def candidates(self) -> tuple[int, ...]:
        """The ratios that can be used with this window."""
        return tuple(
            ratio
            for ratio in self.ratios
            if ratio == 0 or (0 < ratio <= self.window and self.window % ratio == 0)
        )
