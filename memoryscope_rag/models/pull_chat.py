"""Getting a chat model: from the package that brings it, from the hub, or from a folder or file."""

from __future__ import annotations

import shutil
from pathlib import Path

from memoryscope_rag.errors import ModelError, ModelNotFound
from memoryscope_rag.models.chat_presets import ChatPreset
from memoryscope_rag.models.files import MANIFEST_NAME, read_manifest
from memoryscope_rag.models.gguf import convert, record_checksums
from memoryscope_rag.models.hub import download
from memoryscope_rag.models.staging import staged
from memoryscope_rag.models.torch_folders import (
    CONFIG_NAME,
    check_folder,
    check_shape,
    convert_preset,
    package_file,
)

_COPIED = frozenset({".json", ".jinja", ".safetensors", ".model", ".txt"})


def pull_chat(
    preset: ChatPreset,
    folder: Path,
    *,
    source: Path | None = None,
    token: str | None = None,
    progress: bool = True,
) -> Path:
    """Fill ``folder`` with the files of a chat model; see :func:`~.pull.pull`.

    With the package that brings it nothing is fetched, and its file is converted here and now.

    Args:
        source: a folder with the files, or with a folder of the preset's name, or a GGUF file.
    """
    if _is_whole(preset, folder):
        return folder
    package = package_file(preset)
    if source is None and package is not None:
        return convert_preset(preset, package, folder)
    if source is not None:
        source = _found(preset, source)
    if source is not None and source.suffix == ".gguf":
        return convert(
            source,
            folder,
            single_digits=preset.single_digits,
            check=lambda fresh: check_shape(fresh, preset),
            replace=folder.exists(),
        )
    with staged(folder) as fresh:
        if source is not None:
            for path in sorted(check_folder(source).iterdir()):
                if path.is_file() and path.suffix in _COPIED and path.name != MANIFEST_NAME:
                    shutil.copyfile(path, fresh / path.name)
        else:
            download(preset.repo, preset.files, fresh, token=token, progress=progress)
        check_shape(fresh, preset)
        record_checksums(fresh, preset.name, repo=preset.repo)
    return folder


def _found(preset: ChatPreset, source: Path) -> Path:
    """The folder with the files, or the GGUF file."""
    if source.suffix == ".gguf" and source.is_file():
        return source
    for place in (source / preset.name, source):
        if (place / CONFIG_NAME).is_file():
            return place
        files = sorted(place.glob("*.gguf"))
        if len(files) == 1:
            return files[0]
    raise ModelNotFound(f"no model {preset.name} in {source}: neither {CONFIG_NAME} nor one GGUF")


def _is_whole(preset: ChatPreset, folder: Path) -> bool:
    try:
        check_shape(check_folder(folder), preset)
    except ModelError:
        return False
    return bool(read_manifest(folder))
