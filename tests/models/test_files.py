"""Finding a model's files, and refusing the wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memoryscope_rag.errors import InvalidInput, ModelCorrupt, ModelError, ModelNotFound
from memoryscope_rag.models.files import find_graph, locate, sha256_of
from memoryscope_rag.models.onnx import OnnxEmbedder
from memoryscope_rag.models.presets import PRESETS, ModelOptions, find_preset, preset_with
from memoryscope_rag.models.tokenizer import bert_uncased


def model_folder(folder: Path, graph: str = "model.onnx", content: bytes = b"no graph") -> Path:
    (folder / graph).parent.mkdir(parents=True)
    (folder / graph).write_bytes(content)
    bert_uncased().save(str(folder / "tokenizer.json"))
    return folder


def test_the_table() -> None:
    for name, preset in PRESETS.items():
        assert preset.name == name
        assert (preset.repo is None) == (preset.package is not None)
        assert preset.sha256 is None or preset_with(preset.sha256) is preset
    assert PRESETS["multilingual-e5-small"].sha256 is None


def test_unknown_names() -> None:
    with pytest.raises(InvalidInput, match=r"did you mean 'e5-small-v2'.*bge-small-zh"):
        locate("e5-smal-v2")
    with pytest.raises(InvalidInput, match="known: all-minilm-l6-v2"):
        find_preset("gpt")
    with pytest.raises(ModelNotFound, match="no such file or folder"):
        locate("/nowhere/at/all")
    with pytest.raises(ModelNotFound, match="no such file or folder"):
        locate(Path("nowhere"))


def test_a_missing_preset_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        OnnxEmbedder.load("e5-small-v2", models_dir=tmp_path / "m", cache_dir=tmp_path / "c")
    message = str(caught.value)
    assert "memoryscope-rag models pull e5-small-v2" in message
    assert "MEMORYSCOPE_MODELS" in message
    assert str(tmp_path / "m" / "e5-small-v2") in message
    assert not caught.value.retryable


def test_another_file_under_the_name_is_refused(tmp_path: Path) -> None:
    graph = model_folder(tmp_path / "e5-small-v2", "onnx/model_quantized.onnx")
    with pytest.raises(ModelCorrupt) as caught:
        OnnxEmbedder.load("e5-small-v2", models_dir=tmp_path)
    message = str(caught.value)
    assert "model_quantized.onnx" in message
    assert str(PRESETS["e5-small-v2"].sha256) in message
    assert sha256_of(graph / "onnx" / "model_quantized.onnx") in message


def test_one_changed_byte_is_refused(tmp_path: Path) -> None:
    content = bytearray(locate("all-minilm-l6-v2").graph.read_bytes())
    content[len(content) // 2] ^= 1
    model_folder(tmp_path / "all-minilm-l6-v2", content=bytes(content))
    with pytest.raises(ModelCorrupt, match="pinned for all-minilm-l6-v2"):
        OnnxEmbedder.load(models_dir=tmp_path)


def test_the_folder_of_models_comes_before_the_package(tmp_path: Path) -> None:
    folder = tmp_path / "all-minilm-l6-v2"
    folder.mkdir()
    package = locate("all-minilm-l6-v2", models_dir=tmp_path, cache_dir=tmp_path)
    assert package.tokenizer is None
    (folder / "model.onnx").symlink_to(package.graph)
    assert locate("all-minilm-l6-v2", models_dir=tmp_path).graph == folder / "model.onnx"


@pytest.mark.parametrize(
    "graph", ["model_int8.onnx", "model.onnx", "onnx/model_quantized.onnx", "onnx/model.onnx"]
)
def test_accepted_names(tmp_path: Path, graph: str) -> None:
    folder = model_folder(tmp_path / "m", graph)
    assert find_graph(folder) == folder / graph
    for path in (folder, folder / graph):
        assert locate(path).tokenizer == folder / "tokenizer.json"


def test_a_folder_of_models_dir_by_its_name(tmp_path: Path) -> None:
    model_folder(tmp_path / "ours-v1.5")
    assert locate("ours-v1.5", models_dir=tmp_path).preset is None
    with pytest.raises(InvalidInput, match="pooling"):
        OnnxEmbedder.load("ours-v1.5", models_dir=tmp_path)


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelCorrupt, match=r"model\.onnx is no ONNX graph"):
        OnnxEmbedder.load(model_folder(tmp_path / "m"), options=ModelOptions("mean"))


def test_incomplete_folders(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no model in"):
        locate(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(ModelNotFound, match=r"no tokenizer\.json"):
        locate(tmp_path)


def test_a_recorded_checksum_is_checked(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "multilingual-e5-small")
    record = {"tokenizer.json": sha256_of(folder / "tokenizer.json")}
    (folder / "CHECKSUMS.json").write_text(json.dumps({"sha256": record}))
    assert locate("multilingual-e5-small", models_dir=tmp_path).sha256
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelCorrupt, match=r"tokenizer\.json is not the file that was pulled"):
        locate("multilingual-e5-small", models_dir=tmp_path)
    (folder / "CHECKSUMS.json").write_text("[]")
    with pytest.raises(ModelCorrupt, match=r"CHECKSUMS\.json"):
        locate("multilingual-e5-small", models_dir=tmp_path)


def test_an_unreadable_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read"):
        sha256_of(tmp_path)
