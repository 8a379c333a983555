"""One run of a benchmark: figures by system, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Report:
    """``systems``: metrics by system; ``categories``: the same by system and question category.

    ``n`` counts the questions. ``notes`` say what a reader must know, such as that the shipped
    weights were fitted on this very file.
    """

    benchmark: str
    data: str
    embedder: str
    n: int
    systems: Mapping[str, Figures]
    categories: Mapping[str, Mapping[str, Figures]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The report as one JSON object."""
        return json.dumps(
            {
                "benchmark": self.benchmark,
                "data": self.data,
                "embedder": self.embedder,
                "n": self.n,
                "systems": {name: _rounded(row) for name, row in self.systems.items()},
                "categories": {
                    name: {category: _rounded(row) for category, row in rows.items()}
                    for name, rows in self.categories.items()
                },
                "notes": list(self.notes),
            },
            indent=2,
            ensure_ascii=False,
        )

    def table(self) -> str:
        """The figures as text: a row a system, then a row a category of the first system."""
        lines = [f"{self.benchmark}  {self.data}  {self.embedder}  n={self.n}", ""]
        lines += _grid(list(self.systems.items()))
        for name, rows in self.categories.items():
            lines += ["", f"{name} by category", *_grid(sorted(rows.items()))]
        lines += ["", *self.notes] if self.notes else []
        return "\n".join(lines)


def side_by_side(reports: Mapping[str, Report]) -> Report:
    """One report of several runs on the same data, each system named after its run.

    What stands first gives the name of the data and the number of questions.
    """
    first = next(iter(reports.values()))
    names = {
        (run, system): f"{system}, {run}"
        for run, each in reports.items()
        for system in each.systems
    }
    order = sorted(names, key=lambda name: list(first.systems).index(name[1]))
    return Report(
        benchmark=first.benchmark,
        data=first.data,
        embedder=first.embedder,
        n=first.n,
        systems={names[key]: reports[key[0]].systems[key[1]] for key in order},
        notes=tuple(f"{run}: {note}" for run, each in reports.items() for note in each.notes),
    )


def _rounded(row: Figures) -> dict[str, float]:
    return {name: round(value, 4) for name, value in row.items()}


def _grid(rows: Sequence[tuple[str, Figures]]) -> list[str]:
    metrics = list(dict.fromkeys(name for _, row in rows for name in row))
    first = max((len(name) for name, _ in rows), default=0)
    width = {name: max(len(name), 6) for name in metrics}
    lines = [" " * first + "".join(f"  {name:>{width[name]}}" for name in metrics)]
    for name, row in rows:
        cells = (f"  {_cell(metric, row):>{width[metric]}}" for metric in metrics)
        lines.append(f"{name:<{first}}" + "".join(cells))
    return lines


def _cell(metric: str, row: Figures) -> str:
    if metric not in row:
        return "-"
    value = row[metric]
    return f"{value:.0f}" if metric == "n" else f"{value:.3f}"
