"""A memory of random rows is in every other way like one that a model made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from memoryscope_rag.beacon.compressor import Beacons, Compressor, Full
from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.files.maker import Maker
from memoryscope_rag.beacon.files.state_files import save_state
from memoryscope_rag.beacon.key_difference import KeyDifference
from memoryscope_rag.beacon.select import Select
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.beacon.state import Rows
from memoryscope_rag.evaluation.random_memory import random_memory
from tests.beacon.conftest import tiny, tokens


def _shape(rows: Rows) -> tuple[torch.Size, torch.dtype]:
    return rows.keys.shape, rows.values.dtype


@pytest.mark.parametrize(
    ("compressor", "ratio"), [(Beacons(), 4), (Select(KeyDifference()), 4), (Full(), 0)]
)
@pytest.mark.parametrize("count", [20, 64, 110])
def test_it_has_the_shape_of_a_real_one(
    compressor: Compressor, ratio: int, count: int, tmp_path: Path
) -> None:
    settings = BeaconSettings(window=32, ratios=(ratio,))
    engine = BeaconEngine(tiny(), settings=settings, compressor=compressor)
    made = random_memory(engine.encoder, engine.origin, count)
    real = engine.append_ids(engine.empty(), tokens(count))
    assert (made.tokens, made.row_count, made.nbytes) == (count, real.row_count, real.nbytes)
    assert (made.tail_ratio, made.fixed_ratio) == (real.tail_ratio, real.fixed_ratio)
    assert _shape(made.tail) == _shape(real.tail)
    for mine, its in zip(made.blocks, real.blocks, strict=True):
        assert _shape(mine.rows) == _shape(its.rows)
        assert (mine.start, mine.ratio, mine.repeats) == (its.start, its.ratio, its.repeats)
        assert (mine.sources is None) == (its.sources is None)
    maker = Maker(engine.origin)
    sizes = [
        save_state(tmp_path / name, state, maker).nbytes
        for name, state in (("made", made), ("real", real))
    ]
    assert sizes[0] == sizes[1]
    assert engine.append_ids(made, tokens(50)).tokens == count + 50
