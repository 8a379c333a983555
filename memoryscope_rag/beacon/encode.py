"""Reading tokens into a memory, window by window; no token is read twice.

Any split of the same tokens gives the same memory: what is unfinished is kept as rows and goes on
(Activation Beacon, arXiv 2401.03462, §3.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from memoryscope_rag.beacon.attach import Attachment, attached
from memoryscope_rag.beacon.cache import Past
from memoryscope_rag.beacon.compressor import Compressor, Window
from memoryscope_rag.beacon.layout import Layout, layout
from memoryscope_rag.beacon.model import MemoryModel
from memoryscope_rag.beacon.parallel import parallel_layout
from memoryscope_rag.beacon.plan import Plan, Position, Step, plan
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.beacon.state import Block, MemoryState, Rows, chained, joined
from memoryscope_rag.beacon.weights import BeaconWeights


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """A decoder with what turns its rows into a memory."""

    model: MemoryModel
    settings: BeaconSettings
    compressor: Compressor
    weights: BeaconWeights | None = None

    def empty(self, origin: str) -> MemoryState:
        """A memory of nothing."""
        nothing, no_ids = self.model.no_rows(), torch.empty(0, dtype=torch.int32)
        return MemoryState(origin, nothing, no_ids, (), nothing, no_ids)

    def plan(self, state: MemoryState, new: int) -> Plan:
        """How ``new`` more tokens would be read. Raises ModelError where they do not fit."""
        at = Position(
            prefix=len(state.prefix_ids),
            windows=len(state.blocks),
            memory_rows=state.row_count - len(state.tail),
            offset=len(state.tail_ids),
            ratio=state.tail_ratio,
            fixed_ratio=state.fixed_ratio,
        )
        return plan(self.settings, self.compressor, at, new, self.model.capacity)

    @contextmanager
    def reading(self, past: Past) -> Iterator[Reader]:
        """The model, attached, and ready to read. Nothing is recorded for gradients."""
        with torch.no_grad(), attached(self.model.stock, self.weights) as attachment:
            yield Reader(self, past, attachment)

    def layout(self, step: Step) -> Layout:
        """All rows of the step's window, those read before included; of a prefix the new ones."""
        if step.kind == "prefix":
            return layout(self.settings, 0, step.count)
        ratio = step.ratio if self.compressor.uses_beacons else 0
        return layout(self.settings, ratio, step.offset + step.count)

    def call(self, state: MemoryState, step: Step, ids: torch.Tensor) -> Call:
        """What the model is given in ``step``."""
        before = len(state.tail)
        whole = self.layout(step)
        beacons = whole.beacons[before:].nonzero().flatten()
        raw = (~whole.beacons[before:]).nonzero().flatten()
        memory = state.row_count - before
        mask = None
        if not whole.causal:
            within = whole.mask()[before:]
            seen = torch.ones(len(within), memory, dtype=torch.bool)
            mask = torch.cat([seen, within], dim=1)
        embeddings = embedded(self, ids, raw, beacons)
        positions = memory + whole.positions[before:]
        return Call(embeddings, positions, mask, beacons.to(embeddings.device), int(raw[-1]))

    def advanced(
        self, state: MemoryState, step: Step, ids: torch.Tensor, rows: Rows, past: Past
    ) -> MemoryState:
        """``state`` after a step that read ``ids`` and computed ``rows``.

        Args:
            past: holds the memory and the rows of the window, those just computed included.
        """
        if step.kind == "prefix":
            return replace(
                state,
                sink=joined([state.sink, rows]),
                prefix_ids=torch.cat([state.prefix_ids, ids]),
            )
        tail, tail_ids = joined([state.tail, rows]), torch.cat([state.tail_ids, ids])
        if not step.full:
            return replace(state, tail=tail, tail_ids=tail_ids, tail_ratio=step.ratio)
        beacons = self.layout(step).beacons
        start = state.compressed_tokens
        stock = self.model.stock
        window = Window(tail, beacons, tail_ids, start, step.ratio, stock, past)
        kept = self.compressor.keep(window)
        name = self.compressor.name
        digest = chained(state.digest, tail_ids, step.ratio, name)
        block = Block(
            kept.rows, tail_ids, start, step.ratio, name, digest, kept.repeats, kept.sources
        )
        sink = state.sink
        if self.settings.sink_size and not state.blocks:
            raw = (~beacons).nonzero().flatten()
            sink = tail.select(raw[: self.settings.sink_size])
        nothing = slice(0, 0)
        return replace(
            state,
            sink=sink,
            blocks=(*state.blocks, block),
            tail=tail.select(nothing),
            tail_ids=tail_ids[nothing].clone(),
            tail_ratio=None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """New rows of one memory, before the model has seen them.

    Attributes:
        embeddings: ``(rows, hidden_size)``.
        positions: int64 ``(rows,)``.
        mask: bool ``(rows, rows of the memory + rows)``; ``None``: causal.
        beacons: int64, which rows are beacons.
        last: the row of the last raw token.
    """

    embeddings: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor | None
    beacons: torch.Tensor
    last: int


@dataclass(slots=True, eq=False)
class Reader:
    """An attached model that reads. ``calls`` and ``tokens`` count what went through it."""

    encoder: Encoder
    past: Past
    attachment: Attachment
    calls: int = 0
    tokens: int = 0

    def read(self, state: MemoryState, ids: torch.Tensor) -> tuple[MemoryState, torch.Tensor]:
        """``state`` with ``ids``, int32 ``(tokens,)``, and the last token's hidden state.

        Raises:
            ModelError: they do not fit; nothing was read.
        """
        planned = self.encoder.plan(state, len(ids))
        state = replace(state, fixed_ratio=planned.fixed_ratio)
        hidden = torch.empty(0)
        done = 0
        for steps in self._together(state, planned.steps):
            count = sum(step.count for step in steps)
            some = ids[done : done + count]
            if len(steps) == 1:
                state, hidden = self.step(state, steps[0], some)
            else:
                state, hidden = self.windows(state, steps, some)
            done += count
        return state, hidden

    def _together(self, state: MemoryState, steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
        """The steps in groups that may go in one call."""
        settings = self.encoder.settings
        # sinks are made of the first window, and later ones attend to them
        alone = 1 if settings.sink_size and not state.blocks else 0
        group: list[Step] = []
        for step in steps:
            fits = step.full and step.offset == 0 and self.encoder.compressor.uses_beacons
            if group and (not fits or len(group) == settings.parallel_windows):
                yield group
                group = []
            if fits and not alone:
                group.append(step)
            else:
                alone -= 1 if alone and step.full else 0
                yield [step]
        if group:
            yield group

    def windows(
        self, state: MemoryState, steps: Sequence[Step], ids: torch.Tensor
    ) -> tuple[MemoryState, torch.Tensor]:
        """As :meth:`step`, for several full windows in one call; see :mod:`.parallel`."""
        model = self.encoder.model
        whole = parallel_layout([self.encoder.layout(step) for step in steps])
        memory = state.row_count
        self.past.attach(state.parts(), reserve=len(whole.positions))
        seen = torch.ones(len(whole.positions), memory, dtype=torch.bool)
        mask = torch.cat([seen, whole.mask], dim=1)[None]
        embeddings = embedded(self.encoder, ids, whole.raw, whole.beacons)
        device = embeddings.device
        self.attachment.beacons = whole.beacons.to(device)
        self.attachment.copies = (whole.copies[0].to(device), whole.copies[1].to(device))
        positions = (memory + whole.positions)[None]
        hidden = model.hidden(embeddings[None], positions, self.past.cache, mask)
        rows = self.attachment.take()
        self.attachment.clear()
        done = 0
        for step, places in zip(steps, whole.windows, strict=True):
            some = ids[done : done + step.count]
            state = self.encoder.advanced(state, step, some, rows.select(places), self.past)
            done += step.count
        self.past.cut(memory)
        self.calls += 1
        self.tokens += len(ids)
        return state, hidden[0, whole.raw[-1]]

    def step(
        self, state: MemoryState, step: Step, ids: torch.Tensor
    ) -> tuple[MemoryState, torch.Tensor]:
        """One call of the model; the state after it and the hidden state of the last raw token."""
        call = self.encoder.call(state, step, ids)
        self.past.attach(state.parts(), reserve=len(call.positions))
        self.attachment.beacons = call.beacons if len(call.beacons) else None
        mask = None if call.mask is None else call.mask[None]
        hidden = self.encoder.model.hidden(
            call.embeddings[None], call.positions[None], self.past.cache, mask
        )
        rows = self.attachment.take()
        self.attachment.clear()
        state = self.encoder.advanced(state, step, ids, rows, self.past)
        if not step.full:
            self.past.adopt(state.parts())
        self.calls += 1
        self.tokens += len(ids)
        return state, hidden[0, call.last]


def embedded(
    encoder: Encoder, ids: torch.Tensor, raw: torch.Tensor, beacons: torch.Tensor
) -> torch.Tensor:
    """Embeddings ``(rows, hidden_size)``: ``ids`` at the places ``raw``, beacons at theirs."""
    tokens = encoder.model.embed(ids.long())
    if not len(beacons):
        return tokens
    if encoder.weights is None:
        raise AssertionError("beacons without weights")
    made = tokens.new_empty(len(raw) + len(beacons), tokens.shape[1])
    made[raw] = tokens
    made[beacons] = encoder.weights.beacon_embed_tokens.to(tokens.dtype)
    return made
