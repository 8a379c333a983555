"""Beacon weights: from the base model, from released checkpoints, as adapters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from memoryscope_rag.beacon.checkpoint import load_adapter, load_released, save_adapter
from memoryscope_rag.beacon.compressor import Full
from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.beacon.weights import BeaconWeights, fingerprint
from memoryscope_rag.errors import InvalidInput, ModelCorrupt, ModelError, ModelNotFound
from memoryscope_rag.testing.tiny_model import tiny_tokenizer
from tests.beacon.conftest import tiny, tokens, trained
from tests.beacon.states import same

FIELDS = {
    "beacon_window": 32,
    "beacon_stride": 32,
    "beacon_attn": "full-coverage",
    "beacon_attend_prev": True,
    "beacon_param": ["q", "k", "v"],
    "beacon_pos": "interleave",
    "beacon_embed_init": "eos",
    "beacon_sink_size": 0,
    "beacon_parallel_window": 1,
    "beacon_ratio": [2, 4, 8],
    "beacon_ratio_mix": "adapt-1024",
}
RELEASED = {"qwen2": (28, 508), "mistral": (32, 388)}


def release(folder: Path, model: Any, weights: BeaconWeights, **fields: Any) -> Path:
    """Write ``folder`` as the released checkpoints are: four shards, remote code in the config."""
    folder.mkdir()
    tensors = {**model.state_dict(), **weights.checkpoint()}
    shards: list[dict[str, torch.Tensor]] = [{} for _ in range(4)]
    placed = {}
    for number, (key, tensor) in enumerate(sorted(tensors.items())):
        shard = number * 4 // len(tensors)
        shards[shard][key] = tensor.contiguous()
        placed[key] = f"model-{shard + 1:05}-of-00004.safetensors"
    for number, shard_tensors in enumerate(shards):
        save_file(shard_tensors, folder / f"model-{number + 1:05}-of-00004.safetensors")
    index = {"metadata": {"total_size": 0}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = json.loads(model.config.to_json_string(use_diff=False))
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_memory.MemoryForCausalLM"}
    (folder / "config.json").write_text(json.dumps({**config, **FIELDS, **fields}))
    (folder / "modeling_memory.py").write_text("raise SystemExit('remote code was run')\n")
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("architecture", RELEASED)
def test_p11_released_layouts_load(architecture: str, tmp_path: Path) -> None:
    layers, count = RELEASED[architecture]
    model = tiny(architecture, num_hidden_layers=layers)
    weights = trained(model)
    folder = release(tmp_path / "released", model, weights)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert len(index["weight_map"]) == count
    engine = BeaconEngine.load(folder)
    found = engine.encoder.weights
    assert found is not None
    assert engine.trained
    for key, tensor in weights.checkpoint().items():
        assert torch.equal(found.checkpoint()[key], tensor)
    for key, tensor in model.state_dict().items():
        assert torch.equal(engine.model.stock.state_dict()[key], tensor)
    settings = engine.encoder.settings
    assert (settings.window, settings.ratios) == (32, (2, 4, 8))
    assert (settings.mix, settings.adapt_margin) == ("adapt", 1024)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model.layers.1.self_attn.beacon_k_proj.bias", "lacks 1 tensors: model.layers.1"),
        ("model.beacon_embed_tokens.weight", "lacks 1 tensors: model.beacon_embed_tokens"),
        ("model.layers.2.mlp.up_proj.weight", "lacks 1"),
    ],
)
def test_p11_missing_keys_are_named(key: str, message: str, tmp_path: Path) -> None:
    model = tiny("qwen2")
    folder = release(tmp_path / "released", model, trained(model))
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    del index["weight_map"][key]
    path.write_text(json.dumps(index))
    with pytest.raises(ModelError, match=message):
        load_released(folder, model)


@pytest.mark.parametrize(
    "key", ["model.layers.0.self_attn.beacon_x_proj.weight", "model.layers.0.mlp.gate.weight"]
)
def test_p11_unknown_keys_are_named(key: str, tmp_path: Path) -> None:
    model = tiny("qwen2")
    folder = release(tmp_path / "released", model, trained(model))
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    save_file({key: torch.zeros(1)}, folder / "more.safetensors")
    index["weight_map"][key] = "more.safetensors"
    path.write_text(json.dumps(index))
    with pytest.raises(ModelError, match=f"has unknown 1 tensors: {key}"):
        load_released(folder, model)


def test_p11_settings_are_never_guessed(tmp_path: Path) -> None:
    model = tiny("qwen2")
    weights = trained(model)
    folder = release(tmp_path / "released", model, weights)
    config = json.loads((folder / "config.json").read_text())
    del config["beacon_pos"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="lacks beacon_pos"):
        load_released(folder, model)
    other = release(tmp_path / "other", model, weights, beacon_stride=16)
    with pytest.raises(ModelError, match="beacon_stride is 16"):
        load_released(other, model)
    mixed = release(tmp_path / "mixed", model, weights, beacon_ratio_mix="often")
    with pytest.raises(ModelError, match="beacon_ratio_mix is 'often'"):
        load_released(mixed, model)


def test_p10_copies_of_the_base() -> None:
    model = tiny("qwen2")
    with torch.no_grad():
        for layer in model.base_model.layers:
            layer.self_attn.o_proj.weight.add_(1.0)
            layer.self_attn.k_proj.bias.add_(1.0)
    before = torch.random.get_rng_state()
    for embedding, token in (("eos", 258), ("bos", 256)):
        weights = BeaconWeights.from_base(model, letters="qkvo", embedding=embedding)  # type: ignore[arg-type]
        assert torch.equal(weights.beacon_embed_tokens[0], model.model.embed_tokens.weight[token])
    assert weights.letters == "qkvo"
    for number, layer in enumerate(model.base_model.layers):
        for letter in "qkvo":
            base = getattr(layer.self_attn, f"{letter}_proj")
            copied = weights.projection(number, f"{letter}_proj")
            assert copied is not None
            for name, tensor in base.named_parameters():
                mine = dict(copied.named_parameters())[name]
                assert torch.equal(mine, tensor)
                assert mine.data_ptr() != tensor.data_ptr()
    assert torch.equal(before, torch.random.get_rng_state())


def test_p10_what_can_be_trained_is_called_beacon() -> None:
    model = tiny()
    weights = BeaconWeights.from_base(model)
    names = [name for name, parameter in weights.named_parameters() if parameter.requires_grad]
    assert len(names) == 1 + 3 * 3
    assert all("beacon" in name for name in names)
    assert not any("beacon" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("letters", ["", "qx", "qq"])
def test_p10_letters_are_checked(letters: str) -> None:
    with pytest.raises(InvalidInput, match="letters"):
        BeaconWeights.from_base(tiny(), letters=letters)


@pytest.mark.parametrize("letters", ["k", "qkv", "qkvo"])
def test_p10_every_projection_matters(letters: str) -> None:
    model = tiny()
    settings = BeaconSettings(window=32)
    base = BeaconEngine(model, settings=settings)
    assert not base.trained
    engine = BeaconEngine(model, settings=settings, weights=trained(model, letters))
    ids = tokens(70)
    mine = engine.append_ids(engine.empty(), ids)
    its = base.append_ids(base.empty(), ids)
    assert not torch.allclose(mine.blocks[0].rows.keys, its.blocks[0].rows.keys, atol=1e-2)


def test_adapters_go_round(tmp_path: Path) -> None:
    model = tiny("qwen3")
    weights = trained(model, "qkvo")
    settings = BeaconSettings(window=32, ratios=(4, 8), mix="sequence", sink_size=2)
    save_adapter(tmp_path / "adapter", weights, settings, model)
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "beacon.json",
        "beacon.safetensors",
    ]
    stored = load_file(tmp_path / "adapter" / "beacon.safetensors")
    assert all("beacon" in key for key in stored)
    found, found_settings = load_adapter(tmp_path / "adapter", model)
    assert found_settings == settings
    ids = tokens(100)
    first = BeaconEngine(model, settings=settings, weights=weights)
    second = BeaconEngine(model, settings=found_settings, weights=found)
    assert first.origin == second.origin
    mine, its = (engine.append_ids(engine.empty(), ids) for engine in (first, second))
    assert same(mine, its) == 0


def test_adapters_of_others_are_refused(tmp_path: Path) -> None:
    model = tiny()
    folder = tmp_path / "adapter"
    save_adapter(folder, trained(model), BeaconSettings(), model)
    with pytest.raises(ModelError, match="made for another model than this Qwen2ForCausalLM"):
        load_adapter(folder, tiny("qwen2"))
    about = json.loads((folder / "beacon.json").read_text())
    (folder / "beacon.json").write_text(json.dumps({**about, "format": 2}))
    with pytest.raises(ModelError, match="has the format 2; this version reads 1"):
        load_adapter(folder, model)
    (folder / "beacon.json").write_text(json.dumps({**about, "letters": "qkvo"}))
    with pytest.raises(ModelError, match="lacks 3 tensors"):
        load_adapter(folder, model)
    (folder / "beacon.json").write_text(json.dumps({**about, "settings": {"window": 8}}))
    with pytest.raises(ModelCorrupt, match="cannot be read"):
        load_adapter(folder, model)
    (folder / "beacon.json").write_text(json.dumps(about))
    (folder / "beacon.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelCorrupt, match="cannot be read"):
        load_adapter(folder, model)
    with pytest.raises(ModelNotFound, match=r"has no beacon\.json"):
        load_adapter(tmp_path / "nowhere", model)


def test_a_fingerprint_follows_the_values_and_not_the_type() -> None:
    model = tiny()
    first = fingerprint(model)
    assert fingerprint(tiny()) == first
    half = tiny().bfloat16()
    assert fingerprint(half) == fingerprint(half.float())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1e-3
    assert fingerprint(model) != first


def test_memories_of_another_origin_are_refused() -> None:
    model = tiny()
    first = BeaconEngine(model, settings=BeaconSettings(window=32))
    others = [
        BeaconEngine(model, settings=BeaconSettings(window=16)),
        BeaconEngine(model, settings=BeaconSettings(window=32), weights=trained(model)),
        BeaconEngine(model, settings=BeaconSettings(window=32), compressor=Full()),
        BeaconEngine(tiny("qwen2"), settings=BeaconSettings(window=32)),
    ]
    assert len({first.origin, *(engine.origin for engine in others)}) == 5
    for engine in others:
        with pytest.raises(InvalidInput, match="made by another model"):
            engine.append_ids(first.empty(), [1])
