"""Files that are damaged, cut, forged, of another model or of a later version are refused."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import memoryscope_rag.beacon
from memoryscope_rag.beacon.files import manifest as manifest_file
from memoryscope_rag.beacon.files.maker import Maker
from memoryscope_rag.beacon.files.manifest import MANIFEST, REMEDY
from memoryscope_rag.beacon.files.state_files import remove_state, save_state
from memoryscope_rag.beacon.files.stored_state import open_state
from memoryscope_rag.errors import BeaconMismatch, SchemaTooNew, StoreCorrupt
from tests.beacon.random_states import ORIGIN, empty_state, grown

MAKER = Maker(ORIGIN, tokenizer="tttt", prompt="pppp")
STATE = grown(empty_state(), 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_state(tmp_path / "m", STATE, MAKER, "int8")
    return tmp_path / "m"


def _refused(folder: Path, named: Path | None = None) -> str:
    with pytest.raises(StoreCorrupt) as caught:
        open_state(folder, MAKER)
    told = str(caught.value)
    assert str(folder if named is None else named) in told
    assert REMEDY in told
    return told


def _rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest and give it the checksum that it should have."""
    path = folder / MANIFEST
    value = json.loads(path.read_text())
    change(value["memory"])
    value["sha256"] = manifest_file._seal(value["generation"], value["memory"])
    path.write_text(json.dumps(value))


def test_n6_any_flipped_bit_of_any_file_is_noticed(folder: Path) -> None:
    random = Random(3)
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        places = [0, 7, 8, len(data) - 2, *(random.randrange(len(data) - 1) for _ in range(20))]
        for place in places:
            changed = bytearray(data)
            changed[place] ^= 1 << random.randrange(8)
            path.write_bytes(changed)
            if path.name == MANIFEST:
                with pytest.raises((StoreCorrupt, SchemaTooNew)):
                    open_state(folder, MAKER)
            else:
                assert "checksum" in _refused(folder, path)
        path.write_bytes(data)
    assert open_state(folder, MAKER) is not None


def test_n6_a_file_that_was_cut_added_to_or_removed_is_named(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        for changed in (b"", data[:5], data[:-3], data + b"}"):
            path.write_bytes(changed)
            _refused(folder, path)
        path.unlink()
        if path.name == MANIFEST:
            assert open_state(folder, MAKER) is None
        else:
            assert "is missing" in _refused(folder, path)
        path.write_bytes(data)
    assert open_state(folder, MAKER) is not None


def test_n6_a_forged_file_is_refused(folder: Path) -> None:
    path = next(folder.glob("blocks-*"))
    tensors = load_file(path)
    tensors["0.keys"] = -tensors["0.keys"]
    size = path.stat().st_size
    save_file(tensors, path)
    assert path.stat().st_size == size
    assert "checksum" in _refused(folder, path)


@pytest.mark.parametrize("change", ["more", "fewer", "shape", "type"])
def test_n6_a_forged_file_with_a_forged_checksum_must_hold_what_is_said(
    folder: Path, change: str
) -> None:
    path = next(folder.glob("blocks-*"))
    tensors = load_file(path)
    if change == "more":
        tensors["0.code"] = tensors["0.ids"].clone()
    elif change == "fewer":
        del tensors["1.values"]
    elif change == "shape":
        tensors["0.keys"] = tensors["0.keys"][:, :, :2].contiguous()
    else:
        tensors["0.keys"] = tensors["0.keys"].float()
    path.unlink()
    forged = folder / "forged"
    save_file(tensors, forged)
    data = forged.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    path = forged.rename(folder / f"blocks-{sha256[:32]}.safetensors")
    _rewrite(folder, lambda memory: memory["files"][0].update(sha256=sha256, bytes=len(data)))
    assert "other tensors" in _refused(folder, path)


def test_n6_a_block_in_the_place_of_another_is_refused(folder: Path) -> None:
    def swapped(memory: dict[str, Any]) -> None:
        blocks = memory["files"][0]["blocks"]
        blocks[0]["digest"], blocks[1]["digest"] = blocks[1]["digest"], blocks[0]["digest"]

    _rewrite(folder, swapped)
    assert "does not follow" in _refused(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"layers": 0},
        {"layers": 60_000, "kv_heads": 60_000},
        {"head_dim": 1 << 60},
        {"encoding": "int2"},
        {"tail_ratio": -1},
        {"spans": [["a", 0, 5], ["b", 4, 6]]},
        {"spans": [["a", 0, 1 << 30]]},
        {"spans": [["a", 0]]},
        {"spans": [[1, 2, 3]]},
        {"files": None},
        {"files": []},
        {"code": "print()"},
    ],
)
def test_n6_a_manifest_that_makes_no_sense_is_refused(folder: Path, change: dict[str, Any]) -> None:
    _rewrite(folder, lambda memory: memory.update(change))
    _refused(folder)


@pytest.mark.parametrize(
    "change", [{"rows": 1 << 39, "tokens": 1 << 39}, {"rows": 99}, {"start": 1}, {"ratio": -1}]
)
def test_n6_a_block_that_makes_no_sense_is_refused(folder: Path, change: dict[str, int]) -> None:
    _rewrite(folder, lambda memory: memory["files"][0]["blocks"][2].update(change))
    _refused(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"format": "another"}'])
def test_n6_what_is_no_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    _refused(folder, folder / MANIFEST)


def test_n6_a_later_version_is_refused_and_never_written_over(folder: Path) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))
    before = path.read_bytes()
    with pytest.raises(SchemaTooNew, match="of version 2, this package reads 1: update it"):
        open_state(folder, MAKER)
    with pytest.raises(SchemaTooNew):
        save_state(folder, STATE, MAKER)
    assert path.read_bytes() == before


@pytest.mark.parametrize("part", ["origin", "tokenizer", "prompt"])
def test_n10_a_memory_of_another_maker_is_refused(folder: Path, part: str) -> None:
    other = replace(MAKER, **{part: "ffff"})
    held = getattr(MAKER, part)
    with pytest.raises(BeaconMismatch, match=f"{part} {held}; here ffff.*build the memory anew"):
        open_state(folder, other)


def test_n10_what_cannot_be_gone_on_with_is_replaced(folder: Path) -> None:
    other = Maker("ffff")
    state = grown(empty_state("ffff"), 2)
    assert save_state(folder, state, other, "fp32").load().checksum() == state.checksum()
    next(folder.glob("blocks-*")).write_bytes(b"damaged")
    assert save_state(folder, state, other, "fp32").load().checksum() == state.checksum()
    assert len(list(folder.iterdir())) == 3
    (folder / MANIFEST).write_text("damaged")
    remove_state(folder)
    assert not folder.exists()


def test_n6_nothing_here_imports_pickle_or_loads_with_torch() -> None:
    root = Path(str(memoryscope_rag.beacon.__file__)).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert "pickle" not in {alias.name for alias in node.names}, path
            if isinstance(node, ast.ImportFrom):
                assert node.module != "pickle", path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) not in {("torch", "load"), ("torch", "save")}
