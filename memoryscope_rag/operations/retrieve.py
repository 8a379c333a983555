"""Retrieve: what memory holds that matters to a query. Its workers stand in retrieve.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from memoryscope_rag.configs.load import packaged_text
from memoryscope_rag.errors import ConfigError
from memoryscope_rag.operations.base import (
    Operation,
    StageSpec,
    WorkerClass,
    installed_workers,
    parse_stages,
)
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
    if stages is None:
        stages = parse_stages(packaged_text("operations", "retrieve.yaml"), "retrieve.yaml")
    elif isinstance(stages, Path):
        try:
            text = stages.read_text("utf-8")
        except OSError as error:
            raise ConfigError(f"cannot read operation {stages}: {error.strerror}") from None
        stages = parse_stages(text, str(stages))
    known = {**installed_workers(), **(extra or {}), **FRONTEND}
    return Operation.build(
        "retrieve", RetrievalState, stages, known=known, services=services, gives="result"
    )


async def retrieve(operation: Operation[RetrievalState], state: RetrievalState) -> Evidence:
    """Run the operation and add to its result what was left out and how long each step took."""
    state, left_out, timings = await operation.run(state, state.deadline)
    assert state.result is not None  # checked when the operation was built
    if state.dense_failure is not None:
        left_out = (state.dense_failure, *left_out)
    return replace(state.result, left_out=(*state.result.left_out, *left_out), timings=timings)
