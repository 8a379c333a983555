"""Filters over JSON documents, and paths over namespaces."""

from __future__ import annotations

from typing import Any

import pytest

from memoryscope_rag.adapters.json_match import matches, matches_path
from memoryscope_rag.errors import InvalidInput

DOCUMENT = {"kind": "pet", "n": 3, "size": "2.5", "owner": {"name": "Ann"}, "tags": ["a", 1]}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, True),
        ({}, True),
        ({"kind": "pet"}, True),
        ({"kind": "pet", "n": 4}, False),
        ({"other": None}, True),
        ({"owner": {"name": "Ann"}}, True),
        ({"owner": {"name": {"$ne": "Bob"}, "age": None}}, True),
        ({"kind": {"name": "Ann"}}, False),
        ({"tags": ["a", 1]}, True),
        ({"tags": ("a", {"$gt": 0})}, True),
        ({"tags": ["a"]}, False),
        ({"kind": ["p", "e", "t"]}, False),
        ({"n": {"$gt": 2, "$lte": 3}}, True),
        ({"n": {"$gte": 3.5}}, False),
        ({"size": {"$lt": "3"}}, True),
        ({"kind": {"$lt": 3}}, False),
        ({"other": {"$gt": 0}}, False),
        ({"n": {"$eq": 3}, "kind": {"$ne": "plant"}}, True),
    ],
)
def test_a_document_matches_what_every_key_asks_for(wanted: Any, expected: bool) -> None:
    assert matches(DOCUMENT, wanted) is expected


def test_an_unknown_operator_and_a_bound_that_is_no_number_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'\$in' is unknown; .*\$eq"):
        matches(DOCUMENT, {"n": {"$in": [3]}})
    with pytest.raises(InvalidInput, match="numbers only"):
        matches(DOCUMENT, {"n": {"$gt": "many"}})


@pytest.mark.parametrize(
    ("match_type", "path", "expected"),
    [
        ("prefix", (), True),
        ("prefix", ("a",), True),
        ("prefix", ("*", "b"), True),
        ("prefix", ("b",), False),
        ("suffix", ("c",), True),
        ("suffix", ("b", "*"), True),
        ("suffix", ("a",), False),
        ("suffix", ("a", "b", "c", "d"), False),
    ],
)
def test_a_namespace_begins_or_ends_with_a_path(
    match_type: str, path: tuple[str, ...], expected: bool
) -> None:
    assert matches_path(("a", "b", "c"), match_type, path) is expected
