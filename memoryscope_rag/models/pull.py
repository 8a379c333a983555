"""Getting a preset's files, from the model hub or from a folder, all or nothing.

A pull works in a hidden folder beside its destination and renames it at the end, so whoever
looks sees no model or a whole one, with ``CHECKSUMS.json`` in it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from memoryscope_rag.errors import ModelCorrupt, ModelNotFound
from memoryscope_rag.models.chat_presets import CHAT_PRESETS
from memoryscope_rag.models.files import (
    MANIFEST_NAME,
    TOKENIZER_NAME,
    check_sha256,
    default_cache_dir,
    find_graph,
    locate,
    read_manifest,
)
from memoryscope_rag.models.hub import download
from memoryscope_rag.models.presets import Preset, find_preset
from memoryscope_rag.models.pull_chat import pull_chat
from memoryscope_rag.models.staging import staged


def pull(
    name: str,
    *,
    destination: Path | None = None,
    source_folder: Path | None = None,
    token: str | None = None,
    progress: bool = True,
) -> Path:
    """Put the files of a preset into ``destination/name`` and return the folder they are in.

    Files that are there and right are left alone, and nothing is asked of the hub; damaged ones
    are replaced. An embedding model that an installed package brings is only looked up.

    Args:
        name: of an embedding model or a chat model.
        destination: the folder of models; ``~/.cache/memoryscope-rag/models`` by default.
        source_folder: a folder with the files, or with a folder ``name`` of them, to copy from;
            for a chat model also a GGUF file.
        token: for the hub, in place of the one the user logged in with.
        progress: whether to draw a bar on stderr.

    Raises:
        InvalidInput: no such preset; lists the known ones.
        ModelNotFound: the hub or the folder has no such model.
        ModelCorrupt: what came is not what was pinned, or was recorded at the first pull.
        ModelError: the hub cannot be reached or the disk is full; ``retryable``.
    """
    destination = (destination or default_cache_dir()).expanduser()
    folder = destination / name
    if name in CHAT_PRESETS:
        chat = CHAT_PRESETS[name]
        return pull_chat(chat, folder, source=source_folder, token=token, progress=progress)
    preset = find_preset(name, others=CHAT_PRESETS)
    if _is_whole(preset, folder):
        return folder
    if source_folder is None and preset.repo is None:
        return locate(name, models_dir=destination, cache_dir=destination).graph.parent
    record = read_manifest(folder)
    with staged(folder) as fresh:
        if source_folder is not None:
            _copy(preset, source_folder, fresh)
        else:
            assert preset.repo is not None
            files = (preset.model_file, preset.tokenizer_file)
            download(preset.repo, files, fresh, token=token, progress=progress)
        _record(preset, fresh, record)
    return folder


def _is_whole(preset: Preset, folder: Path) -> bool:
    if not (folder / MANIFEST_NAME).is_file():
        return False
    try:
        locate(preset.name, models_dir=folder.parent, cache_dir=folder.parent)
    except (ModelCorrupt, ModelNotFound):
        return False
    return find_graph(folder) is not None


def _copy(preset: Preset, source: Path, fresh: Path) -> None:
    for place in (source / preset.name, source):
        graph = find_graph(place)
        if graph is not None:
            break
    else:
        raise ModelNotFound(f"no model {preset.name} in {source}")
    shutil.copyfile(graph, fresh / graph.name)
    if (place / TOKENIZER_NAME).is_file():
        shutil.copyfile(place / TOKENIZER_NAME, fresh / TOKENIZER_NAME)
    elif preset.package is None:  # where a package brings the model, we bring the vocabulary
        raise ModelNotFound(f"no {TOKENIZER_NAME} in {place}")


def _record(preset: Preset, fresh: Path, earlier: Mapping[str, str]) -> None:
    """Check what came and write down its checksums."""
    checksums: dict[str, str] = {}
    for path in sorted(fresh.iterdir()):
        pinned = None if path.name == TOKENIZER_NAME else preset.sha256
        what = f"pinned for {preset.name}" if pinned else "recorded at the first pull"
        checksums[path.name] = check_sha256(path, pinned or earlier.get(path.name), what)
    text = json.dumps({"model": preset.name, "repo": preset.repo, "sha256": checksums}, indent=2)
    (fresh / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")
