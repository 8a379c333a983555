"""A picture of a beacon memory as the bytes of a file."""

from __future__ import annotations

import importlib.util
import io
from datetime import tzinfo
from typing import TYPE_CHECKING, Literal, get_args

from memoryscope_rag.errors import MissingExtra

if TYPE_CHECKING:
    from memoryscope_rag.plots.memory_map import MemoryMap
    from memoryscope_rag.plots.themes import Theme

Form = Literal["svg", "html", "png"]
FORMS: tuple[Form, ...] = get_args(Form)
DOTS = 144
"""Of a PNG, an inch."""


def render(shown: MemoryMap, form: Form, *, zone: tzinfo, dark: bool = False) -> bytes:
    """The picture of ``shown``, dates in ``zone``.

    An SVG leaves its texts to the reader's fonts. HTML holds the picture for light and for dark
    surroundings and the same in tables; it runs nothing and asks no other host.

    Raises MissingExtra without matplotlib.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtra("plots", "a picture of a memory")

    from memoryscope_rag.plots.themes import DARK, LIGHT

    if form == "html":
        from memoryscope_rag.plots.page import page

        return page(shown, _svg(shown, zone, LIGHT), _svg(shown, zone, DARK), zone).encode()
    theme = DARK if dark else LIGHT
    return _png(shown, zone, theme) if form == "png" else _svg(shown, zone, theme).encode()


def _svg(shown: MemoryMap, zone: tzinfo, theme: Theme) -> str:
    from matplotlib import rc_context

    from memoryscope_rag.plots.figure import draw
    from memoryscope_rag.plots.texts import Written, families

    wording, file = Written(), io.StringIO()
    # "none" keeps texts as texts; ids that come from a salt are the same every time
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "memoryscope-rag"}):
        figure = draw(shown, zone=zone, theme=theme, fonts=families(), wording=wording)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing)
    svg = file.getvalue()
    return wording.put_back(svg[svg.index("<svg") :])


def _png(shown: MemoryMap, zone: tzinfo, theme: Theme) -> bytes:
    from memoryscope_rag.plots.figure import draw
    from memoryscope_rag.plots.texts import Drawn, families, letters_of

    fonts, file = families(), io.BytesIO()
    wording = Drawn(letters_of(fonts))
    figure = draw(shown, zone=zone, theme=theme, fonts=fonts, wording=wording)
    figure.savefig(file, format="png", dpi=DOTS)
    return file.getvalue()
