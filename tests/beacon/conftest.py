"""Tiny models with random weights, and the golden vectors of the reference implementation.

``beacon_reference.safetensors`` holds the output of Activation Beacon's own code on a tiny Qwen2
with random weights (float32, CPU): weights, inputs, and what came out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.beacon.weights import BeaconWeights, is_beacon
from memoryscope_rag.testing.tiny_model import randomise, tiny_tokenizer

GOLDEN = Path(__file__).parent.parent / "fixtures" / "beacon_reference.safetensors"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny(architecture: str = "llama", **settings: Any) -> Any:
    """A causal language model with random weights; the same arguments give the same ones."""
    options: dict[str, Any] = {
        "vocab_size": 261,
        "hidden_size": 32,
        "head_dim": 8,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": False,
        "bos_token_id": 256,
        "eos_token_id": 258,
        "pad_token_id": 256,
    }
    config = AutoConfig.for_model(architecture, **{**options, **settings})
    kind: Any = AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        model = kind.from_config(config, dtype=torch.float32)
    randomise(model, 0)
    return model.eval()


def trained(model: Any, letters: str = "qkv") -> BeaconWeights:
    """Beacon weights unlike the base's, as training makes them."""
    weights = BeaconWeights.from_base(model, letters=letters)
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in weights.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=source), alpha=0.1)
    return weights


def tokens(count: int, seed: int = 0) -> list[int]:
    """Random tokens, none of them special."""
    source = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count,), generator=source).tolist()


Build = Callable[..., BeaconEngine]


@pytest.fixture
def build() -> Build:
    """An engine on a tiny Llama with windows of 32 and trained-like beacons."""

    def building(*, model: Any = None, window: int = 32, **settings: Any) -> BeaconEngine:
        model = tiny() if model is None else model
        return BeaconEngine(
            model,
            tiny_tokenizer(),
            settings=BeaconSettings(window=window, **settings),
            weights=trained(model),
        )

    return building


@pytest.fixture(scope="session")
def golden() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN)


@pytest.fixture(scope="session")
def golden_model(golden: dict[str, torch.Tensor]) -> tuple[Any, BeaconWeights]:
    """The model of the golden vectors and its beacons."""
    model = tiny(
        "qwen2",
        vocab_size=199,
        hidden_size=64,
        head_dim=16,
        intermediate_size=128,
        max_position_embeddings=2048,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=None,
    )
    prefix = "weights."
    every = {key.removeprefix(prefix): t for key, t in golden.items() if key.startswith(prefix)}
    model.load_state_dict({key: tensor for key, tensor in every.items() if not is_beacon(key)})
    weights = BeaconWeights.empty(model, letters="qkv")
    weights.fill({key: tensor for key, tensor in every.items() if is_beacon(key)}, "golden")
    return model, weights


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference of two tensors of one shape."""
    assert one.shape == other.shape
    return float((one - other).abs().max()) if one.numel() else 0.0
