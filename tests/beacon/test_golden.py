"""The published algorithm, met to the rounding of float32."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.beacon.weights import BeaconWeights
from memoryscope_rag.ports import Sampling
from tests.beacon.conftest import difference

Golden = dict[str, torch.Tensor]
GREEDY = Sampling(temperature=0.0, max_tokens=40)


def engine(golden_model: tuple[Any, BeaconWeights], ratio: int = 4) -> BeaconEngine:
    model, weights = golden_model
    return BeaconEngine(model, settings=BeaconSettings(window=32, ratios=(ratio,)), weights=weights)


def remembered(made: BeaconEngine, golden: Golden) -> MemoryState:
    return made.append_ids(made.empty(), golden["input_ids"][0].tolist())


def test_p1_rows_and_logits(golden: Golden, golden_model: tuple[Any, BeaconWeights]) -> None:
    made = engine(golden_model)
    with made.encoder.reading(made.model.past()) as reader:
        state, hidden = reader.read(made.empty(), golden["input_ids"][0].int())
        logits = made.model.logits(hidden[None])
    assert difference(logits, golden["expected.logits"]) <= 1e-5
    for layer in range(3):
        for name in ("keys", "values"):
            beacons = torch.cat([getattr(b.rows, name)[layer] for b in state.blocks], dim=1)
            expected = golden[f"expected.beacon.{layer}.{name[:-1]}"][0]
            assert difference(beacons, expected) <= 1e-5
            tail = golden[f"expected.raw.{layer}.{name[:-1]}"][0]
            assert difference(getattr(state.tail, name)[layer], tail) <= 1e-5


def test_p2_forty_tokens_while_compressing(
    golden: Golden, golden_model: tuple[Any, BeaconWeights]
) -> None:
    made = engine(golden_model)
    state = remembered(made, golden)
    prompt = golden["prompt_ids"][0].tolist()
    answer, longer = made.generate_into(state, prompt, GREEDY)
    assert [*prompt, *answer.tokens] == golden["expected.generated_ids"][0].tolist()
    assert answer.finish == "length"
    assert longer.tokens == 333 + 13 + 39  # the last token is not read
    assert len(longer.blocks) == 12


@pytest.mark.parametrize(
    ("ratio", "rows"),
    [(2, (160, 19)), (4, (80, 16)), (8, (40, 14)), (16, (20, 13)), (32, (10, 13))],
)
def test_p3_rows_of_every_ratio(
    ratio: int, rows: tuple[int, int], golden: Golden, golden_model: tuple[Any, BeaconWeights]
) -> None:
    state = remembered(engine(golden_model, ratio), golden)
    assert (sum(len(block.rows) for block in state.blocks), len(state.tail)) == rows


def test_n5_layer_0_holds_one_row(golden: Golden, golden_model: tuple[Any, BeaconWeights]) -> None:
    state = remembered(engine(golden_model), golden)
    for block in state.blocks:
        assert block.repeats
        first = block.rows.keys[0]
        assert difference(first, first[:, :1].expand_as(first)) <= 1e-6
    naive = sum(block.rows.nbytes for block in state.blocks)
    stored = sum(block.nbytes - block.ids.nbytes for block in state.blocks)
    one_layer = naive / 3
    assert stored <= naive - one_layer * (1 - 1 / 8)
