"""Building operations: everything that is refused is refused when built, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest
from pydantic import Field

from memoryscope_rag.errors import ConfigError, ModelError
from memoryscope_rag.operations.base import Operation, StageSpec, WorkerClass, parse_stages
from memoryscope_rag.operations.retrieve import build_retrieve
from memoryscope_rag.workers.base import Deadline, NoParams, Services, Worker

SERVICES = cast(Services, None)
"""Workers of this file use none."""


@dataclass(frozen=True)
class State:
    text: str
    first: str = ""
    second: str = ""
    other: str = ""


class First(Worker[State]):
    name = "first"
    reads = frozenset({"text"})
    gives = frozenset({"first"})

    class Params(NoParams):
        times: int = Field(1, ge=1)

    params: Params

    async def run(self, state: State) -> State:
        return replace(state, first=state.text * self.params.times, other="dropped")


class Second(Worker[State]):
    name = "second"
    reads = frozenset({"first"})
    gives = frozenset({"second"})

    async def run(self, state: State) -> State:
        return replace(state, second=state.first.upper())


class Also(First):
    name = "also"


class Lost(Worker[State]):
    name = "lost"
    reads = frozenset({"texts"})

    async def run(self, state: State) -> State:
        return state


class Fails(First):
    name = "fails"
    optional = True

    async def run(self, state: State) -> State:
        raise ModelError("away")


class Sleeps(First):
    name = "sleeps"
    optional = True

    async def run(self, state: State) -> State:
        await asyncio.sleep(60)
        return replace(state, first="late")


KNOWN: dict[str, WorkerClass] = {
    worker.name: worker for worker in (First, Second, Also, Lost, Fails, Sleeps)
}


def build(stages: Sequence[StageSpec], gives: str = "second") -> Operation[State]:
    return Operation.build("test", State, stages, known=KNOWN, services=SERVICES, gives=gives)


def run(
    operation: Operation[State], deadline: Deadline | None = None
) -> tuple[State, tuple[str, ...], dict[str, float]]:
    return asyncio.run(operation.run(State("a"), deadline or Deadline()))


def test_j2_j3_stages_run_in_order_and_only_what_is_given_is_kept() -> None:
    state, left_out, timings = run(build([{"first": {"times": 2}}, "second"]))
    assert state == State("a", "aa", "AA", "")
    assert left_out == ()
    assert list(timings) == ["first", "second"]
    assert all(ms >= 0 for ms in timings.values())


def test_a_worker_without_parameters_may_be_written_with_none() -> None:
    stages = parse_stages("stages: [{first: }, second]", "x.yaml")
    assert run(build(stages))[0].second == "A"


def test_j3_parallel_workers_see_the_same_state() -> None:
    with pytest.raises(ConfigError, match=r"'second' reads 'first' before any worker gives it"):
        build([["first", "second"]])


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([], "has no stages"),
        (["frist"], "unknown worker 'frist'; did you mean 'first'"),
        ([["first", "nothing"]], "unknown worker 'nothing'; known: also, "),
        ([{"first": {"time": 2}}], "worker 'first' has no parameter 'time'; did you mean 'times'"),
        ([{"second": {"x": 2}}], "worker 'second' has no parameter 'x'; known: none"),
        ([{"first": {"times": "2"}}], "worker 'first', parameter 'times'"),
        ([{"first": {"times": 0}}], "worker 'first', parameter 'times'"),
        ([{"first": [1]}], "parameters of 'first' must be a mapping"),
        ([{"first": {}, "second": {}}], "neither a name nor"),
        ([7], "neither a name nor"),
        ([[["first"]]], "neither a name nor"),
        ([{7: {}}], "unknown worker 7"),
        ([None], "neither a name nor"),
        (["second"], "'second' reads 'first' before any worker gives it; given so far: text"),
        (["first", "second", "lost"], "names the field 'texts'.*did you mean 'text'"),
        ([["first", "also"], "second"], "'first' and 'also' both give 'first'"),
        (["first"], "no worker gives 'second'"),
    ],
)
def test_j3_every_wrong_operation_is_refused_by_name(stages: list[StageSpec], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        build(stages)
    assert "'test'" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stages: [", "not valid YAML"),
        ("- first", "a mapping with the key 'stages'"),
        ("", "a mapping with the key 'stages'"),
        ("stages: first", "'stages' must be a list"),
        ("description: nothing", "'stages' must be a list"),
        ("stage: [first]", "unknown key 'stage'; did you mean 'stages'"),
    ],
)
def test_a_wrong_file_is_refused_by_its_name(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse_stages(text, "x.yaml")
    assert str(caught.value).startswith("x.yaml: ")


def test_an_operation_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read operation .*none\.yaml"):
        build_retrieve(SERVICES, tmp_path / "none.yaml")


def test_the_default_operation_builds_and_so_does_one_with_parameters(tmp_path: Path) -> None:
    assert len(build_retrieve(SERVICES).stages) == 5
    path = tmp_path / "own.yaml"
    path.write_text(
        "stages: [[set_query, extract_time], {retrieve_candidates: {evidence: 5}}, fuse_rerank,"
        " pack_evidence]",
        "utf-8",
    )
    assert len(build_retrieve(SERVICES, path).stages) == 4
    path.write_text("stages: [set_query, fuse_rerank, pack_evidence]", "utf-8")
    with pytest.raises(ConfigError, match="reads 'evidence' before any worker gives it"):
        build_retrieve(SERVICES, path)


def test_an_optional_worker_that_fails_is_left_out_and_named() -> None:
    state, left_out, _ = run(build(["fails", "second"]))
    assert state == State("a")
    assert left_out == ("fails: away",)


def test_an_optional_worker_that_is_late_is_left_out_and_named() -> None:
    state, left_out, _ = run(build(["sleeps", "second"]), Deadline.after(20))
    assert state.first == ""
    assert left_out == ("sleeps: deadline",)


def test_one_operation_serves_many_calls_at_once() -> None:
    operation = build(["first", "second"])

    async def main() -> list[State]:
        calls = (operation.run(State(str(n)), Deadline()) for n in range(50))
        return [state for state, _, _ in await asyncio.gather(*calls)]

    assert [state.second for state in asyncio.run(main())] == [str(n) for n in range(50)]
