"""The models that can be run here: MiniLM always, others where MEMORYSCOPE_MODELS has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memoryscope_rag.models.files import find_graph
from memoryscope_rag.models.onnx import OnnxEmbedder
from tests.conftest import MODELS


@pytest.fixture(scope="session")
def minilm() -> Iterator[OnnxEmbedder]:
    embedder = OnnxEmbedder.load(threads=2)
    yield embedder
    embedder.close()


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """As the suite's own, but once for all tests."""
    if not MODELS or not Path(MODELS).is_dir():
        pytest.skip("MEMORYSCOPE_MODELS names no folder of models")
    return Path(MODELS).resolve()


@pytest.fixture(scope="session")
def open_model(models_dir: Path) -> Iterator[Callable[[str], OnnxEmbedder]]:
    """Opens a preset of MEMORYSCOPE_MODELS, or skips the test."""
    opened: dict[str, OnnxEmbedder] = {}

    def opening(name: str) -> OnnxEmbedder:
        if find_graph(models_dir / name) is None:
            pytest.skip(f"{name} is not in MEMORYSCOPE_MODELS")
        if name not in opened:
            opened[name] = OnnxEmbedder.load(name, models_dir=models_dir, threads=2)
        return opened[name]

    yield opening
    for embedder in opened.values():
        embedder.close()
