"""Answers from a memory that stays what it is."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch

from memoryscope_rag.beacon.compressor import Full
from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.ports import Sampling
from memoryscope_rag.testing.tiny_model import tiny_tokenizer
from tests.beacon.conftest import Build, tiny, tokens

GREEDY = Sampling(temperature=0.0, max_tokens=12)


def plain(model: Any) -> BeaconEngine:
    settings = BeaconSettings(window=16)
    return BeaconEngine(model, tiny_tokenizer(), settings=settings, compressor=Full())


def test_p15_over_full_rows_it_says_what_generate_says() -> None:
    model = tiny("qwen2", eos_token_id=None)
    engine = plain(model)
    ids, prompt = tokens(50), tokens(9, seed=1)
    state = engine.append_ids(engine.empty(), ids)
    answer = engine.generate(state, [prompt], GREEDY)[0]
    expected = model.generate(
        torch.tensor([[*ids, *prompt]]),
        attention_mask=torch.ones(1, 59, dtype=torch.long),
        max_new_tokens=12,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=256,
    )
    assert list(answer.tokens) == expected[0, 59:].tolist()
    assert answer.finish == "length"


def test_n3_n4_a_thousand_recalls_leave_the_memory_alone(build: Build) -> None:
    engine = build(model=tiny(num_hidden_layers=2))
    state = engine.append_ids(engine.empty(), tokens(85))
    checksum, rows = state.checksum(), state.row_count
    blocks, tail = state.blocks, state.tail
    prompt = tokens(5, seed=1)
    first = engine.generate(state, [prompt], Sampling(temperature=0.0, max_tokens=2))
    held = [keys.data_ptr() for keys, _ in engine._pasts[0].rows()]
    read = engine.stats
    for _ in range(1000):
        again = engine.generate(state, [prompt], Sampling(temperature=0.0, max_tokens=2))
        assert again == first
    assert state.checksum() == checksum
    assert state.blocks is blocks
    assert state.tail is tail
    assert [keys.data_ptr() for keys, _ in engine._pasts[0].rows()] == held  # nothing was copied
    assert len(engine._pasts[0]) == rows
    assert engine.stats == read  # no beacons, nor anything else, were read into it


def test_n4_an_answer_longer_than_a_window_makes_no_beacons(build: Build) -> None:
    engine = build()
    state = engine.append_ids(engine.empty(), tokens(60))
    seen: list[int] = []
    hook = engine.model.stock.base_model.layers[0].register_forward_pre_hook(
        lambda _, args: seen.append(args[0].shape[1])
    )
    answer = engine.generate(state, [tokens(10, 1)], Sampling(temperature=0.0, max_tokens=50))[0]
    hook.remove()
    assert seen == [10, *[1] * (len(answer.tokens) - 1)]


def test_a_batch_of_prompts_says_what_each_says_alone(build: Build) -> None:
    engine = build(model=tiny("qwen3"))
    state = engine.append_ids(engine.empty(), tokens(110))
    prompts = [tokens(count, seed) for seed, count in enumerate((1, 17, 4, 40))]
    for sampling in (GREEDY, Sampling(temperature=1.0, top_p=0.9, seed=3, max_tokens=12)):
        alone = [engine.generate(state, [prompt], sampling)[0] for prompt in prompts]
        assert engine.generate(state, prompts, sampling) == alone
    assert len(engine._pasts[0]) == state.row_count


def test_after_an_answer_the_memory_goes_on(build: Build) -> None:
    engine, other = build(), build()
    ids = tokens(100)
    state = engine.append_ids(engine.empty(), ids[:40])
    engine.generate(state, [tokens(30, 1)], GREEDY)
    state = engine.append_ids(state, ids[40:])
    expected = other.append_ids(other.append_ids(other.empty(), ids[:40]), ids[40:])
    assert state.checksum() == expected.checksum()


def test_streams_give_the_text_piece_by_piece(build: Build) -> None:
    engine = build()
    state = engine.append_ids(engine.empty(), tokens(50))
    whole = engine.generate(state, [tokens(4), tokens(5, 1)], GREEDY)
    pieces = list(engine.stream(state, [tokens(4), tokens(5, 1)], GREEDY))
    for number, answer in enumerate(whole):
        mine = [piece for piece in pieces if piece.prompt == number]
        assert "".join(piece.text for piece in mine) == answer.text
        assert [piece.answer for piece in mine if piece.answer] == [answer]


def test_closing_a_stream_early_ends_it(build: Build) -> None:
    engine = build()
    state = engine.append_ids(engine.empty(), tokens(50))
    stream = engine.stream(state, [tokens(4)], Sampling(temperature=0.0, max_tokens=100))
    next(stream)
    with pytest.raises(ModelError, match="still answering in this thread"):
        engine.append_ids(state, [1])
    stream.close()
    assert engine.append_ids(state, [1]).tokens == 51


def test_other_threads_wait_for_their_turn(build: Build) -> None:
    engine = build()
    state = engine.append_ids(engine.empty(), tokens(50))
    expected = engine.generate(state, [tokens(4)], GREEDY)
    longer = engine.append_ids(state, tokens(30, 2)).checksum()
    wrong: list[int] = []

    def recalling(number: int) -> None:
        for _ in range(10):
            if number % 2:
                good = engine.generate(state, [tokens(4)], GREEDY) == expected
            else:
                good = engine.append_ids(state, tokens(30, 2)).checksum() == longer
            if not good:
                wrong.append(number)

    threads = [threading.Thread(target=recalling, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_stop_strings_and_end_tokens(build: Build) -> None:
    engine = build()
    state = engine.append_ids(engine.empty(), tokens(50))
    prompt = next(
        prompt
        for prompt in (tokens(6, seed) for seed in range(50))
        if len(engine.generate(state, [prompt], GREEDY)[0].text) > 8
    )
    whole = engine.generate(state, [prompt], GREEDY)[0]
    stop = whole.text[4:6]
    sampling = Sampling(temperature=0.0, max_tokens=12, stop=(stop,))
    cut = engine.generate(state, [prompt], sampling)[0]
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish == "stop"
    assert len(cut.tokens) < len(whole.tokens)
    model = engine.model.stock
    model.generation_config.eos_token_id = [whole.tokens[3]]
    try:
        ended = BeaconEngine(
            model,
            tiny_tokenizer(),
            settings=engine.encoder.settings,
            weights=engine.encoder.weights,
        ).generate(state, [prompt], GREEDY)[0]
    finally:
        model.generation_config.eos_token_id = 258
    first = whole.tokens.index(whole.tokens[3])
    assert ended.tokens == whole.tokens[: first + 1]
    assert ended.finish == "stop"


def test_the_penalty_counts_prompt_and_answer_but_not_the_memory(build: Build) -> None:
    engine = build()
    state = engine.append_ids(engine.empty(), tokens(50))
    prompt = tokens(6, seed=2)
    free = engine.generate(state, [prompt], GREEDY, repetition_penalty=1.0)[0]
    fined = engine.generate(state, [prompt], GREEDY, repetition_penalty=1e9)[0]
    # only what was in the prompt or the answer is avoided
    assert len(set(fined.tokens)) == len(fined.tokens)
    assert not set(fined.tokens) & set(prompt)
    if free.tokens[0] not in prompt:
        assert fined.tokens[0] == free.tokens[0]
    with pytest.raises(InvalidInput, match="repetition_penalty: is 0"):
        engine.generate(state, [prompt], GREEDY, repetition_penalty=0.0)


def test_a_seed_gives_the_same_answer_and_torch_keeps_its_state(build: Build) -> None:
    engine = build()
    state = engine.append_ids(engine.empty(), tokens(50))
    before = torch.random.get_rng_state()
    sampling = Sampling(temperature=1.5, top_p=0.95, seed=7, max_tokens=12)
    one, other = (engine.generate(state, [tokens(6)], sampling) for _ in range(2))
    assert one == other
    assert torch.equal(before, torch.random.get_rng_state())


def test_p13_prompts_that_do_not_fit_are_refused() -> None:
    engine = plain(tiny(max_position_embeddings=64))
    state = engine.append_ids(engine.empty(), tokens(50))
    with pytest.raises(
        ModelError, match=r"a prompt of 15 tokens does not fit .* lacks 2 positions"
    ):
        engine.generate(state, [tokens(15)], GREEDY)
    answer = engine.generate(state, [tokens(10)], GREEDY)[0]
    assert len(answer.tokens) <= 4
    with pytest.raises(ModelError, match="would take 65 positions, but the model has 64"):
        engine.append_ids(state, tokens(15))


@pytest.mark.parametrize(
    ("prompts", "sampling", "message"),
    [
        ([], GREEDY, "prompts"),
        ([[1], []], GREEDY, "prompts"),
        ([[999]], GREEDY, "ids"),
        ([[1]], Sampling(top_p=0.0), "top_p"),
    ],
)
def test_input_that_makes_no_sense(
    prompts: list[list[int]], sampling: Sampling, message: str, build: Build
) -> None:
    engine = build()
    with pytest.raises(InvalidInput, match=message):
        engine.generate(engine.empty(), prompts, sampling)


def test_an_empty_memory_answers_as_the_stock_model() -> None:
    model = tiny()
    engine = plain(model)
    prompt = tokens(8)
    first = engine.generate(engine.empty(), [prompt], GREEDY)[0].tokens[0]
    assert first == int(model(torch.tensor([prompt])).logits[0, -1].argmax())
