"""Colours for light and for dark surroundings."""

from __future__ import annotations

import math
from dataclasses import dataclass

from matplotlib.colors import to_hex, to_rgb


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours as ``#rrggbb``; ``close`` is of rows kept one by one, ``far`` of 64 to one."""

    name: str
    paper: str
    ink: str
    faint: str
    band: str
    close: str
    far: str
    tail: str
    attention: str
    clue: str

    def of_ratio(self, ratio: int) -> str:
        """The colour of a block that keeps one row for ``ratio`` tokens."""
        share = min(1.0, math.log2(max(1, ratio)) / 6)
        near, far = to_rgb(self.close), to_rgb(self.far)
        red, green, blue = ((1 - share) * a + share * b for a, b in zip(near, far, strict=True))
        return to_hex((red, green, blue))

    def on(self, colour: str) -> str:
        """White or black, whichever is legible on ``colour``."""
        red, green, blue = to_rgb(colour)
        return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "#ffffff"


LIGHT = Theme(
    name="light",
    paper="#ffffff",
    ink="#1c232b",
    faint="#66717d",
    band="#eef1f5",
    close="#08407e",
    far="#c9def2",
    tail="#1f9d8a",
    attention="#d2691e",
    clue="#6b3fa0",
)
DARK = Theme(
    name="dark",
    paper="#15191e",
    ink="#e8ecf0",
    faint="#98a3af",
    band="#20262d",
    close="#9accff",
    far="#24405e",
    tail="#3cc7b0",
    attention="#f0944d",
    clue="#b794f0",
)
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}
