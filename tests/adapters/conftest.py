"""What the tests of adapters share, and which of them need a framework."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from memoryscope_rag import MemoryScope
from memoryscope_rag.testing.fakes import HashEmbedder
from tests.adapters.talking import INJECTION

HERE = {"test_json_match.py", "test_session_memory.py", "test_missing_extras.py"}
"""What needs no framework; the rest is collected where "make test-adapters" says so."""
collect_ignore = [
    path.name
    for path in Path(__file__).parent.glob("test_*.py")
    if path.name not in HERE and not os.environ.get("MEMORYSCOPE_TEST_ADAPTERS")
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryScope]:
    """An empty memory, to be lent."""
    with MemoryScope.open(tmp_path / "memory.db", embedder=HashEmbedder()) as memory:
        yield memory


@pytest.fixture
def with_cats(store: MemoryScope) -> MemoryScope:
    """A memory in which two users have told of their cats, one of them with bad intent."""
    store.record(f"My cat is called Otto {INJECTION}", scope="ann", session_id="before")
    store.record("My cat is called Mia", scope="bob", session_id="before")
    return store
