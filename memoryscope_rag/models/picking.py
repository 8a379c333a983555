"""Picking the next token, with random numbers of our own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.ports import Sampling

if TYPE_CHECKING:
    import torch


def check_sampling(sampling: Sampling) -> Sampling:
    """``sampling``; raises InvalidInput for what no model can do."""
    if sampling.temperature is not None and not 0 <= sampling.temperature < float("inf"):
        raise InvalidInput("temperature", f"is {sampling.temperature}, must not be negative")
    if sampling.top_p is not None and not 0 < sampling.top_p <= 1:
        raise InvalidInput("top_p", f"is {sampling.top_p}, must be above 0 and at most 1")
    if sampling.max_tokens is not None and sampling.max_tokens < 1:
        raise InvalidInput("max_tokens", f"is {sampling.max_tokens}, must be at least 1")
    if "" in sampling.stop:
        raise InvalidInput("stop", "holds an empty string")
    return sampling


class Picker:
    """Picks tokens for one reply.

    What ``sampling`` leaves open is as the model's generation settings say; without any there,
    the likeliest token is taken. The same seed gives the same tokens on the same machine; the
    random state of torch is left alone.
    """

    def __init__(
        self,
        sampling: Sampling,
        settings: Any,
        device: torch.device,
        *,
        repetition_penalty: float | None = None,
    ) -> None:
        import torch

        samples = bool(getattr(settings, "do_sample", False))
        usual = float(getattr(settings, "temperature", None) or 1.0) if samples else 0.0
        self._temperature = usual if sampling.temperature is None else sampling.temperature
        top_p = getattr(settings, "top_p", None) if samples else None
        self._top_p = float((top_p or 1.0) if sampling.top_p is None else sampling.top_p)
        self._top_k = int((getattr(settings, "top_k", None) if samples else None) or 0)
        usual = float(getattr(settings, "repetition_penalty", None) or 1.0)
        self._penalty = usual if repetition_penalty is None else repetition_penalty
        self._random = torch.Generator(device)
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed % 2**63)

    def pick(self, logits: torch.Tensor, before: Sequence[int]) -> int:
        """The next token; ``logits`` has shape ``(vocabulary,)``, ``before`` is all up to here."""
        import torch

        scores = logits.float()
        if self._penalty != 1.0:
            seen = torch.tensor(sorted(set(before)), device=scores.device)
            values = scores[seen]
            values = torch.where(values < 0, values * self._penalty, values / self._penalty)
            scores = scores.index_copy(0, seen, values)
        if self._temperature == 0:
            return int(scores.argmax())
        scores = scores / self._temperature
        if 0 < self._top_k < len(scores):
            scores = scores.masked_fill(scores < scores.topk(self._top_k).values[-1], -torch.inf)
        shares = scores.softmax(dim=-1)
        if self._top_p < 1.0:
            ordered, places = shares.sort(descending=True)
            beyond = ordered.cumsum(dim=0) - ordered >= self._top_p  # the first always stays
            shares = shares.index_fill(0, places[beyond], 0.0)
        return int(torch.multinomial(shares, 1, generator=self._random))
