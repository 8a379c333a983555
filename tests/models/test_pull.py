"""Pulling is all or nothing, from a hub on loopback or from a folder."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from memoryscope_rag.errors import InvalidInput, ModelCorrupt, ModelError, ModelNotFound
from memoryscope_rag.models.files import locate, sha256_of
from memoryscope_rag.models.pull import pull
from memoryscope_rag.models.tokenizer import bert_uncased
from tests.models.hub import Hub, running

FREE = "multilingual-e5-small"  # has no pinned checksum, so any content will do
REPO = f"Xenova/{FREE}"
GRAPH = b"as if this were a graph " * 5000
TOKENIZER = bert_uncased().to_str().encode()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = {
        (REPO, "onnx/model_quantized.onnx"): GRAPH,
        (REPO, "tokenizer.json"): TOKENIZER,
        ("Xenova/e5-small-v2", "onnx/model_quantized.onnx"): GRAPH,
        ("Xenova/e5-small-v2", "tokenizer.json"): TOKENIZER,
    }
    with running(files) as server:
        # huggingface_hub reads HF_ENDPOINT and HF_HOME when it is imported.
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf-token"))
        harnesses = str(tmp_path / "harnesses.json")
        monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", harnesses, raising=False)
        yield server


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    models = tmp_path / "models"
    folder = pull(FREE, destination=models, progress=False)
    assert folder == models / FREE
    assert left_over(models) == [FREE]
    assert left_over(folder) == ["CHECKSUMS.json", "model_quantized.onnx", "tokenizer.json"]
    assert (folder / "model_quantized.onnx").read_bytes() == GRAPH
    record = json.loads((folder / "CHECKSUMS.json").read_text())["sha256"]
    assert record["model_quantized.onnx"] == sha256_of(folder / "model_quantized.onnx")
    assert locate(FREE, cache_dir=models).graph == folder / "model_quantized.onnx"


def test_a_second_pull_asks_nothing(hub: Hub, tmp_path: Path) -> None:
    pull(FREE, destination=tmp_path, progress=False)
    hub.requests.clear()
    pull(FREE, destination=tmp_path, progress=False)
    assert hub.requests == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_only_when_asked_for(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    pull(FREE, destination=tmp_path / "a", progress=False)
    assert terminal.getvalue() == ""
    pull(FREE, destination=tmp_path / "b", progress=True)
    assert "100%" in terminal.getvalue()


def test_a_damaged_file_is_pulled_again(hub: Hub, tmp_path: Path) -> None:
    folder = pull(FREE, destination=tmp_path, progress=False)
    (folder / "model_quantized.onnx").write_bytes(GRAPH[:100])
    pull(FREE, destination=tmp_path, progress=False)
    assert (folder / "model_quantized.onnx").read_bytes() == GRAPH
    assert not [name for name in left_over(tmp_path) if name.startswith(".")]


def test_what_was_recorded_first_stays_the_measure(hub: Hub, tmp_path: Path) -> None:
    folder = pull(FREE, destination=tmp_path, progress=False)
    (folder / "model_quantized.onnx").write_bytes(b"damaged")
    hub.files[(REPO, "onnx/model_quantized.onnx")] = b"another model"
    with pytest.raises(ModelCorrupt, match="recorded at the first pull"):
        pull(FREE, destination=tmp_path, progress=False)
    assert (folder / "model_quantized.onnx").read_bytes() == b"damaged"


def test_a_wrong_checksum(hub: Hub, tmp_path: Path) -> None:
    models = tmp_path / "models"
    with pytest.raises(ModelCorrupt, match="pinned for e5-small-v2") as caught:
        pull("e5-small-v2", destination=models, progress=False)
    assert "7d9092cb" in str(caught.value)
    assert left_over(models) == []


def test_a_file_that_the_hub_lacks(hub: Hub, tmp_path: Path) -> None:
    del hub.files[(REPO, "tokenizer.json")]
    with pytest.raises(ModelNotFound, match=r"no tokenizer\.json in Xenova"):
        pull(FREE, destination=tmp_path / "models", progress=False)
    assert left_over(tmp_path / "models") == []


def test_a_repository_that_the_hub_lacks(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="bge-small-zh"):
        pull("bge-small-zh-v1.5", destination=tmp_path / "models", progress=False)
    assert left_over(tmp_path / "models") == []


def test_a_connection_that_drops_once_is_resumed(hub: Hub, tmp_path: Path) -> None:
    hub.drop_once.add("onnx/model_quantized.onnx")
    folder = pull(FREE, destination=tmp_path, progress=False)
    assert (folder / "model_quantized.onnx").read_bytes() == GRAPH
    gets = [path for method, path in hub.requests if method == "GET" and "onnx" in path]
    assert len(gets) == 2


def test_a_connection_that_ends_early(hub: Hub, tmp_path: Path) -> None:
    hub.short.add("onnx/model_quantized.onnx")
    with pytest.raises(ModelError, match="failed") as caught:
        pull(FREE, destination=tmp_path / "models", progress=False)
    assert caught.value.retryable
    assert left_over(tmp_path / "models") == []


def test_a_hub_that_is_not_there(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # or it would try for half a minute
    with pytest.raises(ModelError, match="MEMORYSCOPE_MODELS") as caught:
        pull(FREE, destination=tmp_path / "models", progress=False)
    assert caught.value.retryable
    assert left_over(tmp_path / "models") == []


def test_an_interrupted_pull(hub: Hub, tmp_path: Path) -> None:
    hub.interrupting.add("onnx/model_quantized.onnx")
    with pytest.raises(KeyboardInterrupt):
        pull(FREE, destination=tmp_path / "models", progress=False)
    assert left_over(tmp_path / "models") == []


def test_a_hub_in_trouble(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)  # huggingface_hub waits between its tries
    hub.broken.add("tokenizer.json")
    with pytest.raises(ModelError) as caught:
        pull(FREE, destination=tmp_path / "models", progress=False)
    assert caught.value.retryable
    assert left_over(tmp_path / "models") == []


def test_the_environment_names_the_hub(hub: Hub, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from memoryscope_rag.models.pull import pull\n"
        f"pull({FREE!r}, destination=pathlib.Path(sys.argv[1]), progress=False)"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", code, str(tmp_path / "models")]
    subprocess.run(command, check=True, cwd=root, env=environment)
    assert left_over(tmp_path / "models") == [FREE]


@pytest.mark.parametrize("below", ["", FREE])
def test_from_a_folder(tmp_path: Path, below: str) -> None:
    source = tmp_path / "source" / below
    (source / "onnx").mkdir(parents=True)
    (source / "onnx" / "model_quantized.onnx").write_bytes(GRAPH)
    with pytest.raises(ModelNotFound, match=r"tokenizer\.json"):
        pull(FREE, destination=tmp_path / "models", source_folder=tmp_path / "source")
    (source / "tokenizer.json").write_bytes(TOKENIZER)
    folder = pull(FREE, destination=tmp_path / "models", source_folder=tmp_path / "source")
    assert left_over(tmp_path / "models") == [FREE]
    assert locate(FREE, cache_dir=tmp_path / "models").graph.parent == folder
    with pytest.raises(ModelNotFound, match="no model e5-small-v2"):
        pull("e5-small-v2", destination=tmp_path / "models", source_folder=tmp_path / "empty")


def test_the_default_is_there_already(tmp_path: Path) -> None:
    folder = pull("all-minilm-l6-v2", destination=tmp_path / "models")
    assert (folder / "model.onnx").is_file()
    assert left_over(tmp_path / "models") == []


def test_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"e5-small-v2.*multilingual"):
        pull("e5-smal", destination=tmp_path)
    assert left_over(tmp_path) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ModelError, match="cannot write"):
        pull(FREE, destination=tmp_path / "file", source_folder=tmp_path)
