"""Operations: stages of workers, some in parallel, checked when they are built.

An operation is written as stages; a stage is a worker or a list of workers that run at once::

    Operation.build("retrieve", RetrievalState, ["set_query", ["extract_time", "look_up"]], ...)

or the same in YAML, where a worker may carry parameters::

    state: retrieval
    stages:
      - set_query
      - [extract_time, {look_up: {limit: 50}}]

Refused with ConfigError: an unknown worker, an unknown or ill-typed parameter, a field read
before anything gives it, two parallel workers giving one field, a field the state does not have.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from pydantic import ValidationError

from memoryscope_rag.configs.load import packaged_text
from memoryscope_rag.errors import ConfigError, ModelError, suggest
from memoryscope_rag.workers.base import Deadline, Services, Worker

State = TypeVar("State")
WorkerClass = type[Worker[Any]]
StageSpec = str | Mapping[str, Any] | Sequence["StageSpec"]
"""A worker's name, ``{name: params}``, or a list of these for a parallel stage."""

ENTRY_POINTS = "memoryscope_rag.workers"
_log = logging.getLogger(__name__)


def installed_workers() -> dict[str, WorkerClass]:
    """Workers that other installed packages offer by entry point.

    Raises ConfigError when two packages offer one name, or when an entry is no Worker.
    """
    found: dict[str, WorkerClass] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name in found:
            raise ConfigError(f"two installed packages offer a worker named {entry.name!r}")
        loaded = entry.load()
        if not (isinstance(loaded, type) and issubclass(loaded, Worker)):
            raise ConfigError(f"entry point {entry.name!r} ({entry.value}) is no Worker class")
        found[entry.name] = loaded
    return found


@dataclasses.dataclass(frozen=True)
class Operation(Generic[State]):
    """Checked stages of workers over one state class. Build it with :meth:`build`."""

    name: str
    stages: tuple[tuple[Worker[State], ...], ...]

    @classmethod
    def build(
        cls,
        name: str,
        state: type[State],
        stages: Sequence[StageSpec],
        *,
        known: Mapping[str, WorkerClass],
        services: Services,
        gives: str,
        after: Operation[State] | None = None,
    ) -> Operation[State]:
        """Check and assemble.

        Fields of ``state`` without a default are the caller's; ``gives`` is the field that holds
        the operation's result. It goes on with what the operation ``after`` gave.
        """
        fields = {field.name: field for field in dataclasses.fields(state)}  # type: ignore[arg-type]
        given = {
            name
            for name, field in fields.items()
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        }
        if after is not None:
            given |= {field for stage in after.stages for worker in stage for field in worker.gives}
        built: list[tuple[Worker[State], ...]] = []
        if not stages:
            raise ConfigError(f"operation {name!r} has no stages")
        for stage in stages:
            parallel = list(stage) if isinstance(stage, list | tuple) else [stage]
            workers = tuple(_worker(name, item, known, services) for item in parallel)
            _check_stage(name, workers, given, fields.keys())
            for worker in workers:
                given |= worker.gives
            built.append(workers)
        if gives not in given:
            raise ConfigError(f"operation {name!r}: no worker gives {gives!r}, its result")
        return cls(name, tuple(built))

    def lend(self, services: Services) -> Operation[State]:
        """The same operation over other services, such as a generator that is counted."""
        stages = tuple(
            tuple(type(worker)(services, worker.params) for worker in stage)
            for stage in self.stages
        )
        return Operation(self.name, stages)

    async def run(
        self, state: State, deadline: Deadline
    ) -> tuple[State, tuple[str, ...], dict[str, float]]:
        """The final state, the workers left out (with the reason), milliseconds a worker.

        A worker that stands in several stages has its milliseconds added up.
        """
        left_out: list[str] = []
        timings: dict[str, float] = {}

        async def one(worker: Worker[State], before: State) -> State:
            started = time.perf_counter()
            try:
                if worker.optional:
                    return await deadline.within(worker.run(before))
                return await worker.run(before)
            except TimeoutError:
                if not worker.optional:
                    raise
                left_out.append(f"{worker.name}: deadline")
            except ModelError as error:
                if not worker.optional:
                    raise
                _log.warning("%s left out: %s", worker.name, type(error).__name__)
                left_out.append(f"{worker.name}: {error}")
            finally:
                spent = (time.perf_counter() - started) * 1000
                timings[worker.name] = timings.get(worker.name, 0.0) + spent
            return before

        for stage in self.stages:
            if len(stage) == 1:
                results = [await one(stage[0], state)]
            else:
                results = await asyncio.gather(*(one(worker, state) for worker in stage))
            changes = {
                field: getattr(result, field)
                for worker, result in zip(stage, results, strict=True)
                for field in worker.gives
            }
            state = dataclasses.replace(state, **changes)  # type: ignore[type-var]
        return state, tuple(left_out), timings


def load_operation(
    name: str,
    state: type[State],
    stages: Sequence[StageSpec] | Path | None,
    *,
    default: str,
    ours: Mapping[str, WorkerClass],
    extra: Mapping[str, WorkerClass] | None,
    services: Services,
    gives: str,
    after: Operation[State] | None = None,
) -> Operation[State]:
    """The operation given as stages, by a YAML file, or else by the packaged file ``default``.

    Its workers are ``ours``, those of installed packages and ``extra``, by name. Raises
    ConfigError.
    """
    if stages is None:
        stages = parse_stages(packaged_text("operations", default), default)
    elif isinstance(stages, Path):
        try:
            text = stages.read_text("utf-8")
        except OSError as error:
            raise ConfigError(f"cannot read operation {stages}: {error.strerror}") from None
        stages = parse_stages(text, str(stages))
    known = {**installed_workers(), **(extra or {}), **ours}
    return Operation.build(
        name, state, stages, known=known, services=services, gives=gives, after=after
    )


def parse_stages(text: str, source: str) -> list[StageSpec]:
    """The stages of an operation written in YAML; ``source`` names it in errors."""
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {error}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: an operation is a mapping with the key 'stages'")
    for key in tree:
        if key not in {"stages", "description"}:
            raise ConfigError(
                f"{source}: unknown key {key!r}; {suggest(str(key), ['stages', 'description'])}"
            )
    stages = tree.get("stages")
    if not isinstance(stages, list):
        raise ConfigError(f"{source}: 'stages' must be a list")
    return stages


def _worker(
    operation: str, item: StageSpec, known: Mapping[str, WorkerClass], services: Services
) -> Worker[Any]:
    where = f"operation {operation!r}"
    if isinstance(item, str):
        name, raw = item, None
    elif isinstance(item, Mapping) and len(item) == 1:
        name, raw = next(iter(item.items()))
    else:
        raise ConfigError(
            f"operation {operation!r}: {item!r} is neither a name nor {{name: params}}"
        )
    if name not in known:
        raise ConfigError(
            f"operation {operation!r}: unknown worker {name!r}; {suggest(str(name), known)}"
        )
    worker = known[name]
    raw = {} if raw is None else raw
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{where}: parameters of {name!r} must be a mapping")
    for key in raw:
        if key not in worker.Params.model_fields:
            raise ConfigError(
                f"{where}: worker {name!r} has no parameter {key!r}; "
                + suggest(str(key), worker.Params.model_fields)
            )
    try:
        params = worker.Params(**raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{where}: worker {name!r}, parameter {key!r}: {first['msg']}") from None
    return worker(services, params)


def _check_stage(
    operation: str, workers: Sequence[Worker[Any]], given: set[str], fields: Any
) -> None:
    giver: dict[str, str] = {}
    for worker in workers:
        for field in sorted(worker.reads | worker.uses | worker.gives):
            if field not in fields:
                raise ConfigError(
                    f"operation {operation!r}: worker {worker.name!r} names the field {field!r}, "
                    f"which the state does not have; {suggest(field, fields)}"
                )
        for field in sorted(worker.reads - given):
            raise ConfigError(
                f"operation {operation!r}: worker {worker.name!r} reads {field!r} before any "
                f"worker gives it; given so far: {', '.join(sorted(given))}"
            )
        for field in sorted(worker.gives):
            if field in giver:
                raise ConfigError(
                    f"operation {operation!r}: parallel workers {giver[field]!r} and "
                    f"{worker.name!r} both give {field!r}"
                )
            giver[field] = worker.name
