"""Giving stored keys their positions, as the model itself does.

Cosines and sines come from the model's own rotary embedding, so frequencies, scaling and rounding
are the model's, in every type: a row that is rotated here equals, bit for bit, the one that the
model rotated when it computed it. Source: RoFormer (arXiv 2104.09864), §3.2.2, in the layout of
transformers, where the second half of a head holds the partners of the first.
"""

from __future__ import annotations

from typing import Any

import torch

from memoryscope_rag.errors import ModelError

FIXED = ("default", "linear", "llama3", "yarn")
"""Kinds of RoPE whose angle depends on the position alone and not on the length of the input."""


class Rotation:
    """The rotary embedding of one model.

    Raises:
        ModelError: its angles change with the length of the input, or it turns part of a head only.
    """

    def __init__(self, model: Any, head_dim: int) -> None:
        self._rotary: Any = getattr(model.base_model, "rotary_emb", None)
        kind = getattr(self._rotary, "rope_type", None)
        if self._rotary is None or kind not in FIXED:
            raise ModelError(
                f"{type(model).__name__} has rotary embeddings of the kind {kind}; a beacon memory "
                f"needs one of {', '.join(FIXED)}"
            )
        self._dtype: torch.dtype = model.dtype
        self.device: torch.device = model.device
        cosine, _ = self.tables(torch.zeros(1, dtype=torch.long))
        if cosine.shape[-1] != head_dim:
            raise ModelError(
                f"{type(model).__name__} rotates {cosine.shape[-1]} of {head_dim} dimensions of a "
                "head; a beacon memory needs all"
            )

    def tables(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(cosines, sines) of int64 ``positions``: each ``(len(positions), head_dim)``."""
        like = torch.empty(0, dtype=self._dtype, device=self.device)
        cosine, sine = self._rotary(like, positions.to(self.device)[None])
        return cosine[0], sine[0]

    def rotate(self, keys: torch.Tensor, start: int) -> torch.Tensor:
        """``keys``, shape ``(…, rows, head_dim)``, at the positions ``start, start + 1, …``."""
        rows = keys.shape[-2]
        cosine, sine = self.tables(torch.arange(start, start + rows))
        first, second = keys.chunk(2, dim=-1)
        return keys * cosine + torch.cat((-second, first), dim=-1) * sine
