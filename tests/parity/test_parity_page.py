"""docs/parity.md names every row of the list, and the tests that it names are there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "parity.md"
MEMORYSCOPE = {
    "A": 15,
    "B": 10,
    "C": 6,
    "D": 10,
    "E": 13,
    "F": 8,
    "G": 4,
    "H": 8,
    "I": 6,
    "J": 5,
    "K": 6,
    "L": 4,
    "M": 1,
    "N": 4,
    "O": 5,
}
MEMORAG = {"P": 22, "N": 23}
ABOUT_MEMORAG = ("tests/beacon", "tests/documents", "tests/clues")
"""Folders whose tests are named after rows of MemoRAG's list; elsewhere they are of the other."""


@dataclass(frozen=True)
class Part:
    """One half of the page: its rows, what is written of each, the tests of its side."""

    rows: tuple[str, ...]
    written: Mapping[str, str]
    tests: frozenset[str]

    def rows_of(self, test: str) -> set[str]:
        """The rows that a test is named after."""
        letters = "".join({row[0].lower() for row in self.rows})
        named = re.match(rf"test_((?:[{letters}]\d+_)+)", test)
        return set(named[1].upper().strip("_").split("_")) if named else set()


def _part(heading: str, sections: Mapping[str, int], *, memorag: bool) -> Part:
    page = PAGE.read_text("utf-8").partition(f"# Parity with {heading}\n")[2]
    page = page.partition("\n# Parity with ")[0]
    found = re.findall(r"^\| ([A-Z]\d+) \| [^|]+ \| ([^|]+) \|$", page, re.M)
    names = [name for name, _ in found]
    assert sorted(names) == sorted(set(names)), "a row stands twice"
    tests = set()
    for path in chain((ROOT / "tests").rglob("*.py"), (ROOT / "memoryscope_rag").rglob("*.py")):
        if path.relative_to(ROOT).as_posix().startswith(ABOUT_MEMORAG) == memorag:
            tests |= set(
                re.findall(r"^ *(?:async )?def (test_\w+)\(", path.read_text("utf-8"), re.M)
            )
    rows = tuple(
        f"{letter}{number}" for letter, n in sections.items() for number in range(1, n + 1)
    )
    return Part(rows, dict(found), frozenset(tests))


@pytest.fixture(scope="module", params=["MemoryScope", "MemoRAG"])
def part(request: pytest.FixtureRequest) -> Part:
    memorag = request.param == "MemoRAG"
    return _part(request.param, MEMORAG if memorag else MEMORYSCOPE, memorag=memorag)


def test_every_row_stands_on_the_page(part: Part) -> None:
    assert sorted(part.written) == sorted(part.rows)


def test_what_the_page_names_is_there(part: Part) -> None:
    for row, cell in part.written.items():
        for name in re.findall(r"`(test_\w+)`", cell):
            assert name in part.tests, f"docs/parity.md, {row}: there is no {name}"
            assert not (of := part.rows_of(name)) or row in of, f"{name} does not belong to {row}"
        for path in re.findall(r"`([\w.]+/[\w./]+)`", cell):
            assert (ROOT / path).exists(), f"docs/parity.md, {row}: there is no {path}"


def test_a_row_has_a_test_or_a_reason(part: Part) -> None:
    tested = set().union(*map(part.rows_of, part.tests))
    for row, cell in part.written.items():
        named = re.findall(r"`test_\w+`|`[\w.]+/[\w./]+`", cell)
        assert named or cell.startswith("**Not"), f"docs/parity.md, {row}: neither test nor reason"
        assert named or row not in tested, f"docs/parity.md, {row}: there are tests by now"


def test_tests_are_named_after_rows_that_exist(part: Part) -> None:
    for name in part.tests:
        assert part.rows_of(name) <= set(part.rows), f"{name}: no such row"
