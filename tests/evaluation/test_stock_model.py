"""What a memory is measured against says what the memory of all rows says, and keeps its cache."""

from __future__ import annotations

import torch

from memoryscope_rag.beacon.compressor import Full
from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.evaluation.rounds import median_seconds
from memoryscope_rag.evaluation.stock_model import StockModel
from memoryscope_rag.ports import Sampling
from tests.beacon.conftest import tiny, tokens


def test_stock_says_what_a_full_memory_says() -> None:
    model = tiny()
    stock, history, prompt = StockModel(model), tokens(100), tokens(3, 1)
    cache = stock.prefilled(history)
    engine = BeaconEngine(model, settings=BeaconSettings(window=32), compressor=Full())
    state = engine.append_ids(engine.empty(), history)
    answer = engine.generate(state, [prompt], Sampling(temperature=0.0, max_tokens=12))[0]
    for _ in range(2):
        assert tuple(stock.say_behind(cache, prompt, 12)) == answer.tokens
        assert cache.get_seq_length() == 100
        stock.read_behind(cache, tokens(20, 2))
        assert cache.get_seq_length() == 100


def test_rounds_take_turns_and_the_first_does_not_count() -> None:
    done: list[str] = []
    work = {name: (lambda name=name: done.append(name)) for name in ("one", "other")}
    found = median_seconds(work, 2, torch.device("cpu"))
    assert done == ["one", "other"] * 3
    assert found.keys() == work.keys()
    assert all(seconds >= 0 for seconds in found.values())
