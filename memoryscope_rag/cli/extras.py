"""The extras of this package as its own metadata declare them, and whether they are installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version

PACKAGE = "memoryscope-rag"


@dataclass(frozen=True, slots=True)
class Extra:
    """``found`` is what is installed of it, with versions; ``wrong`` is missing or does not fit."""

    name: str
    found: tuple[str, ...]
    wrong: tuple[str, ...]


def extras() -> Iterator[Extra]:
    """By name; none where this package runs without being installed."""
    from packaging.requirements import Requirement

    try:
        ours = distribution(PACKAGE)
    except PackageNotFoundError:
        return
    wanted = [Requirement(line) for line in ours.requires or ()]
    for name in sorted(ours.metadata.get_all("Provides-Extra") or ()):
        found: list[str] = []
        wrong: list[str] = []
        for each in wanted:
            marker = each.marker
            if marker is None or marker.evaluate({"extra": ""}):
                continue  # everybody needs it
            if marker.evaluate({"extra": name}):
                here = _version(each.name)
                fits = here is not None and each.specifier.contains(here, prereleases=True)
                told = each.name if here is None else f"{each.name} {here}"
                (found if fits else wrong).append(told)
        yield Extra(name, tuple(found), tuple(wrong))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
