"""Messages in a memory: which block saw which, forgetting, many histories on one engine."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from memoryscope_rag.beacon.engine import BeaconEngine, TokenizedMessage
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.beacon.state import MemoryState, Span
from memoryscope_rag.errors import InvalidInput, ModelError
from tests.beacon.conftest import Build, tiny, tokens, trained
from tests.interpreter import run_alone


def messages(*lengths: int) -> list[TokenizedMessage]:
    """Messages m0, m1, … of so many random tokens."""
    return [
        TokenizedMessage(f"m{number}", tokens(length, number))
        for number, length in enumerate(lengths)
    ]


def test_blocks_name_the_messages_that_they_saw(build: Build) -> None:
    engine = build()
    state = engine.append(engine.empty(), messages(20, 20, 30, 10))
    state = engine.append(state, [TokenizedMessage("last", tokens(40, 9))])
    assert state.spans[1] == Span("m1", 20, 40)
    assert [state.messages_of(block) for block in range(3)] == [
        ("m0", "m1"),
        ("m1", "m2"),
        ("m2", "m3", "last"),
    ]
    assert state.spans[-1] == Span("last", 80, 120)
    back = state.rollback(1)
    assert back.spans == (Span("m0", 0, 20), Span("m1", 20, 32))
    assert back.tokens == 32


def test_rows_name_their_tokens(build: Build) -> None:
    engine = build()
    state = engine.append_ids(engine.empty(), tokens(70))
    found = state.blocks[1].row_tokens()
    assert found.shape == (3, 2, 8)
    assert found[0, 0].tolist() == [35, 39, 43, 47, 51, 55, 59, 63]


@pytest.mark.parametrize("settings", [{}, {"skip_first": 25}, {"sink_size": 2}], ids=str)
@pytest.mark.parametrize("gone", [{"m0"}, {"m2"}, {"m1", "m4"}, {"m5"}], ids=sorted)
def test_forgotten_messages_have_never_been(
    gone: set[str], settings: dict[str, Any], build: Build
) -> None:
    engine = build(**settings)
    every = messages(20, 25, 30, 35, 10, 15)
    state = engine.append(engine.empty(), every)
    left = engine.forget(state, gone)
    stays = [message for message in every if message.message_id not in gone]
    other = build(**settings)
    expected = other.append(other.empty(), stays)
    assert left.checksum() == expected.checksum()
    assert not gone & {span.message_id for span in left.spans}


def test_forgetting_reads_again_only_what_follows(build: Build) -> None:
    engine = build()
    state = engine.append(engine.empty(), messages(*[16] * 10))
    before = engine.stats.tokens
    left = engine.forget(state, {"m7"})  # tokens 112 to 127, in the fourth window
    assert engine.stats.tokens - before == 160 - 96 - 16
    assert left.blocks[:3] == state.blocks[:3]
    before = engine.stats.tokens
    assert engine.forget(left, {"m7", "nobody"}) is left
    assert engine.stats.tokens == before


def test_forgotten_rows_are_not_kept_ready(build: Build) -> None:
    engine = build()
    state = engine.append(engine.empty(), messages(40, 40, 40))
    engine.generate(state, [tokens(3)])
    left = engine.forget(state, {"m1"})
    held = engine._pasts[0]
    assert held.overlap(state.parts()[1:]) == 0
    assert len(held) == left.row_count


@pytest.mark.parametrize("pasts", [1, 3])
def test_histories_on_one_engine_do_not_meet(pasts: int) -> None:
    model = tiny()
    settings = BeaconSettings(window=16)
    weights = trained(model)
    shared = BeaconEngine(model, settings=settings, weights=weights, pasts=pasts)
    states: dict[int, MemoryState] = {}
    for turn in range(4):
        for user in range(6):
            state = states.get(user, shared.empty())
            states[user] = shared.append_ids(state, tokens(13, seed=100 * user + turn))
    for user in range(6):
        alone = BeaconEngine(model, settings=settings, weights=weights)
        state = alone.empty()
        for turn in range(4):
            state = alone.append_ids(state, tokens(13, seed=100 * user + turn))
        assert state.checksum() == states[user].checksum()


def test_p6_adapt_keeps_the_ratio_of_the_first_call() -> None:
    model = tiny(max_position_embeddings=256)
    settings = BeaconSettings(window=32, ratios=(2, 4, 8), mix="adapt", adapt_margin=500)
    engine = BeaconEngine(model, settings=settings, weights=trained(model))
    short = engine.append_ids(engine.empty(), tokens(100))
    assert short.fixed_ratio == 4  # (256 - 32) * 2 + 32 is less than 600
    longer = engine.append_ids(short, tokens(300))
    assert {block.ratio for block in longer.blocks} == {4}


def test_p13_nearly_full_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    model = tiny(max_position_embeddings=95)
    engine = BeaconEngine(model, settings=BeaconSettings(window=32), weights=trained(model))
    with caplog.at_level(logging.WARNING, logger="memoryscope_rag"):
        state = engine.append_ids(engine.empty(), tokens(32 * 6))
        assert not caplog.messages
        for token in tokens(31):  # said once, when it becomes so
            state = engine.append_ids(state, [token])
    assert caplog.messages == ["a beacon memory of 223 tokens takes 86 of the model's 95 positions"]


def test_states_say_what_they_hold(build: Build) -> None:
    engine = build()
    state = engine.append_ids(engine.empty(), tokens(70))
    assert (state.tokens, state.compressed_tokens) == (70, 64)
    assert state.row_count == 16 + 7
    assert state.token_ids().tolist() == tokens(70)
    assert state.token_ids(60).tolist() == tokens(70)[60:]
    # keys and values of float32, layer 0 once in each block, and the tokens
    row = 2 * 2 * 8 * 4
    assert state.nbytes == 2 * (8 * 2 + 1) * row + 7 * 3 * row + 70 * 4
    assert state.blocks[1].digest == state.digest != state.blocks[0].digest
    other = engine.append_ids(engine.empty(), [5, *tokens(70)[1:]])
    assert other.blocks[1].digest != state.digest
    assert other.checksum() != state.checksum()


def test_rows_kept_elsewhere_in_another_type_still_serve(build: Build) -> None:
    engine = build()
    state = engine.append_ids(engine.empty(), tokens(70))
    half = replace(
        state,
        blocks=tuple(
            replace(block, rows=block.rows.to("cpu", torch.bfloat16)) for block in state.blocks
        ),
    )
    assert half.nbytes < state.nbytes
    assert engine.generate(half, [tokens(5)])
    assert engine.append_ids(half, tokens(60)).tokens == 130


def test_input_that_makes_no_sense(build: Build) -> None:
    engine = build()
    state = engine.append_ids(engine.empty(), tokens(70))
    for wrong in (-1, 3):
        with pytest.raises(InvalidInput, match=f"blocks: is {wrong}, must be 0 to 2"):
            state.rollback(wrong)
    with pytest.raises(InvalidInput, match="none of the model's 261"):
        engine.append_ids(state, [261])
    with pytest.raises(InvalidInput, match="pasts"):
        BeaconEngine(tiny(), pasts=0)
    assert engine.append_ids(state, []).checksum() == state.checksum()


def test_an_error_in_the_midst_of_a_call_leaves_all_as_it_was(build: Build) -> None:
    engine, other = build(), build()
    ids = tokens(100)
    state = engine.append_ids(engine.empty(), ids[:50])
    checksum = state.checksum()

    def failing(_: Any, __: Any) -> None:
        raise RuntimeError("out of memory")

    hook = engine.model.stock.base_model.layers[1].register_forward_pre_hook(failing)
    with pytest.raises(ModelError, match="the model failed: out of memory"):
        engine.append_ids(state, ids[50:])
    with pytest.raises(ModelError, match="the model failed: out of memory"):
        engine.generate(state, [tokens(5)])
    hook.remove()
    assert state.checksum() == checksum
    expected = other.append_ids(other.append_ids(other.empty(), ids[:50]), ids[50:])
    assert engine.append_ids(state, ids[50:]).checksum() == expected.checksum()


def test_without_torch_the_extra_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import memoryscope_rag\n"
        "try: import memoryscope_rag.beacon.engine\n"
        "except ImportError as error: print(error)"
    )
    assert "beacon memory needs the extra 'transformers'" in run_alone(code, tmp_path)
