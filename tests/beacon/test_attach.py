"""A stock model is lent the beacons' projections and is as it was afterwards."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import nn

from memoryscope_rag.beacon.attach import attached
from memoryscope_rag.beacon.model import MemoryModel
from memoryscope_rag.errors import ModelError
from tests.beacon.conftest import Build, difference, tiny, tokens, trained


def hooks(model: Any) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def test_the_model_is_restored_also_after_an_error(build: Build) -> None:
    model = tiny("qwen3")
    ids = torch.tensor([tokens(20)])
    state, marks, before = dict(model.state_dict()), set(model.__dict__), model(ids).logits
    with attached(model, trained(model)):
        assert hooks(model) > 0
        with pytest.raises(ModelError, match="attached to a beacon memory already"):
            attached(model, None).__enter__()
    assert hooks(model) == 0
    with pytest.raises(KeyError), attached(model, trained(model)):
        raise KeyError
    assert hooks(model) == 0
    assert set(model.__dict__) == marks
    assert torch.equal(model(ids).logits, before)
    assert all(model.state_dict()[key] is not None for key in state)
    engine = build(model=model)
    engine.append_ids(engine.empty(), tokens(50))
    assert hooks(model) == 0
    assert torch.equal(model(ids).logits, before)


def test_another_thread_is_refused_too() -> None:
    model = tiny()
    refused: list[str] = []

    def other() -> None:
        try:
            with attached(model, None):
                pass
        except ModelError as error:
            refused.append(str(error))

    with attached(model, None):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert refused
    with attached(model, None):
        pass


def test_beacon_projections_see_beacon_rows_only() -> None:
    model = tiny()
    weights = trained(model)
    seen: list[int] = []

    def note(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(len(inputs[0]))

    for layer in range(3):
        for letter in "qkv":
            module = weights.projection(layer, f"{letter}_proj")
            assert module is not None
            module.register_forward_pre_hook(note)
    with attached(model, weights) as attachment, torch.no_grad():
        attachment.beacons = torch.tensor([3, 7])
        model(torch.tensor([tokens(10)]))
        attachment.beacons = None
        model(torch.tensor([tokens(10)]))
    assert seen == [2] * 9


def test_p10_gradients_reach_the_beacons_alone() -> None:
    model = tiny()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    weights = trained(model)
    with attached(model, weights) as attachment:
        attachment.beacons = torch.tensor([3, 7])
        model(torch.tensor([tokens(10)])).logits.square().mean().backward()
    for name, parameter in weights.named_parameters():
        if name != "beacon_embed_tokens":  # no row had it
            assert parameter.grad is not None, name
            assert bool(parameter.grad.any()), name
    assert all(parameter.grad is None for parameter in model.parameters())


def test_noted_rows_are_those_before_rope() -> None:
    model = tiny("qwen3")
    known = MemoryModel.of(model)
    ids = torch.tensor([tokens(17)])
    with attached(model, None) as attachment, torch.no_grad():
        cache = model(ids, use_cache=True).past_key_values
        rows = attachment.take()
    for layer in range(3):
        rotated = known.rotation.rotate(rows.keys[layer], 0)
        assert torch.equal(rotated, cache.layers[layer].keys[0])
        assert torch.equal(rows.values[layer], cache.layers[layer].values[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_rotated_anew_are_those_that_the_model_rotated(
    dtype: torch.dtype, build: Build
) -> None:
    engine = build(model=tiny("qwen2").to(dtype))
    state = engine.append_ids(engine.empty(), tokens(110))
    kept = [layer[0].clone() for layer in engine._pasts[0].rows()]
    fresh = engine.model.past()
    fresh.attach(state.parts())
    for mine, (keys, _) in zip(kept, fresh.rows(), strict=True):
        assert difference(mine, keys) == 0


@pytest.mark.parametrize(
    ("architecture", "settings", "message"),
    [
        ("gpt_neox", {}, "no separate q_proj"),
        ("phi", {"partial_rotary_factor": 0.5}, "no separate q_proj|rotates"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
            "of the kind dynamic",
        ),
    ],
)
def test_models_that_will_not_do_are_refused(
    architecture: str, settings: dict[str, Any], message: str
) -> None:
    if architecture == "llama":  # the older spelling of the same
        settings = {**settings, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}
    with pytest.raises(ModelError, match=message):
        MemoryModel.of(tiny(architecture, **settings))


@pytest.mark.parametrize(
    ("settings", "capacity"),
    [
        ({}, 1024),
        ({"rope": {"rope_type": "linear", "factor": 4.0}}, 4096),
        (
            {
                "rope": {
                    "rope_type": "yarn",
                    "factor": 4.0,
                    "original_max_position_embeddings": 1024,
                }
            },
            4096,
        ),
    ],
)
def test_p13_positions_of_a_model(settings: dict[str, Any], capacity: int) -> None:
    import transformers

    rope = settings.pop("rope", None)
    if rope is not None:
        new = int(transformers.__version__.partition(".")[0]) >= 5
        settings["rope_parameters" if new else "rope_scaling"] = {**rope, "rope_theta": 1e4}
    assert MemoryModel.of(tiny(**settings)).capacity == capacity


def test_p13_a_sliding_window_is_the_models_length() -> None:
    assert MemoryModel.of(tiny("mistral", sliding_window=200)).capacity == 200
    assert MemoryModel.of(tiny("mistral", sliding_window=None)).capacity == 1024
