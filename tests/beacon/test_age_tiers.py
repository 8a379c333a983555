"""Memories within a budget: old windows at a higher ratio, recent ones as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from memoryscope_rag.beacon.age_tiers import fit
from memoryscope_rag.beacon.compressor import Compressor, Full
from memoryscope_rag.beacon.engine import BeaconEngine, TokenizedMessage
from memoryscope_rag.beacon.files.maker import Maker
from memoryscope_rag.beacon.files.state_files import save_state
from memoryscope_rag.beacon.files.stored_state import open_state
from memoryscope_rag.beacon.key_difference import KeyDifference
from memoryscope_rag.beacon.reconstruction import Reconstruction
from memoryscope_rag.beacon.select import Select
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.errors import InvalidInput
from tests.beacon.conftest import Build, tiny, tokens
from tests.beacon.states import apart

LENGTH = 32 * 24 + 10


def selecting(compressor: Compressor | None = None, **settings: Any) -> BeaconEngine:
    """An engine on a tiny model with windows of 32."""
    return BeaconEngine(
        tiny(max_position_embeddings=2048),
        settings=BeaconSettings(window=32, **settings),
        compressor=Select(KeyDifference()) if compressor is None else compressor,
    )


def ratios(state: MemoryState) -> list[int]:
    return [block.ratio for block in state.blocks]


@pytest.mark.parametrize("share", [0.9, 0.75, 0.6, 0.5])
@pytest.mark.parametrize("kind", ["select", "beacon"])
def test_n12_the_budget_is_met_and_what_is_recent_stays(
    kind: str, share: float, build: Build
) -> None:
    engine = build() if kind == "beacon" else selecting()
    state = engine.append_ids(engine.empty(), tokens(LENGTH))
    before, budget = state.checksum(), int(share * state.nbytes)
    smaller = fit(engine, state, budget, recent_tokens=100)
    assert 0.95 * budget <= smaller.nbytes <= budget
    assert state.checksum() == before
    assert smaller.tokens == state.tokens
    assert torch.equal(smaller.token_ids(), state.token_ids())
    # the tail and three windows hold the last 100 tokens
    found = ratios(smaller)
    assert found[-3:] == [4, 4, 4]
    assert found == sorted(found, reverse=True)
    assert found[0] > 4
    for block in smaller.blocks:
        assert len(block.rows) == 32 // block.ratio
    assert (smaller.fixed_ratio, smaller.tail_ratio) == (state.fixed_ratio, state.tail_ratio)
    longer = engine.append_ids(smaller, tokens(54, 5))
    assert ratios(longer) == [*found, 4, 4]


def test_a_memory_that_fits_stays_itself() -> None:
    engine = selecting()
    state = engine.append_ids(engine.empty(), tokens(100))
    assert fit(engine, state, state.nbytes, 0) is state


# ---------------------------------------------------------------- beacon


@pytest.mark.parametrize(
    "settings", [{}, {"skip_first": 20}, {"sink_size": 2}, {"parallel_windows": 3}], ids=str
)
def test_beacons_are_those_of_a_memory_made_with_these_ratios(
    settings: dict[str, Any], build: Build
) -> None:
    engine = build(**settings)
    state = engine.append(engine.empty(), [TokenizedMessage("m", tokens(32 * 8 + 15))])
    smaller = fit(engine, state, int(0.85 * state.nbytes), recent_tokens=70)
    planned = tuple(ratios(smaller))
    assert len(set(planned)) > 1
    assert smaller.spans == state.spans
    other = build(**settings, ratios=(*planned, 4), mix="sequence")
    expected = other.append_ids(other.empty(), state.token_ids().tolist())
    assert ratios(expected) == list(planned)
    for block, wanted in zip(smaller.blocks, expected.blocks, strict=True):
        assert apart(block.rows, wanted.rows) <= 1e-5
    assert smaller.tail_ratio == expected.tail_ratio == 4
    assert apart(smaller.tail, expected.tail) <= 1e-5
    assert apart(smaller.sink, expected.sink) <= 1e-5


def test_only_what_has_seen_a_change_is_read_again(build: Build) -> None:
    engine = build()
    state = engine.append_ids(engine.empty(), tokens(32 * 8 + 15))
    once = fit(engine, state, state.nbytes - 1, recent_tokens=0)
    assert ratios(once) == [8, *[4] * 7]
    before = engine.stats.tokens
    state = engine.append_ids(once, tokens(17 + 32 * 7, 3))
    read = engine.stats.tokens
    assert read - before == 17 + 32 * 7
    twice = fit(engine, state, state.nbytes - 1, recent_tokens=0)
    assert ratios(twice) == [8, 8, *[4] * 14]
    assert engine.stats.tokens - read == 32 * 15
    assert twice.blocks[0] is state.blocks[0]


# ---------------------------------------------------------------- select


@pytest.mark.parametrize(
    "scorer", [KeyDifference(), Reconstruction(piece=20)], ids=lambda scorer: scorer.name
)
def test_heads_let_go_of_rows_and_change_no_other(scorer: Any) -> None:
    engine = selecting(Select(scorer))
    state = engine.append_ids(engine.empty(), tokens(32 * 8 + 15))
    read = engine.stats
    smaller = fit(engine, state, int(0.7 * state.nbytes), recent_tokens=70)
    assert engine.stats == read
    assert smaller.tail is state.tail
    assert smaller.spans is state.spans
    for new, old in zip(smaller.blocks, state.blocks, strict=True):
        assert torch.equal(new.ids, old.ids)
        if new.ratio == old.ratio:
            assert new.rows is old.rows
            assert new.sources is old.sources
            continue
        assert old.sources is not None
        assert new.sources is not None
        for layer in range(3):
            for head in range(2):
                before = old.sources[layer, head].tolist()
                places = [before.index(token) for token in new.sources[layer, head].tolist()]
                assert len(places) == 32 // new.ratio
                kept = new.rows.keys[layer, head]
                assert torch.equal(kept, old.rows.keys[layer, head, places])
                kept = new.rows.values[layer, head]
                assert torch.equal(kept, old.rows.values[layer, head, places])
    first = smaller.blocks[0].sources
    assert first is not None
    assert (first == torch.arange(first.shape[2])).all()


def test_raw_windows_can_be_made_smaller_too() -> None:
    engine = selecting(ratios=(0,))
    state = engine.append_ids(engine.empty(), tokens(32 * 4))
    smaller = fit(engine, state, int(0.6 * state.nbytes), recent_tokens=40)
    assert ratios(smaller)[2:] == [0, 0]
    assert min(ratios(smaller)[:2]) > 1
    first = smaller.blocks[0]
    assert first.sources is not None
    raw = state.blocks[0].rows.keys
    assert torch.equal(first.rows.keys[1, 1], raw[1, 1, first.sources[1, 1].long()])


def test_equal_digests_mean_equal_rows() -> None:
    engine = selecting()
    ids = tokens(32 * 6)
    state = engine.append_ids(engine.empty(), ids)
    spared = 4 * (state.blocks[0].nbytes - 4 * 32) // 8  # four of eight rows
    late = fit(engine, state, state.nbytes - spared, recent_tokens=32 * 5)
    early = engine.append_ids(engine.empty(), ids[:96])
    early = fit(engine, early, early.nbytes - spared, recent_tokens=32 * 2)
    early = engine.append_ids(early, ids[96:])
    other = selecting(ratios=(8, 4), mix="sequence")
    at_once = other.append_ids(other.empty(), ids[:64])
    assert ratios(late) == ratios(early) == [8, *[4] * 5]
    assert ratios(at_once) == [8, 4]
    assert late.digest != early.digest != state.digest != late.digest
    assert late.blocks[0].digest == early.blocks[0].digest != at_once.blocks[0].digest
    assert apart(late.blocks[0].rows, early.blocks[0].rows) == 0.0
    assert late.blocks[1].digest == early.blocks[1].digest
    assert late.blocks[3].digest != early.blocks[3].digest  # one has seen the rows that went
    again = fit(engine, state, state.nbytes - spared, recent_tokens=32 * 5)
    assert again.checksum() == late.checksum()


def test_a_smaller_memory_is_saved_and_gone_on_with(tmp_path: Path) -> None:
    engine = selecting()
    state = engine.append_ids(engine.empty(), tokens(32 * 6 + 5))
    smaller = fit(engine, state, int(0.8 * state.nbytes), recent_tokens=40)
    maker = Maker.of(engine)
    save_state(tmp_path, smaller, maker, "fp32")
    stored = open_state(tmp_path, maker)
    assert stored is not None
    loaded = stored.load()
    assert loaded.checksum() == smaller.checksum()
    longer, expected = (engine.append_ids(one, tokens(60, 3)) for one in (loaded, smaller))
    assert longer.checksum() == expected.checksum()


# ---------------------------------------------------------------- errors


def test_a_budget_that_cannot_be_met_names_the_least(build: Build) -> None:
    engine = build()
    state = engine.append_ids(engine.empty(), tokens(200))
    with pytest.raises(InvalidInput, match="takes at least") as caught:
        fit(engine, state, 1, recent_tokens=64)
    least = int(str(caught.value).rsplit(" ", 1)[1])
    assert fit(engine, state, least, recent_tokens=64).nbytes == least
    with pytest.raises(InvalidInput, match="takes at least"):
        fit(engine, state, least - 1, recent_tokens=64)


def test_what_keeps_every_row_cannot_be_made_smaller() -> None:
    engine = selecting(Full())
    state = engine.append_ids(engine.empty(), tokens(100))
    with pytest.raises(InvalidInput, match="full keeps every row"):
        fit(engine, state, 1000, 0)


def test_another_engines_memory_is_refused(build: Build) -> None:
    engine = selecting()
    state = engine.append_ids(engine.empty(), tokens(100))
    with pytest.raises(InvalidInput, match="another model"):
        fit(build(), state, 1000, 0)
