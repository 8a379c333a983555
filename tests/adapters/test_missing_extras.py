"""Without its framework an adapter names its extra, and the package asks for none of them."""

from __future__ import annotations

import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from memoryscope_rag.errors import MissingExtra
from tests.adapters.talking import ROOT
from tests.interpreter import modules_after

FRAMEWORKS = {
    "agent_framework": "agent_framework",
    "agentscope": "agentscope",
    "agentscope1": "agentscope",
    "autogen": "autogen_core",
    "langchain": "langchain_core",
    "langgraph": "langgraph",
    "llama_index": "llama_index",
    "openai_agents": "agents",
    "pydantic_ai": "pydantic_ai",
}
SHARED = {"__init__", "door", "json_match", "session_memory", "tools"}


@pytest.mark.parametrize("module", FRAMEWORKS)
def test_an_adapter_without_its_framework_names_the_extra(module: str) -> None:
    assert find_spec(FRAMEWORKS[module]) is None, "run this where no framework is installed"
    extra = module.replace("_", "-")
    with pytest.raises(MissingExtra, match=rf"memoryscope-rag\[{extra}\]"):
        import_module(f"memoryscope_rag.adapters.{module}")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert extra in extras["optional-dependencies"]


def test_every_adapter_has_an_extra_a_test_and_a_row_in_the_document() -> None:
    folder = ROOT / "memoryscope_rag" / "adapters"
    assert {path.stem for path in folder.glob("*.py")} - SHARED == set(FRAMEWORKS)
    document = (ROOT / "docs" / "adapters.md").read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for module in FRAMEWORKS:
        assert f"| `{module.replace('_', '-')}` | `{module}` |" in document
        assert (ROOT / "tests" / "adapters" / f"test_{module}.py").is_file()
        assert f" {module}" in makefile


def test_the_shared_part_loads_no_framework(tmp_path: Path) -> None:
    loaded = modules_after("import memoryscope_rag.adapters", tmp_path)
    assert not loaded & {*FRAMEWORKS.values(), "openai", "torch", "onnxruntime"}
