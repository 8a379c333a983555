"""A sheet measured in inches from its upper left corner, and the few things drawn on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle

from memoryscope_rag.plots.texts import Wording
from memoryscope_rag.plots.themes import Theme

Align = Literal["left", "center", "right"]


class Canvas:
    """Draw top down with :attr:`y`, then ask for the figure, which is as high as was needed."""

    def __init__(self, width: float, theme: Theme, fonts: tuple[str, ...], wording: Wording):
        self.width = width
        self.theme = theme
        self.y = 0.0
        self._fonts = list(fonts)
        self._wording = wording
        self._figure = Figure(facecolor=theme.paper)
        self._axes = self._figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()

    def figure(self) -> Figure:
        """All of it, down to :attr:`y`."""
        self._figure.set_size_inches(self.width, self.y)
        self._axes.set_xlim(0, self.width)
        self._axes.set_ylim(self.y, 0)
        return self._figure

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 9,
        colour: str | None = None,
        bold: bool = False,
        align: Align = "left",
    ) -> None:
        """``text`` in points of ``size``, its middle at height ``y``.

        ``bold`` is for plain letters: fonts with others are often there in one weight only.
        """
        self._axes.text(
            x,
            y,
            self._wording(text),
            fontsize=size,
            color=colour or self.theme.ink,
            fontweight="bold" if bold else "normal",
            fontfamily=self._fonts[:1] if bold else self._fonts,
            horizontalalignment=align,
            verticalalignment="center_baseline",
            parse_math=False,
            zorder=4,
        )

    def boxes(
        self,
        boxes: Iterable[tuple[float, float, float, float]],
        *,
        fill: str | None = None,
        edge: str | None = None,
        hatch: str | None = None,
        layer: float = 1,
    ) -> None:
        """Boxes given as (left, top, right, bottom), all alike."""
        corners = [((x, y), (u, y), (u, v), (x, v)) for x, y, u, v in boxes]
        self._axes.add_collection(
            PolyCollection(
                corners,
                facecolors=fill or "none",
                edgecolors=edge or "none",
                hatch=hatch,
                linewidths=0.6,
                zorder=layer,
            ),
            autolim=False,
        )

    def swatch(self, x: float, y: float, *, fill: str | None, edge: str, hatch: str | None) -> None:
        """A small box of a legend, its middle at height ``y``."""
        self._axes.add_patch(
            Rectangle(
                (x, y - 0.07), 0.22, 0.14, facecolor=fill or "none", edgecolor=edge, hatch=hatch,
                linewidth=0.6, zorder=2,
            )
        )  # fmt: skip

    def line(
        self,
        xs: tuple[float, float],
        ys: tuple[float, float],
        *,
        colour: str,
        width: float = 0.8,
    ) -> None:
        """A straight line."""
        self._axes.add_line(Line2D(xs, ys, color=colour, linewidth=width, zorder=2))

    def disc(self, x: float, y: float, radius: float, *, fill: str | None, edge: str) -> None:
        """A circle, hollow without ``fill``."""
        self._axes.add_patch(
            Circle((x, y), radius, facecolor=fill or self.theme.paper, edgecolor=edge, zorder=3)
        )
