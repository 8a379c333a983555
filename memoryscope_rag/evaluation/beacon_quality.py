"""How much of a text a compressed memory still holds: by what the model expects after it.

Two perplexities, each of tokens that the model reads behind a memory of the text before: of the
text's continuation, and of a passage from its beginning, said once more. The first says how well
the model goes on, to which the last tokens contribute most; the second what is left of what was
said long ago. Every memory is compared with *truncation* at equal bytes, which remembers the last
tokens, all of them, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from memoryscope_rag.beacon.compressor import Beacons, Compressor, Full
from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.key_difference import KeyDifference
from memoryscope_rag.beacon.reconstruction import Reconstruction
from memoryscope_rag.beacon.select import Select
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.beacon.weights import BeaconWeights
from memoryscope_rag.errors import InvalidInput

RATIOS = (2, 4, 8)
PASSAGE = 256
"""Tokens of the passage that is said again."""


@dataclass(frozen=True, slots=True)
class StateQuality:
    """One way of remembering a text.

    Attributes:
        memory: ``full``, ``nothing``, ``truncation``, ``beacon``, ``beacon (untrained)`` or the
            name of a scorer of *select*.
        ratio: raw tokens a row; for ``truncation`` that of the memories with the same bytes.
        rows: what the model attends to.
        bytes: see :attr:`~memoryscope_rag.beacon.state.MemoryState.nbytes`.
        continuation: perplexity of the continuation, its first token left out.
        passage: perplexity of the passage.
    """

    memory: str
    ratio: int
    rows: int
    bytes: int
    continuation: float
    passage: float


def state_quality(
    model: Any,
    ids: Sequence[int],
    *,
    continuation: int = 512,
    window: int = 512,
    ratios: Sequence[int] = RATIOS,
    compressors: Sequence[Compressor] | None = None,
    weights: BeaconWeights | None = None,
) -> Iterator[StateQuality]:
    """The qualities of several memories of one text, as they are measured.

    Args:
        model: a causal language model of transformers, with its head.
        ids: tokens of the text; the last ``continuation`` of them are held back.
        compressors: what is compared with ``full`` and ``truncation``; by default both scorers of
            *select*, and beacons.
        weights: of the beacons; without them they are untrained, and marked so.

    Raises:
        InvalidInput: the text is too short.
        ModelError: it does not fit the model.
    """
    history, held_back = list(ids[: -continuation or None]), list(ids[-continuation:])
    passage = history[window // 4 :][:PASSAGE]
    if continuation < 2 or len(history) < 2 * window + PASSAGE:
        raise InvalidInput(
            "ids", f"are {len(ids)}, too few for windows of {window} and {continuation} held back"
        )
    if compressors is None:
        compressors = [Select(KeyDifference()), Select(Reconstruction()), Beacons()]

    def engine(compressor: Compressor, ratio: int) -> BeaconEngine:
        settings = BeaconSettings(window=window, ratios=(ratio,))
        of_beacons = weights if compressor.uses_beacons else None
        return BeaconEngine(model, settings=settings, compressor=compressor, weights=of_beacons)

    def measured(name: str, ratio: int, engine: BeaconEngine, state: MemoryState) -> StateQuality:
        return StateQuality(
            name,
            ratio,
            state.row_count,
            state.nbytes,
            perplexity(engine, state, held_back),
            perplexity(engine, state, passage),
        )

    full = engine(Full(), 1)
    whole = full.append_ids(full.empty(), history)
    yield measured("full", 1, full, whole)
    yield measured("nothing", 0, full, full.empty())
    for ratio in ratios:
        size = 0
        for compressor in compressors:
            made = engine(compressor, ratio)
            state = made.append_ids(made.empty(), history)
            size = max(size, state.nbytes)
            yield measured(_name(compressor, made), ratio, made, state)
        last = size * len(history) // whole.nbytes
        cut = full.append_ids(full.empty(), history[-last:])
        yield measured("truncation", ratio, full, cut)


def perplexity(engine: BeaconEngine, state: MemoryState, ids: Sequence[int]) -> float:
    """That of ``ids``, but for the first one, behind ``state``, which stays as it was."""
    model = engine.model
    tokens = torch.tensor(ids, device=model.stock.device)
    with engine.alone(), torch.no_grad():
        past = model.past()
        past.attach(state.parts(), reserve=len(ids))
        positions = len(past) + torch.arange(len(ids))
        hidden = model.hidden(model.embed(tokens)[None], positions[None], past.cache)[0]
        return math.exp(float(cross_entropy(model.logits(hidden[:-1]), tokens[1:])))


def _name(compressor: Compressor, engine: BeaconEngine) -> str:
    if isinstance(compressor, Select):
        return compressor.scorer.name
    return compressor.name if engine.trained else f"{compressor.name} (untrained)"
