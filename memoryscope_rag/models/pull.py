"""Getting a preset's files, from the model hub or from a folder, all or nothing.

A pull works in a hidden folder beside its destination and renames it at the end, so whoever
looks sees no model or a whole one, with ``CHECKSUMS.json`` in it. The hub is asked through
``huggingface_hub``, which honours ``HF_ENDPOINT`` and the token that the user logged in with.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memoryscope_rag.errors import ModelCorrupt, ModelError, ModelNotFound
from memoryscope_rag.models.files import (
    MANIFEST_NAME,
    TOKENIZER_NAME,
    check_sha256,
    default_cache_dir,
    find_graph,
    locate,
    read_manifest,
)
from memoryscope_rag.models.presets import Preset, find_preset


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
    are replaced. A preset that an installed package brings is only looked up.

    Args:
        destination: the folder of models; ``~/.cache/memoryscope-rag/models`` by default.
        source_folder: a folder with the files, or with a folder ``name`` of them, to copy from.
        token: for the hub, in place of the one the user logged in with.
        progress: whether to draw a bar on stderr.

    Raises:
        InvalidInput: no such preset; lists the known ones.
        ModelNotFound: the hub or the folder has no such model.
        ModelCorrupt: what came is not what was pinned, or was recorded at the first pull.
        ModelError: the hub cannot be reached or the disk is full; ``retryable``.
    """
    preset = find_preset(name)
    destination = (destination or default_cache_dir()).expanduser()
    folder = destination / name
    if _is_whole(preset, folder):
        return folder
    if source_folder is None and preset.repo is None:
        return locate(name, models_dir=destination, cache_dir=destination).graph.parent
    record = read_manifest(folder)
    try:
        destination.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=destination))
    except OSError as error:
        raise ModelError(f"cannot write to {destination}: {error}", retryable=True) from error
    try:
        fresh = staging / name
        fresh.mkdir()
        if source_folder is not None:
            _copy(preset, source_folder, fresh)
        else:
            _download(preset, staging / "hub", fresh, token=token, progress=progress)
        _record(preset, fresh, record)
        _replace(fresh, folder, staging / "old")
    except OSError as error:
        raise ModelError(f"cannot store the model {name}: {error}", retryable=True) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
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


def _download(
    preset: Preset, scratch: Path, fresh: Path, *, token: str | None, progress: bool
) -> None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError
    from huggingface_hub.errors import LocalEntryNotFoundError as Unreachable
    from huggingface_hub.utils.tqdm import tqdm

    class Silent(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]

    # The base of the hub's errors is that of the HTTP library, another in each major version.
    failures: tuple[type[Exception], ...] = (
        OSError,
        *(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception)),
    )
    assert preset.repo is not None
    for file in (preset.model_file, preset.tokenizer_file):
        try:
            path = hf_hub_download(
                preset.repo,
                file,
                local_dir=scratch,
                token=token,
                tqdm_class=None if progress else Silent,
            )
        except Unreachable as error:
            raise ModelError(
                f"cannot reach the hub for {preset.repo}: {error.__cause__ or error}; on another "
                "machine pull it and copy the folder, then let MEMORYSCOPE_MODELS name its place",
                retryable=True,
            ) from error
        except (EntryNotFoundError, RepositoryNotFoundError) as error:
            raise ModelNotFound(f"the hub has no {file} in {preset.repo}") from error
        except failures as error:
            raise ModelError(f"pulling {preset.repo} failed: {error}", retryable=True) from error
        shutil.move(path, fresh / Path(file).name)


def _record(preset: Preset, fresh: Path, earlier: Mapping[str, str]) -> None:
    """Check what came and write down its checksums."""
    checksums: dict[str, str] = {}
    for path in sorted(fresh.iterdir()):
        pinned = None if path.name == TOKENIZER_NAME else preset.sha256
        what = f"pinned for {preset.name}" if pinned else "recorded at the first pull"
        checksums[path.name] = check_sha256(path, pinned or earlier.get(path.name), what)
    text = json.dumps({"model": preset.name, "repo": preset.repo, "sha256": checksums}, indent=2)
    (fresh / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def _replace(fresh: Path, folder: Path, aside: Path) -> None:
    if folder.exists():
        folder.rename(aside)
    try:
        fresh.rename(folder)
    except OSError:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        raise
