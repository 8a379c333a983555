"""Where a transformers model's folder is, and whether it is one that is safe to open.

Only safetensors are read, pickled weights are refused; code that comes with a model is never
run; nothing is fetched here.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from memoryscope_rag.errors import InvalidInput, ModelCorrupt, ModelError, ModelNotFound, suggest
from memoryscope_rag.models.chat_presets import CHAT_PRESETS, ChatPreset
from memoryscope_rag.models.files import check_sha256, default_cache_dir, read_manifest, sha256_of
from memoryscope_rag.models.gguf import convert

CONFIG_NAME = "config.json"
WEIGHT_NAMES = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl"})


def locate_chat_model(
    name_or_path: str | Path, *, models_dir: Path | None = None, cache_dir: Path | None = None
) -> Path:
    """The folder of a chat model: a preset, a folder, a GGUF file or a hub model in the cache.

    A GGUF file, of a preset's package too, is converted into ``cache_dir`` at first.

    Raises:
        InvalidInput: neither a known name nor a path nor a hub's ``owner/name``.
        ModelNotFound: the files are not here; says how to get them.
        ModelCorrupt: a file is not the one that was pinned or recorded.
        ModelError: the weights are pickled.
        MissingExtra: a GGUF file cannot be read without packages that are missing.
    """
    cache = cache_dir if cache_dir is not None else default_cache_dir()
    preset = CHAT_PRESETS.get(name_or_path) if isinstance(name_or_path, str) else None
    if preset is not None:
        return _of_preset(preset, models_dir, cache)
    path = Path(name_or_path).expanduser()
    if path.suffix == ".gguf" and path.is_file():
        return _converted(path, cache / f"{path.stem}-{sha256_of(path)[:12]}")
    return locate_folder(name_or_path, models_dir=models_dir, cache_dir=cache)


def locate_folder(
    name_or_path: str | Path, *, models_dir: Path | None = None, cache_dir: Path | None = None
) -> Path:
    """The folder of any transformers model; see :func:`locate_chat_model`."""
    path = Path(name_or_path).expanduser()
    places = [models_dir] if models_dir is not None else []
    places.append(cache_dir if cache_dir is not None else default_cache_dir())
    for folder in (path, *(place / str(name_or_path) for place in places)):
        if folder.is_dir():
            return check_folder(folder)
    if isinstance(name_or_path, str) and len(path.parts) == 2 and not path.is_absolute():
        return check_folder(_in_hub_cache(name_or_path))
    if isinstance(name_or_path, Path) or len(path.parts) > 1 or path.suffix == ".gguf":
        raise ModelNotFound(f"no model at {path}: there is no such file or folder")
    raise InvalidInput(
        "model",
        f"{str(name_or_path)!r} is neither a known chat model nor a folder; "
        f"{suggest(str(name_or_path), CHAT_PRESETS)}",
    )


def check_folder(folder: Path) -> Path:
    """``folder``, when it can be opened.

    Raises:
        ModelNotFound: no model is in it.
        ModelError: there are pickled weights only.
        ModelCorrupt: a file is not the one that was recorded.
    """
    if not (folder / CONFIG_NAME).is_file():
        raise ModelNotFound(f"no model in {folder}: there is no {CONFIG_NAME}")
    if not any((folder / name).is_file() for name in WEIGHT_NAMES):
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
        if pickled:
            raise ModelError(
                f"{folder} has its weights in {', '.join(pickled)} only: a pickle can run code, "
                "so it is not read; save the model again as safetensors"
            )
        raise ModelNotFound(f"no model in {folder}: there is no {WEIGHT_NAMES[0]}")
    for name, wanted in read_manifest(folder).items():
        if not (folder / name).is_file():
            raise ModelCorrupt(f"{folder} lacks {name}, which was recorded when it was made")
        check_sha256(folder / name, wanted, "that was recorded")
    return folder


def chat_model_state(
    preset: ChatPreset, *, models_dir: Path | None = None, cache_dir: Path | None = None
) -> tuple[str, str]:
    """("here", "damaged" or "absent"; where it is or how to get it). Converts nothing."""
    for place in (models_dir, cache_dir if cache_dir is not None else default_cache_dir()):
        if place is not None and (place / preset.name).is_dir():
            try:
                return "here", str(check_folder(place / preset.name))
            except ModelError as error:
                return "damaged", str(error)
    source = package_file(preset)
    if source is None:
        return "absent", preset.how_to_get()
    try:
        check_sha256(source, preset.sha256, f"pinned for {preset.name}")
    except ModelError as error:
        return "damaged", str(error)
    return "here", str(source)


def check_shape(folder: Path, preset: ChatPreset) -> None:
    """Raises ModelCorrupt unless the configuration is that of the preset."""
    try:
        config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        shape = tuple(config[key] for key in ("model_type", "num_hidden_layers", "hidden_size"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelCorrupt(f"{folder / CONFIG_NAME} cannot be read: {error!r}") from error
    if shape != preset.shape:
        raise ModelCorrupt(f"this is not {preset.name}: wanted {preset.shape}, found {shape}")


def package_file(preset: ChatPreset) -> Path | None:
    """The GGUF file of the installed package, if it is installed; runs no code of it."""
    found = importlib.util.find_spec(preset.package)
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / preset.package_file
    return path if path.is_file() else None


def _of_preset(preset: ChatPreset, models_dir: Path | None, cache: Path) -> Path:
    source = package_file(preset)
    folders = [place / preset.name for place in (models_dir, cache) if place is not None]
    for folder in folders:
        if folder.is_dir():
            try:
                return check_folder(folder)
            except (ModelCorrupt, ModelNotFound):
                if folder.parent != cache or source is None:
                    raise
    if source is not None:
        return convert_preset(preset, source, cache / preset.name)
    searched = ", ".join(map(str, folders))
    raise ModelNotFound(
        f"the model {preset.name} is not in {searched}. To get it: {preset.how_to_get()}"
    )


def convert_preset(preset: ChatPreset, source: Path, folder: Path) -> Path:
    """Convert the file of the preset's package; a ``folder`` that is there counts as damaged."""
    return convert(
        source,
        folder,
        sha256=preset.sha256,
        single_digits=preset.single_digits,
        replace=folder.exists(),
    )


def _converted(source: Path, folder: Path) -> Path:
    if folder.is_dir():
        try:
            return check_folder(folder)
        except (ModelCorrupt, ModelNotFound):
            pass
    return convert(source, folder, replace=folder.exists())


def _in_hub_cache(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise ModelNotFound(
            f"{name} is neither a folder nor in the cache of the model hub; fetch it with "
            f"'hf download {name}', or name a folder"
        ) from error
