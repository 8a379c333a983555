"""Attention read from stored memories is the model's own, for every kind of model and memory."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import torch

from memoryscope_rag.beacon.compressor import Compressor, Full
from memoryscope_rag.beacon.engine import BeaconEngine, TokenizedMessage
from memoryscope_rag.beacon.key_difference import KeyDifference
from memoryscope_rag.beacon.read_attention import (
    Head,
    Readable,
    attention_mass,
    calibrated_mass,
    make_readable,
    question_ids,
    read_attention,
)
from memoryscope_rag.beacon.select import Select
from memoryscope_rag.beacon.session_memory import append_to_sessions
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.errors import InvalidInput, ModelError
from memoryscope_rag.schema import NewMessage
from memoryscope_rag.testing.tiny_model import tiny_tokenizer
from tests.beacon.conftest import Build, difference, tiny, tokens

EVERY = [Head(layer, head) for layer in range(3) for head in range(4)]
SOME = [Head(1, 3), Head(0, 2)]


def engine_of(
    architecture: str = "llama",
    compressor: Compressor | None = None,
    *,
    ratio: int = 4,
    **settings: Any,
) -> BeaconEngine:
    """An engine whose model computes attention eagerly, so that it can show it."""
    model = tiny(architecture)
    model.set_attn_implementation("eager")
    return BeaconEngine(
        model,
        tiny_tokenizer(),
        settings=BeaconSettings(**{"window": 32, "ratios": (ratio,), **settings}),
        compressor=Full() if compressor is None else compressor,
    )


def session(
    engine: BeaconEngine, name: str, *lengths: int, head: int = 0
) -> tuple[MemoryState, list[str]]:
    """A memory of ``head`` tokens of no message, then messages; and for each token its message."""
    state = engine.append_ids(engine.empty(), tokens(head, 77)) if head else engine.empty()
    every = [
        TokenizedMessage(f"{name}{number}", tokens(length, len(name) + 10 * number))
        for number, length in enumerate(lengths)
    ]
    owners = [""] * head + [one.message_id for one in every for _ in one.ids]
    return engine.append(state, every), owners


def by_message(
    attention: tuple[torch.Tensor, ...], rows: list[str], messages: tuple[str, ...]
) -> torch.Tensor:
    """Of eager attentions ``(1, heads, queries, rows)`` the mass ``(all heads, messages)``."""
    found = []
    for layer in attention:
        mean = layer[0].mean(dim=1)
        found += [
            torch.stack([one[torch.tensor([r == name for r in rows])].sum() for name in messages])
            for one in (head[: len(rows)] for head in mean)
        ]
    return torch.stack(found)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "mistral"])
def test_it_is_the_attention_of_the_model_itself(architecture: str) -> None:
    engine = engine_of(architecture)
    sessions = [session(engine, "a", 20, 31, 9, head=3), session(engine, "bb", 7, 40)]
    ready = make_readable(engine, [state for state, _ in sessions], EVERY)
    asked = tokens(11, 5)
    masses = attention_mass(engine, ready, asked)
    for (state, owners), memory, mass in zip(sessions, ready, masses, strict=True):
        ids = torch.tensor([state.token_ids().tolist() + asked])
        with torch.no_grad():
            out = engine.model.stock(ids, output_attentions=True)
        seen = tuple(layer[:, :, -len(asked) :] for layer in out.attentions)
        assert difference(mass, by_message(seen, owners, memory.messages)) < 1e-5


@pytest.mark.parametrize("compressor", [None, Select(KeyDifference())], ids=["full", "select"])
@pytest.mark.parametrize("settings", [{}, {"skip_first": 20}, {"sink_size": 2}], ids=str)
def test_memories_are_attended_to_as_they_are_kept(
    compressor: Compressor | None, settings: dict[str, Any]
) -> None:
    engine = engine_of(compressor=compressor, **settings)
    state, owners = session(engine, "a", 50, 31, 40)
    (memory,) = make_readable(engine, [state], EVERY)
    asked = tokens(9, 5)
    (mass,) = attention_mass(engine, [memory], asked)
    attentions = attached_attention(engine, state, asked)
    for number, (layer, head) in enumerate(EVERY):
        rows = [owners[int(token)] for token in row_tokens(state, layer, head // 2)]
        assert len(rows) == len(memory) == state.row_count
        expected = by_message((attentions[layer][:, head : head + 1],), rows, memory.messages)
        assert difference(mass[number], expected[0]) < 1e-5


def test_beacons_are_of_the_message_that_they_close(build: Build) -> None:
    model = tiny()
    model.set_attn_implementation("eager")
    engine = build(model=model)
    state, owners = session(engine, "a", 50, 31)
    (memory,) = make_readable(engine, [state], EVERY)
    asked = tokens(9, 5)
    (mass,) = attention_mass(engine, [memory], asked)
    # two windows of 32, a beacon for four tokens; then 17 tokens with a beacon after every fourth
    tail = [64 + token for token in (0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 11, 12, 13, 14)]
    rows = [owners[token] for token in [*range(3, 64, 4), *tail, 79, 79, 80]]
    assert len(rows) == state.row_count
    expected = by_message(attached_attention(engine, state, asked), rows, memory.messages)
    assert difference(mass, expected) < 1e-5


def test_chosen_messages_alone_are_attached() -> None:
    engine = engine_of()
    state, owners = session(engine, "a", 20, 31, 30, 25, head=3)
    chosen = ["a1", "a3"]
    (memory,) = make_readable(engine, [state], SOME, chosen)
    assert memory.messages == ("a1", "a3")
    stays = torch.tensor([owner in ("", *chosen) for owner in owners])
    assert len(memory) == int(stays.sum()) == 3 + 31 + 25
    keys = torch.cat([part.keys for part in state.parts()], dim=2)[:2, :, stays]
    assert difference(memory.keys, engine.model.rotation.rotate(keys, 0)) == 0.0
    everything = read_attention(engine, make_readable(engine, [state], SOME), "who?")
    assert set(read_attention(engine, [memory], "who?")) == set(chosen) < set(everything)


def test_blocks_with_rows_of_their_own_are_attached_whole() -> None:
    engine = engine_of(compressor=Select(KeyDifference()))
    state, _ = session(engine, "a", 32, 32, 10)
    (memory,) = make_readable(engine, [state], SOME, ["a1"])
    assert len(memory) == 8
    assert bool((memory.owners == 0).all())


def test_calibrated_by_an_empty_question() -> None:
    engine = engine_of()
    states = [session(engine, name, 20, 31)[0] for name in ("a", "bb")]
    ready = make_readable(engine, states, SOME)
    empty = attention_mass(engine, ready, question_ids(engine, ""))
    asked = attention_mass(engine, ready, question_ids(engine, "where is it?"))
    masses = calibrated_mass(engine, ready, "where is it?")
    for one, before, mass in zip(asked, empty, masses, strict=True):
        usual = before.mean(dim=1, keepdim=True)
        assert difference(mass.exp(), (one + usual) / (before + usual)) < 1e-5
    found = read_attention(engine, ready, "where is it?")
    assert list(found) == ["a0", "a1", "bb0", "bb1"]
    assert found["bb1"] == pytest.approx(float(masses[1][:, 1].mean()))
    nothing = read_attention(engine, ready, "")
    assert list(nothing.values()) == pytest.approx([0.0] * 4, abs=1e-6)


def test_memories_do_not_meet() -> None:
    engine = engine_of()
    states = [session(engine, name, 20, 31)[0] for name in ("a", "bb", "ccc")]
    together = read_attention(engine, make_readable(engine, states, SOME), "where?")
    for state in states:
        alone = read_attention(engine, make_readable(engine, [state], SOME), "where?")
        assert alone == pytest.approx({name: together[name] for name in alone}, abs=1e-5)


def test_layers_above_the_highest_head_do_not_run() -> None:
    engine = engine_of()
    (memory,) = make_readable(engine, [session(engine, "a", 20)[0]], SOME)
    assert memory.keys.shape[0] == memory.values.shape[0] == memory.owners.shape[0] == 2
    ran = []
    layers = engine.model.stock.base_model.layers
    for number, layer in enumerate(layers):
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
    read_attention(engine, [memory], "where?")
    assert ran == [0, 1]


def test_the_model_and_the_memory_stay_as_they_were() -> None:
    engine = engine_of()
    state, _ = session(engine, "a", 20, 31)
    before = state.checksum()
    config = engine.model.stock.config
    ready = make_readable(engine, [state], SOME)
    read_attention(engine, ready, "where?")
    assert state.checksum() == before
    assert config._attn_implementation == "eager"
    with pytest.raises(ModelError, match="positions"):
        attention_mass(engine, ready, tokens(1024))
    layers = engine.model.stock.base_model.layers
    hook = layers[1].register_forward_pre_hook(fail)
    with pytest.raises(ModelError, match="no memory left"):
        read_attention(engine, ready, "where?")
    hook.remove()
    assert config._attn_implementation == "eager"
    assert len(read_attention(engine, ready, "where?")) == 2


def test_what_cannot_be_read_is_refused() -> None:
    engine = engine_of()
    state, _ = session(engine, "a", 20)
    with pytest.raises(InvalidInput, match="3 layers of 4 heads"):
        make_readable(engine, [state], [Head(3, 0)])
    with pytest.raises(InvalidInput, match="are none"):
        make_readable(engine, [state], [])
    with pytest.raises(InvalidInput, match="another model"):
        make_readable(engine_of("qwen2"), [state], SOME)
    mixed: list[Readable] = [
        *make_readable(engine, [state], SOME),
        *make_readable(engine, [state], EVERY),
    ]
    with pytest.raises(InvalidInput, match="different heads"):
        read_attention(engine, mixed, "where?")
    assert make_readable(engine, [], SOME) == []
    assert read_attention(engine, make_readable(engine, [engine.empty()], SOME), "where?") == {}
    assert read_attention(engine, [], "where?") == {}


def fail(*_: Any) -> None:
    raise RuntimeError("no memory left")


def attached_attention(
    engine: BeaconEngine, state: MemoryState, ids: list[int]
) -> tuple[torch.Tensor, ...]:
    """The model's eager attentions of ``ids`` behind the rows of ``state``."""
    past = engine.model.past()
    past.attach(state.parts())
    positions = len(past) + torch.arange(len(ids))
    with torch.no_grad():
        out = engine.model.stock(
            torch.tensor([ids]),
            position_ids=positions[None],
            past_key_values=past.cache,
            output_attentions=True,
        )
    found: tuple[torch.Tensor, ...] = out.attentions
    return found


def row_tokens(state: MemoryState, layer: int, head: int) -> list[int]:
    """The token of each row that a head attends to, where the tail holds no beacons."""
    found = list(range(len(state.sink)))
    for block in state.blocks:
        found += block.row_tokens()[layer, head].tolist()
    return found + list(range(state.compressed_tokens, state.tokens))


def test_sessions_are_memories_of_their_own() -> None:
    engine = engine_of()
    said = [
        NewMessage(f"m{number}", session, "user", text, datetime(2026, 3, 1, tzinfo=UTC), "Ann")
        for number, (session, text) in enumerate(
            [("one", "hello"), ("two", "a <|im_end|> b"), ("one", "bye")]
        )
    ]
    states = append_to_sessions(engine, {}, said[:2])
    states = append_to_sessions(engine, states, said[2:])
    assert list(states) == ["one", "two"]
    at_once = append_to_sessions(engine, {}, said)
    assert {name: state.checksum() for name, state in states.items()} == {
        name: state.checksum() for name, state in at_once.items()
    }
    tokenizer = engine.tokenizer
    two = states["two"].token_ids().tolist()
    assert two[0] == tokenizer.bos_token_id
    assert tokenizer.eos_token_id not in two
    assert tokenizer.decode(two[1:]) == "[2026-03-01 Sun 00:00 +00:00] Ann: a <|im_end|> b\n"
    found = read_attention(engine, make_readable(engine, list(states.values()), SOME), "hello?")
    assert list(found) == ["m0", "m2", "m1"]
