"""A model on this machine as the engine of a memory, with settings that suit it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from memoryscope_rag.beacon.checkpoint import load_trained
from memoryscope_rag.beacon.compressor import Beacons, Compressor, Full
from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.gist import WINDOW
from memoryscope_rag.beacon.key_difference import KeyDifference
from memoryscope_rag.beacon.model import MemoryModel
from memoryscope_rag.beacon.options import CompressorName, MemoryOptions
from memoryscope_rag.beacon.select import Select
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.models.torch_folders import locate_chat_model
from memoryscope_rag.models.torch_runtime import open_decoder

HIGHEST = 64
"""The highest ratio that a memory takes by itself (Activation Beacon trains up to 32, and 64)."""
PREFIX = 64
"""So many first tokens, which hold the instructions, are never compressed by untrained ways."""
_WINDOW = 2048


def open_engine(
    options: MemoryOptions,
    *,
    models_dir: Path | None = None,
    cache_dir: Path | None = None,
    device: str | None = "cpu",
) -> tuple[BeaconEngine, MemoryOptions]:
    """The engine, and the options with nothing left open; some seconds.

    Raises:
        InvalidInput: an unknown name or device.
        ConfigError: window and ratio do not go together.
        ModelNotFound: the files are not here; says how to get them.
        ModelCorrupt: a file is not the pinned one, or cannot be read.
        ModelError: the model or its beacons are of another kind; says what is missing.
    """
    folder = locate_chat_model(options.model, models_dir=models_dir, cache_dir=cache_dir)
    model, tokenizer = open_decoder(folder, device)
    adapter = None if options.adapter is None else Path(options.adapter)
    wanted = options.compressor in (None, "beacon")
    trained = load_trained(folder, model, adapter) if wanted else None
    weights, usual = trained or (None, None)
    name = options.compressor or ("select" if weights is None else "beacon")
    if usual is None:
        usual = BeaconSettings(skip_first=PREFIX, window=_window(MemoryModel.of(model).capacity))
    window = options.window or usual.window
    retold = window
    if name == "gist":
        capacity = MemoryModel.of(model).capacity
        retold = options.window or min(WINDOW, _power(capacity // 2))
        window = min(retold, usual.window)
    settings = replace(
        usual,
        window=window,
        ratios=(0,) if name in ("full", "gist") else doubled_ratios(options.ratio, window),
        mix="adapt",
    )
    engine = BeaconEngine(
        model, tokenizer, settings=settings, compressor=_compressor(name), weights=weights
    )
    return engine, replace(options, compressor=name, window=retold)


def _window(capacity: int) -> int:
    """An eighth of the positions, as a power of two."""
    return min(_WINDOW, _power(capacity // 8))


def _power(number: int) -> int:
    """The highest power of two that is no more."""
    return 1 << max(1, number).bit_length() - 1


def doubled_ratios(lowest: int, window: int) -> tuple[int, ...]:
    """``lowest`` and its doubles, as far as they divide ``window``."""
    higher = (lowest << power for power in range(1, HIGHEST.bit_length()))
    return (lowest, *(ratio for ratio in higher if ratio <= HIGHEST and window % ratio == 0))


def _compressor(name: CompressorName) -> Compressor:
    if name == "beacon":
        return Beacons()
    return Select(KeyDifference()) if name == "select" else Full()
