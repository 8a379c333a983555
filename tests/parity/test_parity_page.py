"""docs/parity.md names every row of the list, and the tests that it names are there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "parity.md"
SECTIONS = {
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
ROWS = [f"{letter}{number}" for letter, n in SECTIONS.items() for number in range(1, n + 1)]
NAMED = re.compile(r"test_((?:[a-o]\d+_)+)")


def _written() -> dict[str, str]:
    """The last cell of every row, by its name."""
    found = re.findall(r"^\| ([A-Z]\d+) \| [^|]+ \| ([^|]+) \|$", PAGE.read_text("utf-8"), re.M)
    names = [name for name, _ in found]
    assert sorted(names) == sorted(set(names)), "a row stands twice"
    return dict(found)


def _tests() -> Iterator[str]:
    """The names of all tests, those of the store contract among them."""
    for path in chain((ROOT / "tests").rglob("*.py"), (ROOT / "memoryscope_rag").rglob("*.py")):
        yield from re.findall(r"^ *(?:async )?def (test_\w+)\(", path.read_text("utf-8"), re.M)


def _rows_of(test: str) -> set[str]:
    """The rows that a test is named after."""
    named = NAMED.match(test)
    return set(named[1].upper().strip("_").split("_")) if named else set()


@pytest.fixture(scope="module")
def written() -> Mapping[str, str]:
    return _written()


@pytest.fixture(scope="module")
def tests() -> set[str]:
    return set(_tests())


def test_every_row_stands_on_the_page(written: Mapping[str, str]) -> None:
    assert sorted(written) == sorted(ROWS)


def test_what_the_page_names_is_there(written: Mapping[str, str], tests: set[str]) -> None:
    for row, cell in written.items():
        for name in re.findall(r"`(test_\w+)`", cell):
            assert name in tests, f"docs/parity.md, {row}: there is no {name}"
            assert not _rows_of(name) or row in _rows_of(name), f"{name} does not belong to {row}"
        for path in re.findall(r"`([\w.]+/[\w./]+)`", cell):
            assert (ROOT / path).exists(), f"docs/parity.md, {row}: there is no {path}"


def test_a_row_has_a_test_or_a_reason(written: Mapping[str, str], tests: set[str]) -> None:
    tested = set().union(*map(_rows_of, tests))
    for row, cell in written.items():
        named = re.findall(r"`test_\w+`|`[\w.]+/[\w./]+`", cell)
        assert named or cell.startswith("**Not"), f"docs/parity.md, {row}: neither test nor reason"
        assert named or row not in tested, f"docs/parity.md, {row}: there are tests by now"


def test_tests_are_named_after_rows_that_exist(tests: set[str]) -> None:
    for name in tests:
        assert _rows_of(name) <= set(ROWS), f"{name}: no such row"
