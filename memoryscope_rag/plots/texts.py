"""Texts in a picture: what the fonts of this machine can draw, and what stands in for the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from html import escape

from matplotlib import font_manager

BASE = "DejaVu Sans"
"""Comes with matplotlib."""
WITH_HAN = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Noto Sans CJK JP",
    "Heiti TC",
    "STHeiti",
    "SimHei",
    "SimSun",
    "Droid Sans Fallback",
    "Arial Unicode MS",
    "Noto Sans CJK TC",
    "Noto Sans CJK KR",
)
"""Fonts with Chinese letters that systems bring, the best first."""
MISSING = "[…]"
"""Stands for letters that no font here has."""
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), " ")
_MARK = re.compile(r"\[text (\d+)\]")


def one_line(text: str, limit: int) -> str:
    """``text`` on one line, about ``limit`` columns wide; a Chinese letter takes two."""
    flat = " ".join(text.translate(_CONTROLS).split())
    width = 0
    for place, letter in enumerate(flat):
        width += 2 if ord(letter) >= 0x2E80 else 1
        if width > limit:
            return flat[:place].rstrip() + "…"
    return flat


def families() -> tuple[str, ...]:
    """The fonts of this machine to draw with, the first that has a letter."""
    installed = {entry.name for entry in font_manager.fontManager.ttflist}
    return (BASE, *[name for name in WITH_HAN if name in installed][:2])


def letters_of(names: Collection[str]) -> frozenset[int]:
    """The code points that one of these fonts has."""
    known: set[int] = set()
    for name in names:
        path = font_manager.findfont(name, fallback_to_default=False)
        known |= font_manager.get_font(path).get_charmap().keys()
    return frozenset(known)


@dataclass
class Drawn:
    """Texts for pixels: what no font has is replaced, and ``lacking`` says whether any was."""

    letters: frozenset[int]
    lacking: bool = False

    def __call__(self, text: str) -> str:
        """What to draw for ``text``."""
        if all(ord(letter) in self.letters for letter in text):
            return text
        self.lacking = True
        kept = "".join(letter if ord(letter) in self.letters else "\0" for letter in text)
        return re.sub("\0[\0 ]*", MISSING, kept)


@dataclass
class Written:
    """Texts for SVG, which the reader's fonts draw: marks now, the texts with :meth:`put_back`.

    matplotlib measures every text with the fonts of this machine and warns of letters that they
    lack, though it is not they that draw.
    """

    lacking: bool = False
    texts: list[str] = field(default_factory=list)

    def __call__(self, text: str) -> str:
        """The mark that stands for ``text``."""
        self.texts.append(text)
        return f"[text {len(self.texts) - 1}]"

    def put_back(self, svg: str) -> str:
        """``svg`` with its texts, escaped."""
        return _MARK.sub(lambda mark: escape(self.texts[int(mark[1])]), svg)


Wording = Callable[[str], str]
