"""What a beacon memory needs to know about a decoder of transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from memoryscope_rag.beacon.cache import Past
from memoryscope_rag.beacon.rope import Rotation
from memoryscope_rag.beacon.state import Rows
from memoryscope_rag.errors import ModelError

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
_UNBOUNDED = 1 << 20


def attentions(model: Any) -> list[Any]:
    """The attention modules of a decoder, layer by layer.

    Raises:
        ModelError: they are not of the kind that beacons can be given to.
    """
    layers = getattr(model.base_model, "layers", ())
    found = [getattr(layer, "self_attn", None) for layer in layers]
    if not found or any(not hasattr(one, name) for one in found for name in PROJECTIONS):
        raise ModelError(
            f"{type(model).__name__} has no separate q_proj, k_proj, v_proj and o_proj in every "
            "layer; Llama, Qwen2, Qwen3, Mistral and models built like them have"
        )
    return found


@dataclass(frozen=True, slots=True, eq=False)
class MemoryModel:
    """A stock causal language model, seen from a memory.

    Attributes:
        stock: with its head, in evaluation mode.
        rotation: its rotary embedding.
        layers, kv_heads, head_dim: the shape of its rows.
        capacity: positions that it can attend to.
    """

    stock: Any
    rotation: Rotation
    layers: int
    kv_heads: int
    head_dim: int
    capacity: int

    @classmethod
    def of(cls, model: Any) -> MemoryModel:
        """``model``, checked.

        Raises:
            ModelError: a memory cannot be made with a model of this kind.
        """
        config = model.config.get_text_config(decoder=True)
        layers = len(attentions(model))
        head_dim = getattr(config, "head_dim", None) or (
            config.hidden_size // config.num_attention_heads
        )
        rotation = Rotation(model, head_dim)
        return cls(model, rotation, layers, config.num_key_value_heads, head_dim, _capacity(config))

    def no_rows(self) -> Rows:
        """Rows of this model, none of them."""
        shape = (self.layers, self.kv_heads, 0, self.head_dim)
        nothing = torch.empty(shape, dtype=self.stock.dtype, device=self.stock.device)
        return Rows(nothing, nothing)

    def past(self) -> Past:
        """A place for rows that it is to attend to."""
        return Past(self.stock, self.rotation, heads=self.kv_heads, head_dim=self.head_dim)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Embeddings of ``ids``, any shape, as one more dimension."""
        embedded: torch.Tensor = self.stock.get_input_embeddings()(ids.to(self.stock.device))
        return embedded

    def hidden(
        self,
        embeddings: torch.Tensor,
        positions: torch.Tensor,
        cache: Any,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Last hidden states of new rows; their keys and values go to ``cache``.

        Args:
            embeddings: ``(batch, rows, hidden_size)``.
            positions: int64 ``(batch, rows)``.
            cache: what the rows attend to, of transformers.
            mask: bool ``(batch, rows, all rows)``, what may be attended to; ``None``: causal.
        """
        device = self.stock.device
        if mask is not None:
            least = torch.finfo(embeddings.dtype).min
            additive = torch.zeros(mask.shape, dtype=embeddings.dtype, device=device)
            mask = additive.masked_fill_(~mask.to(device), least)[:, None]
        out = self.stock.base_model(
            inputs_embeds=embeddings,
            position_ids=positions.to(device),
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
        )
        found: torch.Tensor = out.last_hidden_state
        return found

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Scores of the next token, float32, from last hidden states."""
        scores: torch.Tensor = self.stock.get_output_embeddings()(hidden)
        return scores.float()


def _capacity(config: Any) -> int:
    """Positions that the model can use, with what its RoPE is scaled by and its sliding window."""
    length = int(getattr(config, "max_position_embeddings", None) or _UNBOUNDED)
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    factor = float(rope.get("factor") or 1.0)
    before = rope.get("original_max_position_embeddings")
    if rope.get("rope_type") == "linear" and before is None:
        before = length
    length = max(length, int((before or 0) * factor))
    return min(length, int(getattr(config, "sliding_window", None) or length))
