"""Keeping the rows that matter: which ones, how many, and where they come from."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
import torch
from transformers.cache_utils import DynamicCache

from memoryscope_rag.beacon.compressor import Full, Window
from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.key_difference import KeyDifference
from memoryscope_rag.beacon.reconstruction import OVERLAP, Reconstruction
from memoryscope_rag.beacon.select import Scorer, Select, best_places
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.beacon.state import Rows
from memoryscope_rag.errors import ConfigError, ModelError
from tests.beacon.conftest import tiny, tokens
from tests.beacon.states import apart, same

SCORERS: list[Scorer] = [KeyDifference(), Reconstruction(tokens(3, 7), piece=12)]
LAYERS, HEADS = 3, 2


def engine(
    scorer: Scorer, *ratios: int, first: int = 4, architecture: str = "llama", context: int = 1024
) -> BeaconEngine:
    """An engine on a tiny model with windows of 32."""
    return BeaconEngine(
        tiny(architecture, max_position_embeddings=context),
        settings=BeaconSettings(window=32, ratios=ratios or (4,)),
        compressor=Select(scorer, first=first),
    )


@dataclass
class Watched:
    """A scorer that notes the windows it is shown, with all rows that the model then sees."""

    scorer: Scorer
    windows: list[Window] = field(default_factory=list)
    scores_given: list[torch.Tensor] = field(default_factory=list)
    pasts: list[list[tuple[torch.Tensor, torch.Tensor]]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.scorer.name

    def scores(self, window: Window) -> torch.Tensor:
        self.windows.append(window)
        self.pasts.append([(keys.clone(), values.clone()) for keys, values in window.past.rows()])
        self.scores_given.append(self.scorer.scores(window))
        for before, after in zip(self.pasts[-1], window.past.rows(), strict=True):
            assert torch.equal(before[0], after[0])
            assert torch.equal(before[1], after[1])
        return self.scores_given[-1].clone()


# ---------------------------------------------------------------- what is kept


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda scorer: scorer.name)
@pytest.mark.parametrize("ratio", [2, 4, 8, 32])
def test_n16_every_head_keeps_its_own_rows_and_as_many_as_asked(scorer: Scorer, ratio: int) -> None:
    watched = Watched(scorer)
    made = engine(watched, ratio, first=0)
    state = made.append_ids(made.empty(), tokens(100))
    assert len(state.blocks) == 3
    assert len(state.tail_ids) == 4
    for block, window in zip(state.blocks, watched.windows, strict=True):
        assert block.ratio == ratio
        assert block.compressor == made.encoder.compressor.name
        assert block.sources is not None
        assert block.sources.dtype == torch.int32
        assert block.sources.shape == (LAYERS, HEADS, 32 // ratio)
        assert torch.equal(block.row_tokens(), block.start + block.sources.long())
        for layer in range(LAYERS):
            for head in range(HEADS):
                places = block.sources[layer, head].long()
                assert places.tolist() == sorted(set(places.tolist()))
                for kept, raw in (
                    (block.rows.keys, window.rows.keys),
                    (block.rows.values, window.rows.values),
                ):
                    assert torch.equal(kept[layer, head], raw[layer, head, places])
    heads = state.blocks[0].sources
    assert ratio == 32 or (heads is not None and not torch.equal(heads[0, 0], heads[1, 0]))


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda scorer: scorer.name)
@pytest.mark.parametrize("ratio", [0, 1])
def test_keeping_everything_is_full(scorer: Scorer, ratio: int) -> None:
    made = engine(scorer, ratio)
    full = BeaconEngine(tiny(), settings=made.encoder.settings, compressor=Full())
    state = made.append_ids(made.empty(), tokens(75))
    expected = full.append_ids(full.empty(), tokens(75))
    assert state.row_count == 75
    for block, other in zip(state.blocks, expected.blocks, strict=True):
        assert block.sources is None
        assert apart(block.rows, other.rows) == 0.0
    assert apart(state.tail, expected.tail) == 0.0


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda scorer: scorer.name)
def test_the_first_tokens_stay(scorer: Scorer) -> None:
    made = engine(scorer, 8)
    state = made.append_ids(made.empty(), tokens(64))
    first, second = (block.sources for block in state.blocks)
    assert first is not None
    assert second is not None
    assert (first == torch.arange(4)).all()
    free = engine(scorer, 8, first=0)
    chosen = free.append_ids(free.empty(), tokens(64)).blocks[0].sources
    assert chosen is not None
    assert not torch.equal(chosen, first)
    assert not (second == torch.arange(4)).all()


def test_of_equal_scores_the_first_are_kept() -> None:
    scores = torch.tensor([[1.0, 3.0, 2.0, 2.0, 3.0, 2.0]])
    assert best_places(scores, 4).tolist() == [[1, 2, 3, 4]]


# ---------------------------------------------------------------- one memory for every split


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda scorer: scorer.name)
def test_n16_any_split_gives_one_memory(scorer: Scorer) -> None:
    made = engine(scorer)
    ids = tokens(150)
    expected = made.append_ids(made.empty(), ids)
    draws = random.Random(5)
    for _ in range(12):
        cuts = sorted(draws.sample(range(1, 150), draws.randint(1, 12)))
        state = made.empty()
        for start, end in zip([0, *cuts], [*cuts, 150], strict=True):
            state = made.append_ids(state, ids[start:end])
        assert same(state, expected) <= 1e-5
        for block, other in zip(state.blocks, expected.blocks, strict=True):
            assert block.sources is not None
            assert other.sources is not None
            assert torch.equal(block.sources, other.sources)


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda scorer: scorer.name)
def test_memories_side_by_side_are_what_each_is_alone(scorer: Scorer) -> None:
    made = engine(scorer)
    every = [tokens(70, 1), tokens(33, 2), tokens(5, 3)]
    found = made.append_batch([made.empty()] * 3, every)
    for state, ids in zip(found, every, strict=True):
        assert same(state, made.append_ids(made.empty(), ids)) <= 1e-5


def test_rolling_back_and_going_on_is_building_anew() -> None:
    made = engine(KeyDifference())
    state = made.append_ids(made.empty(), tokens(130))
    again = made.append_ids(state.rollback(2), tokens(130)[64:])
    assert again.checksum() == state.checksum()


# ---------------------------------------------------------------- key difference


def window_of(keys: torch.Tensor) -> Window:
    """A window with these keys before RoPE, ``(layers, kv_heads, rows, head_dim)``."""
    made = engine(KeyDifference())
    rows = Rows(keys, torch.zeros_like(keys))
    count = keys.shape[2]
    ids = torch.zeros(count, dtype=torch.int32)
    beacons = torch.zeros(count, dtype=torch.bool)
    return Window(rows, beacons, ids, 64, 4, made.model.stock, made.model.past())


def test_key_difference_is_that_of_its_definition() -> None:
    keys = torch.randn(2, 2, 20, 8, generator=torch.Generator().manual_seed(3))
    found = KeyDifference().scores(window_of(keys))
    for layer in range(2):
        for head in range(2):
            some = keys[layer, head].double()
            mean = sum(key / key.norm() for key in some) / 20
            for row, key in enumerate(some):
                expected = -(key @ mean) / (key.norm() * mean.norm())
                assert float(found[layer, head, row]) == pytest.approx(float(expected), abs=1e-5)


def test_a_key_unlike_the_others_survives() -> None:
    source = torch.Generator().manual_seed(4)
    common = torch.randn(3, 2, 1, 8, generator=source)
    keys = common + 0.1 * torch.randn(3, 2, 64, 8, generator=source)
    planted = torch.randint(0, 64, (3, 2), generator=source)
    for layer in range(3):
        for head in range(2):
            keys[layer, head, planted[layer, head]] = -common[layer, head, 0]
    kept = Select(KeyDifference()).keep(window_of(keys))
    assert kept.sources is not None
    assert kept.sources.shape == (3, 2, 16)
    assert (kept.sources == planted[:, :, None]).any(dim=-1).all()


# ---------------------------------------------------------------- reconstruction


def expected_attention(
    window: Window, past: list[tuple[torch.Tensor, torch.Tensor]], prompt: list[int], piece: int
) -> torch.Tensor:
    """The highest attention to each row of ``window``, by the model's own attention."""
    stock, held = window.model, past[0][0].shape[2]
    before = held - len(window.rows)
    found = torch.zeros(LAYERS, HEADS, len(window.rows))
    stock.set_attn_implementation("eager")
    for start in range(0, len(window.ids), piece):
        again = window.ids[max(0, start - OVERLAP) : start + piece].tolist()
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(past):
            cache.update(keys, values, layer)
        ids = torch.tensor([prompt + again])
        with torch.no_grad():
            out = stock(input_ids=ids, past_key_values=cache, output_attentions=True)
        for layer, attention in enumerate(out.attentions):
            per_head = attention[0, :, :, before:held].amax(dim=1)
            found[layer] = torch.maximum(found[layer], per_head.unflatten(0, (HEADS, -1)).amax(1))
    stock.set_attn_implementation("sdpa")
    return found


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "mistral"])
@pytest.mark.parametrize(("prompt", "piece"), [([], 64), ([5, 6, 7], 12)])
def test_reconstruction_is_the_models_own_attention(
    architecture: str, prompt: list[int], piece: int
) -> None:
    watched = Watched(Reconstruction(prompt, piece=piece))
    made = engine(watched, architecture=architecture)
    made.append_ids(made.empty(), tokens(96))
    assert not any(module._forward_hooks for module in made.model.stock.modules())
    for window, past, scores in zip(
        watched.windows, watched.pasts, watched.scores_given, strict=True
    ):
        expected = expected_attention(window, past, prompt, piece)
        assert torch.allclose(scores, expected, atol=1e-5)


def test_a_model_without_room_to_read_again_says_so() -> None:
    made = engine(Reconstruction(), context=36)
    with pytest.raises(ModelError, match="key-difference"):
        made.append_ids(made.empty(), tokens(32))
    shorter = engine(Reconstruction(piece=512), context=50)
    assert len(shorter.append_ids(shorter.empty(), tokens(32)).blocks[0].rows) == 8


# ---------------------------------------------------------------- settings


def test_settings_that_change_what_is_kept_change_the_name() -> None:
    names = {
        select.name
        for select in (
            Select(KeyDifference()),
            Select(KeyDifference(), first=0),
            Select(Reconstruction()),
            Select(Reconstruction(piece=64)),
            Select(Reconstruction([1, 2])),
            Select(Reconstruction([12])),
        )
    }
    assert len(names) == 6


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="first is -1"):
        Select(KeyDifference(), first=-1)
    with pytest.raises(ConfigError, match="piece is 0"):
        Reconstruction(piece=0)
