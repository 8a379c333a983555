"""What is measured of memories, on a tiny model with random weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from memoryscope_rag.beacon.compressor import Full
from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.beacon.weights import BeaconWeights
from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.evaluation.beacon_quality import PASSAGE, perplexity, state_quality
from tests.beacon.conftest import tiny, tokens


def test_perplexity_is_that_of_the_model() -> None:
    model = tiny()
    engine = BeaconEngine(model, settings=BeaconSettings(window=32), compressor=Full())
    state = engine.append_ids(engine.empty(), tokens(100))
    before = state.checksum()
    found = perplexity(engine, state, tokens(30, 1))
    ids = torch.tensor(tokens(100) + tokens(30, 1))
    with torch.no_grad():
        logits = model(ids[None]).logits[0]
    expected = math.exp(float(cross_entropy(logits[100:-1], ids[101:])))
    assert found == pytest.approx(expected, rel=1e-4)
    assert state.checksum() == before


def test_memories_are_compared_at_equal_bytes() -> None:
    model = tiny(max_position_embeddings=2048)
    found = list(state_quality(model, tokens(600), continuation=40, window=64, ratios=(2, 4)))
    names = ["key-difference", "reconstruction512", "beacon (untrained)", "truncation"]
    assert [one.memory for one in found] == ["full", "nothing", *names, *names]
    full, nothing = found[:2]
    assert (full.rows, full.ratio) == (560, 1)
    assert nothing.rows == 0
    for ratio, some in ((2, found[2:6]), (4, found[6:])):
        assert {one.ratio for one in some} == {ratio}
        difference, reconstruction, beacon, truncation = some
        assert difference.bytes == reconstruction.bytes
        assert difference.rows == reconstruction.rows == 8 * 64 // ratio + 48
        assert beacon.rows == 8 * 64 // ratio + 48 + 48 // ratio
        assert truncation.bytes <= max(difference.bytes, beacon.bytes)
        assert truncation.bytes >= 0.97 * max(difference.bytes, beacon.bytes)
    assert all(one.continuation > 1 for one in found)
    assert all(one.passage > 1 for one in found)


def test_trained_beacons_are_not_marked() -> None:
    model = tiny(max_position_embeddings=2048)
    weights = BeaconWeights.from_base(model)
    found = state_quality(
        model, tokens(500), continuation=40, window=64, ratios=(4,), weights=weights
    )
    assert "beacon" in {one.memory for one in found}


def test_a_short_text_is_refused() -> None:
    with pytest.raises(InvalidInput, match="too few"):
        next(state_quality(tiny(), tokens(64 * 2 + PASSAGE + 39), continuation=40, window=64))
    with pytest.raises(InvalidInput, match="too few"):
        next(state_quality(tiny(), tokens(600), continuation=1, window=64))
