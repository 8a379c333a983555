"""Retrieve: what memory holds that matters to a query. Its workers stand in retrieve.yaml."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.operations.base import Operation, StageSpec, WorkerClass, load_operation
from memoryscope_rag.schema import Evidence
from memoryscope_rag.workers.base import Services
from memoryscope_rag.workers.frontend import FRONTEND, RetrievalState


def build_retrieve(
    services: Services,
    stages: Sequence[StageSpec] | Path | None = None,
    *,
    extra: Mapping[str, WorkerClass] | None = None,
) -> Operation[RetrievalState]:
    """The retrieve operation: the default one, one from a YAML file, or one given as stages.

    ``extra`` adds worker classes by name to ours and to those of installed packages.
    """
    return load_operation(
        "retrieve",
        RetrievalState,
        stages,
        default="retrieve.yaml",
        ours=FRONTEND,
        extra=extra,
        services=services,
        gives="result",
    )


async def retrieve(
    operation: Operation[RetrievalState], state: RetrievalState, *, patience_s: float | None = None
) -> Evidence:
    """Run the operation and add to its result what was left out and how long each step took.

    As :func:`search`, without the state.
    """
    return (await search(operation, state, patience_s=patience_s))[1]


async def search(
    operation: Operation[RetrievalState], state: RetrievalState, *, patience_s: float | None = None
) -> tuple[RetrievalState, Evidence]:
    """The state in the end and the evidence, with what was left out and how long each step took.

    The store is no part that can be left out; ``patience_s`` is how long after the deadline it may
    still answer, ``None`` for as long as it takes. Raises StoreUnavailable after that.
    """
    left = state.deadline.remaining()
    allowed = None if left is None or patience_s is None else left + patience_s
    try:
        async with asyncio.timeout(allowed) as limit:
            state, left_out, timings = await operation.run(state, state.deadline)
    except TimeoutError:
        if not limit.expired():
            raise
        raise StoreUnavailable(f"the store did not answer within {allowed:.1f} s") from None
    assert state.result is not None  # checked when the operation was built
    if state.dense_failure is not None:
        left_out = (state.dense_failure, *left_out)
    left_out = (*state.result.left_out, *left_out)
    return state, replace(state.result, left_out=left_out, timings=timings)
