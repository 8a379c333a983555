"""Heads are chosen by where they put evidence, and kept with the model that they are of."""

from __future__ import annotations

import json

import pytest
import torch

from memoryscope_rag.beacon.compressor import Full
from memoryscope_rag.beacon.engine import BeaconEngine, TokenizedMessage
from memoryscope_rag.beacon.heads import (
    HeadSet,
    Observation,
    observe,
    packaged_heads,
    reciprocal_ranks,
    select_heads,
)
from memoryscope_rag.beacon.read_attention import Head, make_readable, read_attention
from memoryscope_rag.beacon.weights import fingerprint
from memoryscope_rag.errors import BeaconMismatch, ConfigError, InvalidInput
from memoryscope_rag.models.chat_presets import DEFAULT_CHAT_MODEL
from memoryscope_rag.testing.tiny_model import tiny_tokenizer
from tests.beacon.conftest import tiny, tokens

HEADS = [Head(layer, head) for layer in range(3) for head in range(4)]


def observations(pointing: dict[str, list[int]]) -> list[Observation]:
    """Random mass, but for some heads of each conversation, which mostly know the evidence."""
    source = torch.Generator().manual_seed(0)
    found = []
    for conversation, heads in pointing.items():
        for _ in range(20):
            mass = torch.rand(len(HEADS), 30, generator=source)
            evidence = torch.randint(0, 30, (1,), generator=source)
            for head in heads:
                mass[head, evidence] += 0.8
            found.append(Observation(conversation, mass, evidence))
    return found


def test_heads_that_point_are_chosen() -> None:
    selection = select_heads(observations({"a": [2, 7], "b": [2, 7], "c": [2, 7]}), HEADS, count=2)
    assert set(selection.heads) == {HEADS[2], HEADS[7]}
    assert all(set(heads) == set(selection.heads) for heads in selection.held_out.values())
    assert selection.quality > 0.8


def test_a_conversation_has_no_say_in_its_own_heads() -> None:
    selection = select_heads(observations({"a": [1], "b": [5], "c": [5]}), HEADS, count=1)
    assert selection.heads == (HEADS[5],)
    assert selection.held_out["a"] == (HEADS[5],)
    one = select_heads(observations({"a": [1], "b": [5]}), HEADS, count=1)
    assert one.held_out == {"a": (HEADS[5],), "b": (HEADS[1],)}
    assert one.quality < 0.4


def test_ranks_by_hand() -> None:
    mass = torch.tensor([[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 1.0]])
    found = reciprocal_ranks(Observation("a", mass, torch.tensor([0, 2])))
    assert found.tolist() == pytest.approx([(1 + 1 / 3) / 2, (1 / 4 + 1 / 2) / 2, 1 / 4])


def test_one_conversation_is_not_enough() -> None:
    with pytest.raises(InvalidInput, match="at least two"):
        select_heads(observations({"a": [1]}), HEADS)


@pytest.fixture
def engine() -> BeaconEngine:
    return BeaconEngine(tiny(), tiny_tokenizer(), compressor=Full())


def test_observing_a_question(engine: BeaconEngine) -> None:
    read = [TokenizedMessage(f"m{number}", tokens(9, number)) for number in range(4)]
    states = [engine.append(engine.empty(), read[:2]), engine.append(engine.empty(), read[2:])]
    memories = make_readable(engine, states, HEADS)
    seen = observe(engine, memories, "talk", "where?", {"m3", "m1", "elsewhere"})
    assert (seen.conversation, seen.evidence.tolist()) == ("talk", [1, 3])
    mass = read_attention(engine, memories, "where?")
    assert seen.mass.float().mean(dim=0).tolist() == pytest.approx(list(mass.values()), abs=1e-3)
    with pytest.raises(InvalidInput, match="no message"):
        observe(engine, memories, "talk", "where?", {"elsewhere"})


def test_heads_stay_with_their_model(engine: BeaconEngine) -> None:
    chosen = HeadSet(
        "tiny", fingerprint(engine.model.stock), (Head(1, 2), Head(0, 3)), {"data": "d"}
    )
    again = HeadSet.from_json(chosen.to_json())
    assert again == chosen
    assert again.for_engine(engine) == (Head(1, 2), Head(0, 3))
    other = BeaconEngine(tiny("qwen2"), compressor=Full())
    with pytest.raises(BeaconMismatch, match="chosen for tiny, not for qwen-x"):
        again.for_engine(other, "qwen-x")


@pytest.mark.parametrize(
    "text", ["{}", "[]", "no json", '{"format": 9}', '{"format": 1, "heads": [[1]]}']
)
def test_what_is_no_file_of_heads_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="heads"):
        HeadSet.from_json(text)


def test_heads_that_ship() -> None:
    shipped = packaged_heads(DEFAULT_CHAT_MODEL)
    assert len(set(shipped.heads)) == 12
    assert all(0 <= layer < 30 and 0 <= head < 9 for layer, head in shipped.heads)
    assert {"data", "conversations", "questions"} <= shipped.fitted.keys()
    with pytest.raises(ConfigError, match="no heads ship for 'elsewhere'"):
        packaged_heads("elsewhere")
    assert json.loads(shipped.to_json())["model"] == DEFAULT_CHAT_MODEL
