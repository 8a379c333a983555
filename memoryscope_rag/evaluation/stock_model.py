"""A model without any memory of ours, as what a memory is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class StockModel:
    """The unchanged model, with the cache that transformers gives it.

    Where a prompt is read, its head is left out, as it is when a memory reads. A cache stays as it
    was: what comes behind it is cut off again, in the one way that transformers 4.57 and 5 share.

    Args:
        model: a causal language model of transformers, with its head.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def prefilled(self, ids: Sequence[int]) -> Any:
        """The cache of the model that read ``ids`` in one call."""
        with torch.no_grad():
            out = self._model.base_model(input_ids=self._tokens(ids), use_cache=True)
        return out.past_key_values

    def read_behind(self, cache: Any, ids: Sequence[int]) -> None:
        """Read ``ids`` behind a cache in one call."""
        with torch.no_grad():
            self._model.base_model(
                input_ids=self._tokens(ids), past_key_values=cache, use_cache=True
            )
        cache.crop(-len(ids))

    def say_behind(self, cache: Any, prompt: Sequence[int], count: int) -> list[int]:
        """The ``count`` likeliest tokens behind a cache and ``prompt``, one call each."""
        new, said = list(prompt), list[int]()
        with torch.no_grad():
            for _ in range(count):
                out = self._model(
                    input_ids=self._tokens(new), past_key_values=cache, use_cache=True
                )
                new = [int(out.logits[0, -1].argmax())]
                said += new
        cache.crop(1 - len(prompt) - count)  # the last one was not read
        return said

    def _tokens(self, ids: Sequence[int]) -> torch.Tensor:
        return torch.tensor([ids], device=self._model.device)
