"""Memories of different makers, each in a folder of its own beside the others.

Which folder is said by the settings and by the model's files, without opening the model: a changed
setting finds no memory, builds one beside the old one, and the old one goes when that is done.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from memoryscope_rag.beacon.files.bank_folder import BankFolder
from memoryscope_rag.beacon.files.coverage import covered_ids
from memoryscope_rag.beacon.files.manifest import read_manifest
from memoryscope_rag.beacon.files.scope_lock import locked
from memoryscope_rag.errors import ModelNotFound, SchemaTooNew, StoreCorrupt
from memoryscope_rag.models.chat_presets import CHAT_PRESETS
from memoryscope_rag.models.torch_folders import locate_chat_model
from memoryscope_rag.schema import Scope

_NAME = re.compile("[0-9a-f]{16}")
_MATTERS = frozenset({".safetensors", ".json", ".jinja", ".model", ".txt"})
_PIECE = 4096
_PIECES = 64


def memories_of(
    path: Path, scope: Scope, besides: str = ""
) -> Iterator[tuple[BankFolder, tuple[str, ...] | None]]:
    """The folders in ``path`` that have a memory of ``scope``, and the ids of what it covers.

    ``None``: it cannot be read.

    Args:
        besides: the name of a folder that is left out.
    """
    for folder in sorted(path.iterdir()) if path.is_dir() else ():
        if folder.name == besides or not _NAME.fullmatch(folder.name):
            continue
        bank = BankFolder(folder)
        if not bank.memory(scope).exists():
            continue
        try:
            found = read_manifest(bank.memory(scope))
        except (StoreCorrupt, SchemaTooNew):
            yield bank, None
        else:
            yield bank, () if found is None else covered_ids(found[2])


async def remove(bank: BankFolder, scope: Scope, wait_seconds: float) -> None:
    """Remove the memory of ``scope``.

    Raises:
        StoreUnavailable: a writer did not finish in time, or the disk is not writable.
    """
    async with locked(bank.lock(scope), wait_seconds):
        bank.remove(bank.memory(scope))


def maker_name(
    model: str, models_dir: Path | None, adapter: Path | None, settings: Mapping[str, object]
) -> str:
    """The name of the folder for memories of this model with these settings.

    Raises:
        ModelNotFound, ModelCorrupt, ModelError, InvalidInput: there is no such model here.
    """
    preset = CHAT_PRESETS.get(model)
    if preset is not None:
        files = preset.sha256
    else:
        files = _sampled(locate_chat_model(model, models_dir=models_dir))
    beacons = ""
    if adapter is not None:
        if not adapter.is_dir():
            raise ModelNotFound(f"no beacons at {adapter}: there is no such folder")
        beacons = _sampled(adapter)
    whole = json.dumps([files, beacons, dict(settings)], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _sampled(folder: Path) -> str:
    """SHA-256 of names, sizes and pieces of the files that make a model, evenly spread: some
    milliseconds for a large one. Weights that were trained further differ everywhere.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in _MATTERS or not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        step = max(_PIECE, size // _PIECES)
        with path.open("rb") as stream:
            for start in range(0, size, step):
                stream.seek(start)
                digest.update(stream.read(_PIECE))
    return digest.hexdigest()
