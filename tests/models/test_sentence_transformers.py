"""Without the extra, loading says which one is missing."""

from __future__ import annotations

import importlib.util

import pytest

from memoryscope_rag.errors import MissingExtra
from memoryscope_rag.models.sentence_transformers import SentenceTransformersEmbedder


@pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is not None, reason="the extra is installed"
)
def test_missing_extra() -> None:
    with pytest.raises(MissingExtra, match=r"memoryscope-rag\[sentence-transformers\]"):
        SentenceTransformersEmbedder.load("any")
