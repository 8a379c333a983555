"""Rows that the model looks at when it says the window again matter: one more reading of it.

What a model needs to repeat a text is what it needs to answer any question about it (KVzip, arXiv
2505.23416, §3): behind the window its tokens are read once more, and a row's score is the highest
attention that any of them pays to it. Unlike there, attention is shared among all rows that the
model sees, the memory before the window included, and not among the window's alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from memoryscope_rag.beacon.compressor import Window
from memoryscope_rag.beacon.model import MemoryModel, attentions
from memoryscope_rag.errors import ConfigError, ModelError

OVERLAP = 8
"""Tokens that come before a piece when it is read again, so that its first ones are expected."""


class Reconstruction:
    """Scores a row by the attention that it gets while the window is read again.

    Args:
        prompt: tokens before each piece, such as those of "Repeat the previous context:".
        piece: how many tokens are read again at once. All rows of the memory and so many more must
            fit the model.

    Raises:
        ConfigError: ``piece`` is less than 1.
    """

    def __init__(self, prompt: Sequence[int] = (), *, piece: int = 512) -> None:
        if piece < 1:
            raise ConfigError(f"piece is {piece}, must be at least 1")
        self._prompt = torch.tensor(prompt, dtype=torch.int32)
        self._piece = piece
        said = "-".join(map(str, prompt))
        self.name = f"reconstruction{piece}" + (f"({said})" if said else "")

    def scores(self, window: Window) -> torch.Tensor:
        """See :class:`~memoryscope_rag.beacon.select.Scorer`; from 0 to 1.

        Raises:
            ModelError: there is no room behind the window.
        """
        model, past = MemoryModel.of(window.model), window.past
        held, before = len(past), window.memory_rows
        room = model.capacity - held - len(self._prompt) - OVERLAP
        if room < 1:
            raise ModelError(
                f"the memory takes {held} of the model's {model.capacity} positions, which leaves "
                "no room to read a window again; use a higher ratio or the key-difference scorer"
            )
        found = torch.zeros(window.rows.keys.shape[:3], device=model.stock.device)
        step = min(self._piece, room)
        with _queries(window.model) as queries:
            for start in range(0, len(window.ids), step):
                again = window.ids[max(0, start - OVERLAP) : start + step].cpu()
                ids = torch.cat([self._prompt, again])
                positions = held + torch.arange(len(ids))
                model.hidden(model.embed(ids.long())[None], positions[None], past.cache)
                rows = past.rows()
                for layer, (module, query) in enumerate(zip(*queries, strict=True)):
                    asked = query.reshape(len(ids), -1, model.head_dim).transpose(0, 1)
                    asked = model.rotation.rotate(asked, held) * module.scaling
                    mass = _most_attention(asked, rows[layer][0][0])
                    torch.maximum(found[layer], mass[:, before:held], out=found[layer])
                past.cut(held)
        return found


def _most_attention(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """The highest attention that each row gets from any query: float32 ``(kv_heads, rows)``.

    Args:
        queries: ``(heads, n, head_dim)``, scaled, of the last ``n`` rows.
        keys: ``(kv_heads, rows, head_dim)``.
    """
    count, rows = queries.shape[1], keys.shape[1]
    later = torch.ones(count, rows, dtype=torch.bool, device=keys.device).triu(rows - count + 1)
    found = []
    # one head at a time: the scores of all would take the memory of several models
    for group, key in zip(queries.chunk(len(keys)), keys, strict=True):
        scores = (group @ key.T).float().masked_fill_(later, -torch.inf)
        found.append(scores.softmax(dim=-1).amax(dim=(0, 1)))
    return torch.stack(found)


@contextmanager
def _queries(stock: Any) -> Iterator[tuple[list[Any], list[torch.Tensor]]]:
    """(attention modules, queries before RoPE of each in the model's last call)."""
    modules = attentions(stock)
    found = [torch.empty(0)] * len(modules)

    def noting(layer: int) -> Any:
        def hook(_: nn.Module, __: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            found[layer] = output

        return hook

    with ExitStack() as hooks:
        for layer, module in enumerate(modules):
            # where queries are normalised, RoPE comes after that
            query = getattr(module, "q_norm", module.q_proj)
            hooks.enter_context(query.register_forward_hook(noting(layer)))
        yield modules, found
