"""A hundred questions with dates, half of them Chinese: what is understood, and what is found.

They were written before anything was measured. By those of the part "repair" the rules for times
were mended; those of the part "kept" were left alone and tell what a user may expect.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from memoryscope_rag import Config, Interval, MemoryScope, Scope
from memoryscope_rag.build import build_embedder, build_ranker
from memoryscope_rag.configs.load import packaged_text
from memoryscope_rag.operations.base import Operation
from memoryscope_rag.operations.retrieve import build_retrieve, search
from memoryscope_rag.ports import Embedder
from memoryscope_rag.schema import KINDS, Evidence
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.temporal import TimeExpression, find_times, reading
from memoryscope_rag.temporal.calendar import GRAINS, unit_around
from memoryscope_rag.testing.fakes import FrozenClock
from memoryscope_rag.workers.base import Deadline, Services, Worker
from memoryscope_rag.workers.frontend import RetrievalState
from memoryscope_rag.workers.frontend.extract_time import ExtractTime

FIXTURES = Path(__file__).parent.parent / "fixtures" / "dates"
SAMPLES = resources.files("memoryscope_rag.cli") / "sample"
HISTORIES = {
    "ann": (SAMPLES / "ann.jsonl", "Europe/London"),
    "nora": (FIXTURES / "nora.jsonl", "Europe/Dublin"),
    "wei": (SAMPLES / "wei.jsonl", "Asia/Shanghai"),
    "lan": (FIXTURES / "lan.jsonl", "Asia/Shanghai"),
}


@dataclass(frozen=True)
class Question:
    """What is asked when, the interval that is meant, and the messages one of which answers.

    ``taste`` says why another reading would be as good.
    """

    part: str
    history: str
    question: str
    now: str
    start: str | None
    end: str | None
    evidence: list[str]
    taste: str = ""

    @property
    def zone(self) -> str:
        """The time zone of whoever asks."""
        return HISTORIES[self.history][1]

    def at(self, moment: str) -> datetime:
        """A moment as it is written in the file."""
        return datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(self.zone))

    @property
    def interval(self) -> Interval:
        """The interval that is meant."""
        start, end = [None if side is None else self.at(side) for side in (self.start, self.end)]
        return Interval(start, end)

    def understood(self) -> bool:
        """Whether the interval is found, or a day that the words make known to its week or month
        ("three weeks ago")."""
        times = find_times(
            self.question, reference=self.at(self.now), prefer=reading(self.question)
        )
        return any(self.interval in (time.interval, bounds(time)) for time in times)

    def answered(self, evidence: Evidence) -> bool:
        """Whether a message that answers is among the evidence."""
        found = {name for item in evidence for name in item.node.provenance}
        return not found.isdisjoint(self.evidence)


def bounds(time: TimeExpression) -> Interval | None:
    """The whole unit of the time's grain in which it begins; ``None`` if it has no end."""
    unit = next((unit for unit, grain in GRAINS.items() if grain is time.grain), None)
    start, end = time.interval.start, time.interval.end
    if unit is None or start is None or end is None:
        return None
    around = unit_around(start.date(), unit, start.tzinfo)
    return Interval(around.start, around.end)


def read_questions() -> list[Question]:
    """All of them."""
    lines = (FIXTURES / "questions.jsonl").read_text("utf-8").splitlines()
    return [Question(**json.loads(line)) for line in lines]


QUESTIONS = read_questions()


def missed(right: list[bool], part: str | None = None) -> tuple[list[str], float]:
    """The questions that were not right, and the share of those that were."""
    chosen = [(q, ok) for q, ok in zip(QUESTIONS, right, strict=True) if part in (None, q.part)]
    return [q.question for q, ok in chosen if not ok], sum(ok for _, ok in chosen) / len(chosen)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the four histories, embedded by the default model."""
    path = tmp_path_factory.mktemp("dates") / "memory.db"
    with MemoryScope.open(path) as memory:
        for scope, (file, _) in HISTORIES.items():
            report = memory.import_(file.read_text("utf-8").splitlines(), scope=scope)
            assert not report.problems
    return path


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    """The default model."""
    embedder = build_embedder(Config())
    assert embedder is not None
    yield embedder
    embedder.close()


def test_the_questions_are_as_many_as_said() -> None:
    for histories in (("ann", "nora"), ("wei", "lan")):
        parts = [q.part for q in QUESTIONS if q.history in histories]
        assert (len(parts), parts.count("kept")) == (50, 20)
    assert len({q.question for q in QUESTIONS}) == 100


def test_n13_the_right_interval() -> None:
    right = [question.understood() for question in QUESTIONS]
    misses, share = missed(right)
    assert share >= 0.95, misses
    assert missed(right, "kept")[1] >= 0.9


@pytest.mark.slow
def test_n13_the_evidence_is_among_the_first_three(path: Path) -> None:
    right = []
    with MemoryScope.open(path) as memory:
        for question in QUESTIONS:
            evidence = memory.retrieve(
                question.question,
                scope=question.history,
                limit=3,
                now=question.at(question.now),
                time_zone=question.zone,
                profile="fast",
            )
            right.append(question.answered(evidence))
    misses, share = missed(right)
    assert share >= 0.85, misses


class YearBefore(ExtractTime):
    """Reads every time a year too early."""

    name = "year_before"

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``times``."""
        read = await super().run(state)
        return replace(
            read, times=tuple(replace(t, interval=moved(t.interval)) for t in read.times)
        )


class NoTime(ExtractTime):
    """Reads no time."""

    name = "no_time"

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``times``."""
        return replace(state, times=())


def moved(interval: Interval) -> Interval:
    """``interval`` a year before."""
    year = timedelta(days=365)
    start, end = interval.start, interval.end
    return Interval(start and start - year, end and end - year)


def operation_with(
    services: Services, reader: type[Worker[RetrievalState]]
) -> Operation[RetrievalState]:
    """The retrieve operation with ``reader`` in the place of extract_time."""
    stages: list[Any] = yaml.safe_load(packaged_text("operations", "retrieve.yaml"))["stages"]
    stages[0][stages[0].index("extract_time")] = reader.name
    return build_retrieve(services, stages, extra={reader.name: reader})


@pytest.mark.slow
def test_n13_a_wrong_date_never_empties_a_result(path: Path, embedder: Embedder) -> None:
    async def check() -> None:
        config = Config()
        store = SQLiteStore.open(path, embedder=embedder.spec)
        clock = FrozenClock(QUESTIONS[0].at(QUESTIONS[0].now))
        services = Services(store, build_ranker(config, embedder), clock, embedder)
        a_year_off, undated = [operation_with(services, reader) for reader in (YearBefore, NoTime)]

        async def items(
            operation: Operation[RetrievalState], question: Question, floor: bool
        ) -> Evidence:
            state = RetrievalState(
                scope=Scope(question.history),
                text=question.question,
                now=question.at(question.now),
                kinds=frozenset(KINDS),
                limit=3,
                budget_tokens=config.retrieval.budget_tokens,
                deadline=Deadline(None),
                floor=floor,
                explain=False,
                as_of=None,
                during=None,
                session_id=None,
                current_session=None,
            )
            return (await search(operation, state))[1]

        try:
            for question in QUESTIONS:
                found = await items(a_year_off, question, False)
                assert len(found) == 3, question.question
                assert question.interval not in found.intervals
                # under the floor, too, a wrong date takes nothing away that no date would find
                if len(await items(undated, question, True)):
                    assert len(await items(a_year_off, question, True)), question.question
        finally:
            await store.close()

    asyncio.run(check())
