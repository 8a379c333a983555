"""Reading into several memories side by side: rows of a batch, filled up where they are short.

What is filled up is never attended to, and each memory keeps its own windows and positions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import torch

from memoryscope_rag.beacon.attach import Attachment
from memoryscope_rag.beacon.cache import joint_cache
from memoryscope_rag.beacon.encode import Call, Encoder
from memoryscope_rag.beacon.plan import Step
from memoryscope_rag.beacon.state import MemoryState


def read_batch(
    encoder: Encoder,
    attachment: Attachment,
    states: Sequence[MemoryState],
    ids: Sequence[torch.Tensor],
) -> tuple[list[MemoryState], int]:
    """Each of ``states`` with its own of ``ids``, and how many calls of the model that took.

    Raises:
        ModelError: one of them does not fit; nothing was read.
    """
    plans = [encoder.plan(state, len(new)) for state, new in zip(states, ids, strict=True)]
    waiting = [deque(plan.steps) for plan in plans]
    found = [
        replace(state, fixed_ratio=plan.fixed_ratio)
        for state, plan in zip(states, plans, strict=True)
    ]
    done, calls = [0] * len(found), 0
    while chosen := [number for number, steps in enumerate(waiting) if steps]:
        some: list[tuple[MemoryState, Step, torch.Tensor]] = []
        for number in chosen:
            step = waiting[number].popleft()
            end = done[number] + step.count
            some.append((found[number], step, ids[number][done[number] : end]))
            done[number] = end
        for number, state in zip(chosen, _together(encoder, attachment, some), strict=True):
            found[number] = state
        calls += 1
    return found, calls


def _together(
    encoder: Encoder,
    attachment: Attachment,
    some: Sequence[tuple[MemoryState, Step, torch.Tensor]],
) -> list[MemoryState]:
    model = encoder.model
    calls = [encoder.call(state, step, ids) for state, step, ids in some]
    memories = [state.parts() for state, _, _ in some]
    cache, before = joint_cache(memories, model.rotation, model.stock.dtype)
    rows = max(len(call.positions) for call in calls)
    embeddings = calls[0].embeddings.new_zeros(len(calls), rows, calls[0].embeddings.shape[1])
    positions = torch.zeros(len(calls), rows, dtype=torch.long)
    mask = torch.zeros(len(calls), rows, before + rows, dtype=torch.bool)
    for number, (call, (state, _, _)) in enumerate(zip(calls, some, strict=True)):
        count, held = len(call.positions), state.row_count
        embeddings[number, :count] = call.embeddings
        positions[number, :count] = call.positions
        seen = _mask(call, held)
        mask[number, :count, :held] = seen[:, :held]
        mask[number, :count, before : before + count] = seen[:, held:]
    beacons = torch.cat([number * rows + call.beacons for number, call in enumerate(calls)])
    attachment.beacons = beacons if len(beacons) else None
    model.hidden(embeddings, positions, cache, mask)
    new = [
        attachment.take(number).select(slice(0, len(call.positions)))
        for number, call in enumerate(calls)
    ]
    attachment.clear()
    states = []
    for (state, step, ids), made in zip(some, new, strict=True):
        past = model.past()
        if step.full:
            past.attach([*state.parts(), made])
        states.append(encoder.advanced(state, step, ids, made, past))
    return states


def _mask(call: Call, held: int) -> torch.Tensor:
    """What the rows of ``call`` may attend to: ``held`` rows, and each other."""
    if call.mask is not None:
        return call.mask
    count = len(call.positions)
    return torch.ones(count, held + count, dtype=torch.bool).tril(held)
