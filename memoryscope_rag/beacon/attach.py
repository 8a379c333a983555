"""Lending a stock decoder the projections of beacon rows, and reading what it computes.

Hooks on the projections of every layer replace the result for beacon rows by that of the beacon
weights, computed for these rows alone, and note keys before RoPE. Nothing of the model is changed;
the hooks are gone when the ``with`` block ends, however it ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from memoryscope_rag.beacon.model import PROJECTIONS, attentions
from memoryscope_rag.beacon.state import Rows
from memoryscope_rag.beacon.weights import BeaconWeights
from memoryscope_rag.errors import ModelError

_MARK = "_memoryscope_beacon"


class Attachment:
    """What the hooks of an attached model do in its next call.

    Attributes:
        beacons: int64, the beacon rows, counted over batch and rows; ``None``: there are none.
        copies: (places, originals), int64: rows that have the projections of other rows in each
            layer, whatever their own hidden state.
    """

    def __init__(self, layers: int, kv_heads: int) -> None:
        self.beacons: torch.Tensor | None = None
        self.copies: tuple[torch.Tensor, torch.Tensor] | None = None
        self._heads = kv_heads
        self._keys: list[torch.Tensor | None] = [None] * layers
        self._values: list[torch.Tensor | None] = [None] * layers

    def take(self, row: int = 0) -> Rows:
        """The rows that the last call computed, of the batch's row ``row``, keys before RoPE."""
        return Rows(self._stacked(self._keys, row), self._stacked(self._values, row))

    def clear(self) -> None:
        """Let go of the last call's rows."""
        self.beacons = self.copies = None
        self._keys[:] = [None] * len(self._keys)
        self._values[:] = [None] * len(self._values)

    def _stacked(self, found: list[torch.Tensor | None], row: int) -> torch.Tensor:
        layers = [layer[row] for layer in found if layer is not None]
        if len(layers) < len(found):
            raise AssertionError("no call was made since the last one was cleared")
        rows = layers[0].shape[0]
        heads = [layer.reshape(rows, self._heads, -1).transpose(0, 1) for layer in layers]
        return torch.stack(heads)

    def _route(self, beacon: nn.Module | None, output: torch.Tensor, hidden: torch.Tensor) -> None:
        """Overwrite in ``output`` what is not the base projection's."""
        flat = output.flatten(0, 1)
        if beacon is not None and self.beacons is not None:
            chosen = hidden.flatten(0, 1)[self.beacons]
            flat[self.beacons] = beacon(chosen).to(flat.dtype)
        if self.copies is not None:
            places, originals = self.copies
            flat[places] = flat[originals]

    def _hook(self, beacon: nn.Module | None) -> Any:
        def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            if self.beacons is not None or self.copies is not None:
                self._route(beacon, output, inputs[0])

        return hook

    def _noting(self, found: list[torch.Tensor | None], layer: int) -> Any:
        def hook(_: nn.Module, __: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            found[layer] = output

        return hook


@contextmanager
def attached(model: Any, weights: BeaconWeights | None) -> Iterator[Attachment]:
    """``model`` with ``weights`` for its beacon rows; without any it is only read from.

    Raises:
        ModelError: the model is of another kind, or attached already, here or in another thread.
    """
    modules = attentions(model)
    config = model.config.get_text_config(decoder=True)
    attachment = Attachment(len(modules), config.num_key_value_heads)
    if model.__dict__.setdefault(_MARK, attachment) is not attachment:
        raise ModelError("this model is attached to a beacon memory already; one use at a time")
    try:
        with ExitStack() as hooks:
            for number, module in enumerate(modules):
                for name in PROJECTIONS:
                    beacon = weights.projection(number, name) if weights is not None else None
                    hook = attachment._hook(beacon)
                    hooks.enter_context(getattr(module, name).register_forward_hook(hook))
                # where keys are normalised, RoPE comes after that
                keys = getattr(module, "k_norm", module.k_proj)
                noting = attachment._noting(attachment._keys, number)
                hooks.enter_context(keys.register_forward_hook(noting))
                noting = attachment._noting(attachment._values, number)
                hooks.enter_context(module.v_proj.register_forward_hook(noting))
            yield attachment
    finally:
        attachment.clear()
        del model.__dict__[_MARK]
