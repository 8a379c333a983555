"""What a question attends to in stored memories: the mass of attention on each message.

Each memory is attended to by itself, from position 0 on, so its rows are rotated once, whichever
others are asked beside it. A question goes through the model once for all of them, as one batch,
and only as far as the highest head that is read. A head's mass on a message is divided by its mass
there under an empty question, so that what draws the attention of any question does not count.

Sources: retrieval heads (arXiv 2404.15574), attention of a query as relevance, and its calibration
by a query without content (arXiv 2410.02642, §3).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from transformers import AttentionInterface

from memoryscope_rag.beacon.attach import attached
from memoryscope_rag.beacon.encode import Encoder
from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.layout import layout
from memoryscope_rag.beacon.model import MemoryModel, attentions
from memoryscope_rag.beacon.session_memory import plain_ids
from memoryscope_rag.beacon.state import MemoryState, Rows, joined
from memoryscope_rag.errors import InvalidInput, ModelError

_NAME = "memoryscope_read_attention"
_LEAST = 1e-9
"""What is divided by stays above zero."""


class Head(NamedTuple):
    """One attention head of a decoder, both numbers from 0."""

    layer: int
    head: int


@dataclass(frozen=True, slots=True, eq=False)
class Readable:
    """A memory made ready for questions to one set of heads: a copy, to be let go of with it.

    Attributes:
        heads: the heads that are read.
        keys, values: ``(layers, kv_heads, rows, head_dim)``, the layers up to the highest head's;
            keys rotated to the positions 0, 1, 2, …
        messages: ids of the messages that are attached, in order.
        owners: int64 ``(layers, kv_heads, rows)``, the place in ``messages`` of the message that
            each row is of; ``len(messages)``: of none.
        unasked: float32 ``(heads, messages)``, the mass under an empty question.
    """

    heads: tuple[Head, ...]
    keys: torch.Tensor
    values: torch.Tensor
    messages: tuple[str, ...]
    owners: torch.Tensor
    unasked: torch.Tensor

    def __len__(self) -> int:
        return self.keys.shape[2]


def question_ids(engine: BeaconEngine, query: str) -> list[int]:
    """The tokens that ``query`` is put with, the same frame for an empty one."""
    return plain_ids(engine, f"\nQuestion: {query}\nAnswer:")


def make_readable(
    engine: BeaconEngine,
    states: Sequence[MemoryState],
    heads: Sequence[Head],
    messages: Collection[str] | None = None,
) -> list[Readable]:
    """``states`` ready for :func:`read_attention`: a second copy of their rows, and one question.

    Args:
        messages: attach what was kept of these alone, with what is of no message; ``None``: all.
            Of blocks whose heads chose rows of their own those that saw one of them are attached
            whole.

    Raises:
        InvalidInput: a state is another engine's, or the model has no such head.
        ModelError: the model failed.
    """
    chosen = _checked_heads(engine.model, heads)
    if any(state.origin != engine.origin for state in states):
        raise InvalidInput("states", "one was made by another model, settings or compressor")
    found = [_readable(engine, state, chosen, messages) for state in states]
    if not found:
        return []
    masses = attention_mass(engine, found, question_ids(engine, ""))
    return [replace(one, unasked=mass) for one, mass in zip(found, masses, strict=True)]


def read_attention(
    engine: BeaconEngine, memories: Sequence[Readable], query: str
) -> dict[str, float]:
    """How much ``query`` draws attention to each message: 0 as much as no query, 1 e times that.

    The mean of :func:`calibrated_mass` over the heads; of a message in several memories the
    highest.

    Raises:
        InvalidInput: the memories were made ready for different heads.
        ModelError: the question does not fit behind a memory, or the model failed.
    """
    found: dict[str, float] = {}
    masses = calibrated_mass(engine, memories, query)
    for memory, mass in zip(memories, masses, strict=True):
        for name, value in zip(memory.messages, mass.mean(dim=0).tolist(), strict=True):
            found[name] = max(value, found.get(name, value))
    return found


def calibrated_mass(
    engine: BeaconEngine, memories: Sequence[Readable], query: str
) -> list[torch.Tensor]:
    """For each memory the log of the mass under ``query``, divided by that under none.

    Float32 ``(heads, messages)``. Both masses are taken with the head's mean mass on a message of
    the memory under no query added: else messages that an empty question hardly sees would come
    first by chance. Raises as :func:`read_attention`.
    """
    found = []
    masses = attention_mass(engine, memories, question_ids(engine, query))
    for memory, mass in zip(memories, masses, strict=True):
        usual = memory.unasked.mean(dim=1, keepdim=True).clamp_min(_LEAST)
        found.append(((mass + usual) / (memory.unasked + usual)).log())
    return found


def attention_mass(
    engine: BeaconEngine, memories: Sequence[Readable], ids: Sequence[int]
) -> list[torch.Tensor]:
    """For each memory the attention that a token of ``ids`` pays to each message, on average.

    Float32 ``(heads, messages)``, from 0 to 1. The model's own attention, were ``ids`` the next
    tokens behind that memory. Raises as :func:`read_attention`.
    """
    if not memories or not ids:
        return [torch.zeros_like(memory.unasked) for memory in memories]
    heads = memories[0].heads
    if any(memory.heads != heads for memory in memories):
        raise InvalidInput("memories", "were made ready for different heads")
    longest = max(map(len, memories)) + len(ids)
    if longest > engine.model.capacity:
        raise ModelError(
            f"a memory and the question take {longest} positions, the model has "
            f"{engine.model.capacity}; attach fewer messages, or compress more"
        )
    with engine.alone(), torch.inference_mode():
        reading = _Reading(memories)
        _run(engine.model, memories, reading, ids)
    return [mass.clone() for mass in reading.masses]


# ------------------------------------------------------------ the model's part


class _Reading:
    """One pass: what it reads from and the masses that it finds."""

    def __init__(self, memories: Sequence[Readable]) -> None:
        self._memories = memories
        self._heads = memories[0].heads
        self.masses = [torch.zeros_like(memory.unasked) for memory in memories]

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Attention of the new rows to each memory and, causally, to each other.

        Args:
            query: ``(memories, heads, rows, head_dim)``; ``key`` and ``value`` with ``kv_heads``.

        Returns:
            ``(memories, rows, heads, head_dim)``.
        """
        count, heads, rows, width = query.shape
        kv_heads = key.shape[1]
        grouped = query.reshape(count, kv_heads, -1, width) * scale
        future = torch.ones(rows, rows, dtype=torch.bool, device=query.device).triu(1)
        future = future.repeat(heads // kv_heads, 1)
        out = torch.empty_like(grouped)
        for number, memory in enumerate(self._memories):
            stored = len(memory)
            scores = grouped.new_empty(kv_heads, grouped.shape[2], stored + rows)
            asked = grouped[number]
            torch.bmm(asked, memory.keys[layer].mT, out=scores[..., :stored])
            torch.bmm(asked, key[number].mT, out=scores[..., stored:])
            scores[..., stored:].masked_fill_(future, -torch.inf)
            weights = scores.softmax(dim=-1, dtype=torch.float32)
            self._note(number, layer, weights[..., :stored].view(heads, rows, stored))
            weights = weights.to(value.dtype)
            torch.bmm(weights[..., :stored], memory.values[layer], out=out[number])
            out[number] += weights[..., stored:] @ value[number]
        return out.view(count, heads, rows, width).transpose(1, 2)

    def _note(self, number: int, layer: int, weights: torch.Tensor) -> None:
        """``weights`` are float32 ``(heads, rows, stored rows)``."""
        memory, mass = self._memories[number], self.masses[number]
        group = weights.shape[0] // memory.keys.shape[1]
        for place, (at, head) in enumerate(self._heads):
            if at == layer:
                found = mass.new_zeros(len(memory.messages) + 1)
                found.index_add_(0, memory.owners[layer, head // group], weights[head].mean(dim=0))
                mass[place] = found[:-1]


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    scaling: float,
    *,
    reading: _Reading,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """What the model's attention modules call in place of their own, see :func:`_lent`."""
    del attention_mask
    if softcap is not None or s_aux is not None:
        raise ModelError(
            f"{type(module).__name__} caps its scores or has learned sinks; attention is read from "
            "models with plain attention, such as Llama, Qwen2, Qwen3 and Mistral"
        )
    return reading.attend(module.layer_idx, query, key, value, scaling), None


AttentionInterface.register(_NAME, _attention)


@contextmanager
def _lent(model: Any) -> Iterator[None]:
    """``model`` with our attention; its own is back when the block ends, however it ends."""
    config = attentions(model)[0].config
    before = config._attn_implementation
    with attached(model, None):
        config._attn_implementation = _NAME
        try:
            yield
        finally:
            config._attn_implementation = before


def _run(
    model: MemoryModel, memories: Sequence[Readable], reading: _Reading, ids: Sequence[int]
) -> None:
    """``ids`` behind each of ``memories``, through the layers that these hold."""
    stock = model.stock
    starts = torch.tensor([len(memory) for memory in memories])
    positions = starts[:, None] + torch.arange(len(ids))
    tables = tuple(
        table.view(*positions.shape, -1) for table in model.rotation.tables(positions.flatten())
    )
    hidden = model.embed(torch.tensor(ids)).expand(len(memories), -1, -1)
    top = memories[0].keys.shape[0]
    with _lent(stock):
        for layer in stock.base_model.layers[:top]:
            hidden = layer(
                hidden,
                position_ids=positions.to(stock.device),
                position_embeddings=tables,
                reading=reading,
            )


# ------------------------------------------------------------ the memory's part


def _checked_heads(model: MemoryModel, heads: Sequence[Head]) -> tuple[Head, ...]:
    count = model.stock.config.get_text_config(decoder=True).num_attention_heads
    for layer, head in heads:
        if not (0 <= layer < model.layers and 0 <= head < count):
            raise InvalidInput(
                "heads",
                f"layer {layer}, head {head}: the model has {model.layers} layers of {count} heads",
            )
    if not heads:
        raise InvalidInput("heads", "are none; name some, or choose them with select_heads")
    return tuple(Head(*head) for head in heads)


def _readable(
    engine: BeaconEngine,
    state: MemoryState,
    heads: tuple[Head, ...],
    wanted: Collection[str] | None,
) -> Readable:
    model = engine.model
    spans = [span for span in state.spans if wanted is None or span.message_id in wanted]
    messages = tuple(dict.fromkeys(span.message_id for span in spans))
    place = {name: number for number, name in enumerate(messages)}
    owner = torch.full((state.tokens,), len(messages))
    told = torch.zeros(state.tokens, dtype=torch.bool)
    for span in state.spans:
        told[span.start : span.end] = True
        owner[span.start : span.end] = place.get(span.message_id, len(messages))
    stays = ~told | (owner < len(messages))
    parts, owners = [model.no_rows()], []
    for rows, tokens, ragged in _row_tokens(engine.encoder, state):
        if ragged:
            kept = slice(None) if bool(stays[tokens].any()) else slice(0, 0)
            parts.append(rows.select(kept))
            owners.append(owner[tokens[..., kept]])
        else:
            places = stays[tokens[0, 0]].nonzero().flatten()
            parts.append(rows.select(places.to(rows.keys.device)))
            owners.append(owner[tokens[..., places]])
    top = max(layer for layer, _ in heads) + 1
    device, dtype = model.stock.device, model.stock.dtype
    whole = joined([Rows(part.keys[:top], part.values[:top]) for part in parts]).to(device, dtype)
    everyone = torch.cat(owners, dim=2)[:top] if owners else torch.empty(top, model.kv_heads, 0)
    return Readable(
        heads,
        model.rotation.rotate(whole.keys, 0),
        whole.values,
        messages,
        everyone.long().to(device),
        torch.zeros(len(heads), len(messages), device=device),
    )


def _row_tokens(encoder: Encoder, state: MemoryState) -> Iterator[tuple[Rows, torch.Tensor, bool]]:
    """Each part of ``state`` with the token that each of its rows stands for.

    Tokens are int64 ``(layers, kv_heads, rows)``, counted from the begin of the history; third is
    whether they differ between heads.
    """
    layers, heads = state.sink.keys.shape[:2]
    if len(state.sink):
        yield state.sink, torch.arange(len(state.sink)).expand(layers, heads, -1), False
    for block in state.blocks:
        yield block.rows, block.row_tokens().cpu(), block.sources is not None
    if len(state.tail):
        ratio = (state.tail_ratio or 0) if encoder.compressor.uses_beacons else 0
        tail = layout(encoder.settings, ratio, len(state.tail_ids))
        tokens = torch.where(tail.beacons, tail.tokens - 1, tail.tokens)
        yield state.tail, (state.compressed_tokens + tokens).expand(layers, heads, -1), False
