"""The weights of beacon rows: one embedding, and projections of their own in every layer.

Names and shapes are those of the released checkpoints, so a file of ours and one of theirs hold
the same keys (Activation Beacon, arXiv 2401.03462, §3.1; MemoRAG's model card).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

from memoryscope_rag.beacon.model import attentions
from memoryscope_rag.errors import InvalidInput, ModelError

EMBEDDING = "model.beacon_embed_tokens.weight"
"""The key of the beacon's embedding in a checkpoint."""
_SAMPLES = 256
"""Values of a tensor that go into a fingerprint."""


class BeaconWeights(nn.Module):
    """Weights for one decoder. The names of all parameters contain ``beacon``.

    Args:
        embedding: ``(1, hidden_size)``.
        layers: for each layer the modules by name, such as ``beacon_q_proj``; every layer has the
            same names.
    """

    def __init__(self, embedding: torch.Tensor, layers: list[dict[str, nn.Module]]) -> None:
        super().__init__()
        self.beacon_embed_tokens = nn.Parameter(embedding)
        self.layers = nn.ModuleList(nn.ModuleDict(modules) for modules in layers)

    @classmethod
    def from_base(
        cls, model: Any, *, letters: str = "qkv", embedding: Literal["eos", "bos"] = "eos"
    ) -> BeaconWeights:
        """Copies of the base projections and of an embedding: what training begins with.

        The model is left as it is.

        Args:
            letters: which projections beacons get of their own, of ``qkvo``.
            embedding: the token whose embedding is copied.

        Raises:
            InvalidInput: ``letters`` are others, or the model has no such token.
            ModelError: the model is of a kind that beacons cannot be given to.
        """
        made = cls.empty(model, letters=letters)
        config = model.config.get_text_config(decoder=True)
        token = getattr(config, f"{embedding}_token_id", None)
        token = token[0] if isinstance(token, list) else token
        if token is None:
            raise InvalidInput("embedding", f"the model names no {embedding} token")
        with torch.no_grad():
            made.beacon_embed_tokens.copy_(model.get_input_embeddings().weight[token][None])
        for layer, module in enumerate(attentions(model)):
            for letter in letters:
                base = getattr(module, f"{letter}_proj")
                if type(base) is not nn.Linear:
                    raise ModelError(
                        f"{type(base).__name__} cannot be copied: make beacons from the model as "
                        "it was before it was quantised, and load them as an adapter"
                    )
                found = made.projection(layer, f"{letter}_proj")
                assert found is not None
                found.load_state_dict(base.state_dict())
        return made

    @classmethod
    def empty(cls, model: Any, *, letters: str) -> BeaconWeights:
        """Weights of the right shapes, to be filled; zero as they are."""
        if not letters or set(letters) - set("qkvo") or len(set(letters)) < len(letters):
            raise InvalidInput("letters", f"is {letters!r}, must be some of q, k, v, o")
        width = model.get_input_embeddings().weight.shape[1]
        layers: list[dict[str, nn.Module]] = []
        for module in attentions(model):
            modules: dict[str, nn.Module] = {}
            for letter in letters:
                base = getattr(module, f"{letter}_proj")
                shape = (base.in_features, base.out_features, base.bias is not None)
                made = nn.Linear(*shape, device="meta", dtype=model.dtype)
                made = made.to_empty(device=model.device)
                nn.init.zeros_(made.weight)
                if made.bias is not None:
                    nn.init.zeros_(made.bias)
                modules[f"beacon_{letter}_proj"] = made
            layers.append(modules)
        embedding = torch.zeros(1, width, dtype=model.dtype, device=model.device)
        return cls(embedding, layers)

    @property
    def letters(self) -> str:
        """Which projections beacons have of their own, of ``qkvo``."""
        names: Any = self.layers[0]
        return "".join(letter for letter in "qkvo" if f"beacon_{letter}_proj" in names)

    def projection(self, layer: int, name: str) -> nn.Module | None:
        """What beacon rows use in place of ``name``, such as ``q_proj``; ``None``: the same."""
        modules: Any = self.layers[layer]
        found: nn.Module | None = getattr(modules, f"beacon_{name}", None)
        return found

    def checkpoint(self) -> dict[str, torch.Tensor]:
        """The tensors by their keys in a checkpoint, not copied."""
        return {_outer(name): tensor for name, tensor in self.state_dict().items()}

    @torch.no_grad()
    def fill(self, tensors: Mapping[str, torch.Tensor], source: str) -> None:
        """Take the values of ``tensors``, named as in a checkpoint.

        Raises:
            ModelError: a key is missing, unknown, or of another shape.
        """
        wanted = self.checkpoint()
        complain("lacks", wanted.keys() - tensors.keys(), source)
        complain("has unknown", tensors.keys() - wanted.keys(), source)
        for key, tensor in wanted.items():
            found = tensors[key]
            if found.shape != tensor.shape:
                raise ModelError(
                    f"{source}: {key} has the shape {tuple(found.shape)}, this model needs "
                    f"{tuple(tensor.shape)}"
                )
            tensor.copy_(found)


def complain(what: str, keys: set[str], source: str) -> None:
    """Raises ModelError when there are any ``keys``; names the first few."""
    if keys:
        some = ", ".join(sorted(keys)[:4]) + (" …" if len(keys) > 4 else "")
        raise ModelError(f"{source} {what} {len(keys)} tensors: {some}")


def is_beacon(key: str) -> bool:
    """Whether the tensor of a checkpoint belongs to the beacons."""
    return "beacon" in key


def fingerprint(module: Any) -> str:
    """A name for the weights of ``module``: SHA-256 in hex, the first 16 digits.

    Over the names, the shapes and up to 256 evenly spaced values, as float32, of every tensor: some
    milliseconds also for a large model, and the same for a copy in another type that kept values.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        flat = tensor.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // _SAMPLES)][:_SAMPLES]
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(sample.to("cpu", torch.float32).numpy().tobytes())
    return digest.hexdigest()[:16]


def _outer(name: str) -> str:
    if name == "beacon_embed_tokens":
        return EMBEDDING
    _, layer, rest = name.split(".", 2)
    return f"model.layers.{layer}.self_attn.{rest}"
