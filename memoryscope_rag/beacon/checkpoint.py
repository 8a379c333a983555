"""Beacon weights in files: released checkpoints, and adapters of our own.

A released checkpoint is a stock model's folder with the tensors of the beacons among the others,
and their settings in ``config.json`` (MemoRAG's ``memorag-qwen2-7b-inst``: 508 tensors,
``memorag-mistral-7b-inst``: 388). An adapter holds the tensors of the beacons alone, by the same
names, and the fingerprint of the base model that they were made for. Only safetensors are read,
and no code that comes with a model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.beacon.weights import BeaconWeights, complain, fingerprint, is_beacon
from memoryscope_rag.errors import ConfigError, ModelCorrupt, ModelError, ModelNotFound
from memoryscope_rag.models.staging import staged
from memoryscope_rag.models.torch_folders import CONFIG_NAME, WEIGHT_NAMES

FORMAT = 1
_TENSORS, _ABOUT = "beacon.safetensors", "beacon.json"
_FIELDS = ("window", "stride", "ratio", "attn", "attend_prev", "param", "pos", "sink_size")


def has_beacons(folder: Path) -> bool:
    """Whether the model in ``folder`` is a released memory model."""
    return any(key.startswith("beacon_") for key in _config(folder))


def load_trained(
    folder: Path, model: Any, adapter: Path | None
) -> tuple[BeaconWeights, BeaconSettings] | None:
    """The beacons of ``adapter``, else those in ``folder``, which ``model`` was opened from, else
    ``None``. Raises as :func:`load_adapter` and :func:`load_released`.
    """
    if adapter is not None:
        return load_adapter(adapter, model)
    return load_released(folder, model) if has_beacons(folder) else None


def load_released(folder: Path, model: Any) -> tuple[BeaconWeights, BeaconSettings]:
    """The beacons of a released checkpoint, whose base model ``model`` was opened from it too.

    Raises:
        ModelError: a tensor or a setting is missing, unknown, or of another shape; it is named.
        ModelCorrupt: a file cannot be read.
    """
    config = _config(folder)
    missing = {f"beacon_{name}" for name in _FIELDS} - config.keys()
    if missing:
        raise ModelError(f"{folder / CONFIG_NAME} lacks {', '.join(sorted(missing))}")
    if config["beacon_stride"] != config["beacon_window"]:
        raise ModelError(
            f"{folder / CONFIG_NAME}: beacon_stride is {config['beacon_stride']}, but only windows "
            f"that do not overlap can be read: beacon_window is {config['beacon_window']}"
        )
    files = _files(folder)
    stock = set(model.state_dict())
    complain("has unknown", {key for key in files if not is_beacon(key)} - stock, str(folder))
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    complain("lacks", stock - files.keys() - tied, str(folder))
    letters = "".join(config["beacon_param"])
    weights = BeaconWeights.empty(model, letters=letters)
    weights.fill(_read(folder, {k: v for k, v in files.items() if is_beacon(k)}), str(folder))
    ratios = config["beacon_ratio"]
    try:
        settings = BeaconSettings(
            window=config["beacon_window"],
            ratios=tuple(ratios if isinstance(ratios, list) else [ratios]),
            placement=config["beacon_pos"],
            pattern=config["beacon_attn"],
            attend_previous=config["beacon_attend_prev"],
            sink_size=config["beacon_sink_size"],
            parallel_windows=config.get("beacon_parallel_window", 1),
            **_mix(config.get("beacon_ratio_mix", "step-random")),
        )
    except (ConfigError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / CONFIG_NAME}: {error}") from error
    return weights, settings


def save_adapter(
    folder: Path, weights: BeaconWeights, settings: BeaconSettings, model: Any
) -> None:
    """Write the beacons that were made for ``model``; ``folder`` is there whole or not at all.

    Raises:
        ModelError: it cannot be written.
    """
    about = {
        "format": FORMAT,
        "base": fingerprint(model),
        "base_class": type(model).__name__,
        "letters": weights.letters,
        "settings": asdict(settings),
    }
    tensors = {key: tensor.contiguous() for key, tensor in weights.checkpoint().items()}
    with staged(folder) as fresh:
        save_file(tensors, fresh / _TENSORS)
        (fresh / _ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def load_adapter(folder: Path, model: Any) -> tuple[BeaconWeights, BeaconSettings]:
    """The beacons in ``folder``, for ``model``.

    Raises:
        ModelNotFound: no adapter is there.
        ModelCorrupt: a file cannot be read.
        ModelError: it is of a later format, for another model, or its tensors are others.
    """
    about = _json(folder / _ABOUT)
    if about.get("format") != FORMAT:
        raise ModelError(
            f"{folder} has the format {about.get('format')}; this version reads {FORMAT}"
        )
    if about.get("base") != fingerprint(model):
        raise ModelError(
            f"{folder} was made for another model than this {type(model).__name__}: a "
            f"{about.get('base_class')} with the fingerprint {about.get('base')}"
        )
    try:
        fields = dict(about["settings"])
        settings = BeaconSettings(**{**fields, "ratios": tuple(fields["ratios"])})
        weights = BeaconWeights.empty(model, letters=about["letters"])
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise ModelCorrupt(f"{folder / _ABOUT} cannot be read: {error!r}") from error
    weights.fill(_read(folder, _keys(folder / _TENSORS)), str(folder))
    return weights, settings


def _mix(name: str) -> dict[str, Any]:
    """``adapt-1024`` names the mix and its margin."""
    kind, _, margin = name.rpartition("-")
    if kind == "adapt" and margin.isdigit():
        return {"mix": "adapt", "adapt_margin": int(margin)}
    if name not in ("step-random", "instance-random", "sequence"):
        raise ConfigError(
            f"beacon_ratio_mix is {name!r}; known: step-random, instance-random, sequence, adapt-N"
        )
    return {"mix": name}


def _config(folder: Path) -> dict[str, Any]:
    return _json(folder / CONFIG_NAME)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelNotFound(f"{path.parent} has no {path.name}") from error
    except (OSError, ValueError) as error:
        raise ModelCorrupt(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ModelCorrupt(f"{path} holds no object")
    return found


def _files(folder: Path) -> dict[str, str]:
    """The file of each tensor."""
    single, index = (folder / name for name in WEIGHT_NAMES)
    if single.is_file():
        return _keys(single)
    listed = _json(index).get("weight_map")
    if not isinstance(listed, dict):
        raise ModelCorrupt(f"{index} lists no tensors")
    return {str(key): Path(str(name)).name for key, name in listed.items()}


def _keys(path: Path) -> dict[str, str]:
    with _opened(path) as file:
        return dict.fromkeys(file.keys(), path.name)


def _read(folder: Path, files: Mapping[str, str]) -> dict[str, torch.Tensor]:
    found = {}
    for name in sorted(set(files.values())):
        with _opened(folder / name) as file:
            for key in (key for key, place in files.items() if place == name):
                try:
                    found[key] = file.get_tensor(key)
                except SafetensorError as error:
                    raise ModelCorrupt(f"{folder / name} has no tensor {key}") from error
    return found


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError as error:
        raise ModelNotFound(f"{path.parent} has no {path.name}") from error
    except (OSError, SafetensorError) as error:
        raise ModelCorrupt(f"{path} cannot be read: {error}") from error
