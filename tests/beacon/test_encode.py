"""Reading in pieces, going back, prefixes, sinks, several at once: all the same memory."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
import torch

from memoryscope_rag.beacon.compressor import Full
from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.ports import Sampling
from tests.beacon.conftest import Build, difference, tiny, tokens, trained
from tests.beacon.states import apart, same

GREEDY = Sampling(temperature=0.0, max_tokens=8)
FIVE: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {},
    "mistral": {},
    "smollm": {"architecture": "llama", "tie_word_embeddings": True, "num_key_value_heads": 1},
}


def split(ids: list[int], draws: random.Random) -> list[list[int]]:
    """``ids`` in random pieces."""
    cuts = sorted(draws.sample(range(1, len(ids)), draws.randint(1, 8)))
    return [ids[a:b] for a, b in itertools.pairwise([0, *cuts, len(ids)])]


def test_n1_two_hundred_splits_give_one_memory(build: Build) -> None:
    engine = build(model=tiny(num_hidden_layers=2), window=16)
    ids = tokens(70)
    whole = engine.append_ids(engine.empty(), ids)
    draws = random.Random(0)
    before = engine.stats.tokens
    for _ in range(200):
        state = engine.empty()
        for piece in split(ids, draws):
            state = engine.append_ids(state, piece)
        assert same(state, whole) <= 1e-5
    assert engine.stats.tokens - before == 200 * len(ids)  # nothing is read twice


@pytest.mark.parametrize(
    "settings",
    [
        {"ratios": (2, 4, 8), "mix": "step-random"},
        {"ratios": (2, 4, 0), "mix": "sequence"},
        {"ratios": (4, 8), "mix": "instance-random"},
        {"placement": "append"},
        {"placement": "append", "pattern": "step-expansion"},
        {"placement": "append", "pattern": "segmentation", "attend_previous": False},
        {"pattern": "segmentation"},
        {"sink_size": 3},
        {"skip_first": 45},
        {"skip_last": 64},
        {"skip_first": 10, "skip_last": 74},
    ],
    ids=str,
)
def test_n1_under_all_settings(build: Build, settings: dict[str, Any]) -> None:
    engine = build(**settings)
    ids = tokens(150)
    whole = engine.append_ids(engine.empty(), ids)
    draws = random.Random(1)
    for _ in range(5):
        state = engine.empty()
        for piece in split(ids, draws):
            state = engine.append_ids(state, piece)
        assert same(state, whole) <= 1e-5


def test_n1_cost_is_that_of_the_new_tokens(build: Build) -> None:
    engine = build()
    state = engine.append_ids(engine.empty(), tokens(300))
    before = engine.stats
    engine.append_ids(state, tokens(7))
    assert engine.stats.tokens - before.tokens == 7
    assert engine.stats.calls - before.calls == 1


def test_n2_rollback_and_append_equal_a_fresh_build_bit_for_bit(build: Build) -> None:
    engine = build()
    ids, other = tokens(150), tokens(100, seed=1)
    state = engine.append_ids(engine.empty(), ids)
    for blocks in range(len(state.blocks) + 1):
        back = engine.append_ids(state.rollback(blocks), other)
        fresh = build().append_ids(build().empty(), ids[: 32 * blocks] + other)
        assert back.checksum() == fresh.checksum()


def test_n2_branches_share_blocks_and_do_not_meet(build: Build) -> None:
    engine = build()
    trunk = engine.append_ids(engine.empty(), tokens(100))
    kept = trunk.checksum()
    one, other = trunk.branch(), trunk.branch()
    for seed in range(3):
        one = engine.append_ids(one, tokens(20, seed))
        other = engine.append_ids(other, tokens(20, seed + 9))
    assert trunk.checksum() == kept
    assert all(a is b for a, b in zip(one.blocks, trunk.blocks, strict=False))
    alone = build().append_ids(build().empty(), tokens(100))
    for seed in range(3):
        alone = build().append_ids(alone, tokens(20, seed))
    assert alone.checksum() == one.checksum()


def test_earlier_blocks_do_not_depend_on_later_tokens(build: Build) -> None:
    engine = build()
    ids = tokens(200)
    short, long = (engine.append_ids(engine.empty(), ids[:n]) for n in (100, 200))
    for mine, its in zip(short.blocks, long.blocks, strict=False):
        assert torch.equal(mine.rows.keys, its.rows.keys)
        assert mine.digest == its.digest


@pytest.mark.parametrize("name", FIVE)
def test_p1_five_architectures_read_and_answer(name: str, build: Build) -> None:
    model = tiny(**{"architecture": name, **FIVE[name]})
    engine = build(model=model)
    ids = tokens(100)
    state = engine.append_ids(engine.empty(), ids[:61])
    assert same(engine.append_ids(state, ids[61:]), engine.append_ids(engine.empty(), ids)) <= 1e-5
    prompts = [ids[:3], ids[7:20]]
    alone = [engine.generate(state, [prompt], GREEDY)[0] for prompt in prompts]
    assert engine.generate(state, prompts, GREEDY) == alone


@pytest.mark.parametrize("name", FIVE)
def test_full_rows_give_the_stock_models_own_logits(name: str) -> None:
    model = tiny(**{"architecture": name, **FIVE[name]})
    engine = BeaconEngine(model, settings=BeaconSettings(window=16), compressor=Full())
    ids = tokens(75)
    state = engine.append_ids(engine.empty(), ids[:50])
    with engine.encoder.reading(engine.model.past()) as reader:
        _, hidden = reader.read(state, torch.tensor(ids[50:], dtype=torch.int32))
        logits = engine.model.logits(hidden)
        expected = model(torch.tensor([ids])).logits[0, -1]
    assert difference(logits, expected) <= 1e-5


def test_p7_sink_rows_never_change(build: Build) -> None:
    engine = build(sink_size=3)
    state = engine.append_ids(engine.empty(), tokens(20))
    assert not len(state.sink)  # they are in the first window still
    raw = state.tail.select(slice(0, 3))
    state = engine.append_ids(state, tokens(30, 1))
    assert len(state.sink) == 3
    assert apart(state.sink, raw) == 0
    first = state.sink
    for seed in range(20):
        state = engine.append_ids(state, tokens(9, seed))
        assert state.sink is first
    assert state.row_count == 3 + 8 * len(state.blocks) + len(state.tail)
    assert not len(state.rollback(0).sink)


def test_p8_the_prefix_is_never_compressed(build: Build) -> None:
    engine = build(skip_first=45)
    state = engine.append_ids(engine.empty(), tokens(45 + 64 + 5))
    assert len(state.prefix_ids) == len(state.sink) == 45
    assert [block.start for block in state.blocks] == [45, 77]
    assert state.rollback(0).tokens == 45
    model = engine.model.stock
    plain = BeaconEngine(model, settings=BeaconSettings(window=45, ratios=(0,)), compressor=Full())
    expected = plain.append_ids(plain.empty(), tokens(45)).blocks[0].rows
    assert apart(state.sink, expected) <= 1e-6


def test_p8_skip_last_works_alone(build: Build) -> None:
    engine = build(skip_last=64)
    state = engine.append_ids(engine.empty(), tokens(64 + 90))
    assert len(state.blocks) == 2
    assert len(state.tail) == len(state.tail_ids) == 90
    assert state.tokens == 154


@pytest.mark.parametrize("settings", [{}, {"ratios": (2, 4, 8)}, {"ratios": (4, 0)}], ids=str)
@pytest.mark.parametrize("parallel", [2, 3, 16])
def test_p5_parallel_windows_equal_one_after_the_other(
    parallel: int, settings: dict[str, Any], build: Build
) -> None:
    one, several = build(**settings), build(parallel_windows=parallel, **settings)
    ids = tokens(32 * 7 + 11)
    first = one.append_ids(one.empty(), ids)
    second = several.append_ids(several.empty(), ids)
    assert len(first.blocks) == len(second.blocks) == 7
    for mine, its in zip(first.blocks, second.blocks, strict=True):
        assert mine.ratio == its.ratio
        assert apart(mine.rows, its.rows) <= 1e-5
    assert apart(first.tail, second.tail) <= 1e-5
    assert several.stats.calls == -(-7 // parallel) + 1


@pytest.mark.parametrize("letters", ["q", "kv", "qkvo"])
@pytest.mark.parametrize("placement", ["interleave", "append"])
def test_p5_with_other_letters_and_placements(letters: str, placement: Any) -> None:
    model = tiny("qwen2")
    found = []
    for parallel in (1, 3):
        settings = BeaconSettings(
            window=32, placement=placement, parallel_windows=parallel, sink_size=2
        )
        engine = BeaconEngine(model, settings=settings, weights=trained(model, letters))
        found.append(engine.append_ids(engine.empty(), tokens(32 * 5)))
    for mine, its in zip(found[0].blocks, found[1].blocks, strict=True):
        assert apart(mine.rows, its.rows) <= 1e-5


@pytest.mark.parametrize(
    "settings",
    [{}, {"ratios": (2, 8)}, {"placement": "append", "pattern": "segmentation"}],
    ids=str,
)
def test_p9_a_padded_row_is_what_it_is_alone(build: Build, settings: dict[str, Any]) -> None:
    engine = build(**settings)
    begun = [0, 40, 70, 5]
    new = [3, 100, 37, 64]
    states = [
        engine.append_ids(engine.empty(), tokens(count, seed)) for seed, count in enumerate(begun)
    ]
    some = [tokens(count, seed + 50) for seed, count in enumerate(new)]
    together = engine.append_batch(states, some)
    for state, ids, found in zip(states, some, together, strict=True):
        assert same(found, engine.append_ids(state, ids)) <= 1e-4
