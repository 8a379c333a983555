"""The benchmarks as functions: LoCoMo, LongMemEval, MemDaily, our own form, and the fit.

Each records the histories into a store by the way every message goes, searches, and ranks
the same candidates by the baselines, by the ranker that is shipped (``memoryscope-rag``), by one
fitted on the file's other histories (``leave-one-out``) and by the shipped ranker's fit without
this data set (``transfer``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memoryscope_rag.configs.model import Config
from memoryscope_rag.evaluation import datasets, metrics
from memoryscope_rag.evaluation.baselines import BASELINES
from memoryscope_rag.evaluation.datasets import History
from memoryscope_rag.evaluation.fit import fit_ranker, groups_of, leave_one_out
from memoryscope_rag.evaluation.floor import floor_figures, with_floor
from memoryscope_rag.evaluation.gather import (
    Asked,
    Judged,
    foreign,
    gather,
    gather_plainly,
    own,
    score_rows,
)
from memoryscope_rag.evaluation.report import Figures, Report
from memoryscope_rag.ports import Embedder, FloatArray
from memoryscope_rag.scoring import LinearRanker, signals

OURS = "memoryscope-rag"
Measure = Callable[[Judged, Sequence[str]], dict[str, float]]


@dataclass(frozen=True, slots=True)
class _Benchmark:
    """A data set's name in ranker files, its loader and what is measured of a ranking."""

    name: str
    load: Callable[[Path | str], tuple[History, ...]]
    measure: Measure


def measure_turns(item: Judged, ranking: Sequence[str]) -> dict[str, float]:
    """Metrics over turns, over sessions in order of first appearance, and within budgets."""
    gold = item.question.turns
    cost = {turn.id: metrics.turn_cost(turn.content) for turn in item.history.turns}
    row = {f"recall@{k}": metrics.recall(ranking, gold, k) for k in metrics.CUTS}
    row["any@5"] = metrics.any_hit(ranking, gold, 5)
    row["all@5"] = metrics.all_hit(ranking, gold, 5)
    row["ndcg@10"] = metrics.ndcg(ranking, gold, 10)
    for budget in metrics.BUDGETS:
        row[f"recall@{budget}t"] = metrics.recall_within(ranking, gold, cost, budget)
    session_of = item.session_of
    sessions = metrics.first_seen([session_of[turn] for turn in ranking])
    if len(set(session_of.values())) > 1:
        row["session_any@5"] = metrics.any_hit(sessions, item.question.sessions, 5)
        row["session_all@5"] = metrics.all_hit(sessions, item.question.sessions, 5)
        row["session_recall@10"] = metrics.recall(sessions, item.question.sessions, 10)
    return row


def measure_sessions(item: Judged, ranking: Sequence[str]) -> dict[str, float]:
    """Metrics over sessions in order of first appearance; ``official`` ones drop abstentions."""
    gold = item.question.sessions
    session_of = item.session_of
    sessions = metrics.first_seen([session_of[turn] for turn in ranking])
    row = {"p@1": metrics.any_hit(sessions, gold, 1)}
    for k in (5, 10):
        row[f"any@{k}"] = metrics.any_hit(sessions, gold, k)
        row[f"all@{k}"] = metrics.all_hit(sessions, gold, k)
        row[f"recall@{k}"] = metrics.recall(sessions, gold, k)
    row["ndcg@10"] = metrics.ndcg(sessions, gold, 10)
    if item.question.answerable:
        row["official_all@5"] = row["all@5"]
        row["official_all@10"] = row["all@10"]
    return row


LOCOMO = _Benchmark("locomo", datasets.load_locomo, measure_turns)
LONGMEMEVAL = _Benchmark("longmemeval", datasets.load_longmemeval, measure_sessions)
MEMDAILY = _Benchmark("memdaily", datasets.load_memdaily, measure_turns)
GENERIC = _Benchmark("generic", datasets.load_generic, measure_turns)
BENCHMARKS: Mapping[str, _Benchmark] = {
    benchmark.name: benchmark for benchmark in (LOCOMO, LONGMEMEVAL, MEMDAILY, GENERIC)
}


def run_locomo(
    path: Path | str,
    embedder: Embedder | None,
    ranker: LinearRanker,
    *,
    limit: int | None = None,
    through_store: bool = True,
    config: Config | None = None,
) -> Report:
    """LoCoMo: turns, all questions with valid evidence, adversarial ones included.

    ``limit`` takes the first so many histories. A database like that of ``config`` searches, SQLite
    without it, or without ``through_store`` the plain twin.
    """
    return asyncio.run(_run(LOCOMO, path, embedder, ranker, limit, through_store, config))


def run_longmemeval(
    path: Path | str,
    embedder: Embedder | None,
    ranker: LinearRanker,
    *,
    limit: int | None = None,
    through_store: bool = True,
    config: Config | None = None,
) -> Report:
    """LongMemEval-S: sessions, all questions; user turns only are recorded."""
    report = asyncio.run(_run(LONGMEMEVAL, path, embedder, ranker, limit, through_store, config))
    note = "roles indexed: user; official_*: recall_all without the abstention questions"
    return _with_note(report, note)


def run_memdaily(
    path: Path | str,
    embedder: Embedder | None,
    ranker: LinearRanker,
    *,
    limit: int | None = None,
    through_store: bool = True,
    config: Config | None = None,
) -> Report:
    """MemDaily: the messages of one trajectory."""
    return asyncio.run(_run(MEMDAILY, path, embedder, ranker, limit, through_store, config))


def run_generic(
    path: Path | str,
    embedder: Embedder | None,
    ranker: LinearRanker,
    *,
    limit: int | None = None,
    through_store: bool = True,
    config: Config | None = None,
) -> Report:
    """A file in our own form (:func:`~memoryscope_rag.evaluation.datasets.load_generic`)."""
    return asyncio.run(_run(GENERIC, path, embedder, ranker, limit, through_store, config))


def run_fit(
    paths: Mapping[str, Path | str],
    embedder: Embedder,
    *,
    through_store: bool = True,
) -> tuple[LinearRanker, Report]:
    """Fit a ranker on data sets by name (``locomo``, ``longmemeval``, ``memdaily``, ``generic``).

    The report has, for each set, the new ranker (``NAME``), the one fitted without that set
    (``NAME transfer``) and what the floor does there.
    """
    return asyncio.run(_fit(paths, embedder, through_store))


async def _run(
    benchmark: _Benchmark,
    path: Path | str,
    embedder: Embedder | None,
    ranker: LinearRanker,
    limit: int | None,
    through_store: bool,
    config: Config | None,
) -> Report:
    histories = benchmark.load(path)[:limit]
    judged = [
        item
        for item in await _judge(own(histories), embedder, through_store, config)
        if item.question.sessions
    ]
    rankings: dict[str, list[list[str]]] = {
        name: [score_rows(item, score(item.candidates)) for item in judged]
        for name, score in BASELINES.items()
        if embedder is not None or name == "lexical"
    }
    rows = [signals(item.candidates, item.features, ranker.calibration) for item in judged]
    rankings[OURS] = _ranked(judged, rows, [ranker.vector] * len(judged))
    groups = groups_of({benchmark.name: judged}, ranker.calibration)[benchmark.name]
    if len(histories) > 1:
        left_out = leave_one_out(judged, groups)
        weights = [left_out[item.history.id].astype(np.float32) for item in judged]
        rankings["leave-one-out"] = _ranked(judged, rows, weights)
    provider = "sqlite" if config is None else config.store.provider
    notes = [f"search: {f'{provider} store' if through_store else 'plain twin, no store'}"]
    without = ranker.fitted.get("without")
    if isinstance(without, Mapping) and benchmark.name in without:
        other = LinearRanker(ranker.preset, ranker.calibration, without[benchmark.name])
        rankings["transfer"] = _ranked(judged, rows, [other.vector] * len(judged))
        notes.append(
            f"{OURS} is the shipped ranker {ranker.preset!r}, fitted on development data of "
            f"{benchmark.name}: on that very file its figures are not held out"
        )
    strangers = await _judge(foreign(histories), embedder, through_store, config)
    if strangers:
        figures = floor_figures(judged, strangers, ranker)
        notes.append(
            f"floor {figures.floor:.2f}: keeps {figures.kept:.3f} of {figures.answerable} "
            f"answerable questions, refuses {figures.refused:.3f} of {figures.foreign} foreign "
            f"ones; AUC {figures.auc:.3f}; a floor keeping 95 % here would refuse "
            f"{figures.refused_at_95:.3f}"
        )
    measured = {
        name: [
            benchmark.measure(item, ranking) for item, ranking in zip(judged, found, strict=True)
        ]
        for name, found in rankings.items()
    }
    return Report(
        benchmark=benchmark.name,
        data=Path(path).name,
        embedder="none" if embedder is None else embedder.spec.name,
        n=len(judged),
        systems={name: metrics.mean_of(found) for name, found in measured.items()},
        categories={
            name: _by_category(judged, measured[name])
            for name in (OURS, "leave-one-out")
            if name in measured
        },
        notes=tuple(notes),
    )


async def _fit(
    paths: Mapping[str, Path | str], embedder: Embedder, through_store: bool
) -> tuple[LinearRanker, Report]:
    mine: dict[str, list[Judged]] = {}
    theirs: dict[str, list[Judged]] = {}
    for name, path in paths.items():
        histories = BENCHMARKS[name].load(path)
        mine[name] = await _judge(own(histories), embedder, through_store)
        theirs[name] = await _judge(foreign(histories), embedder, through_store)
    ranker = with_floor(fit_ranker(embedder.spec.name, mine), mine, theirs)
    systems: dict[str, Figures] = {}
    without = ranker.fitted["without"]
    for name, judged in mine.items():
        rows = [signals(item.candidates, item.features, ranker.calibration) for item in judged]
        figures = floor_figures(judged, theirs[name], ranker)
        weighers = {name: ranker}
        if isinstance(without, Mapping) and name in without:
            weighers[f"{name} transfer"] = LinearRanker(
                ranker.preset, ranker.calibration, without[name]
            )
        for label, weigher in weighers.items():
            found = _ranked(judged, rows, [weigher.vector] * len(judged))
            systems[label] = metrics.mean_of(
                [
                    BENCHMARKS[name].measure(item, ranking)
                    for item, ranking in zip(judged, found, strict=True)
                ]
            )
        systems[name] = {
            **systems[name],
            "kept": figures.kept,
            "refused": figures.refused,
            "auc": figures.auc,
        }
    report = Report(
        benchmark="fit",
        data=" ".join(Path(path).name for path in paths.values()),
        embedder=embedder.spec.name,
        n=sum(len(judged) for judged in mine.values()),
        systems=systems,
        notes=("figures of a set's own row are on the questions that were fitted",),
    )
    return ranker, report


async def _judge(
    asked: Sequence[Asked],
    embedder: Embedder | None,
    through_store: bool,
    config: Config | None = None,
) -> list[Judged]:
    if not through_store:
        return await gather_plainly(asked, embedder)
    return await gather(asked, embedder, config)


def _ranked(
    judged: Sequence[Judged], rows: Sequence[FloatArray], weights: Sequence[FloatArray]
) -> list[list[str]]:
    return [
        score_rows(item, row @ weight)
        for item, row, weight in zip(judged, rows, weights, strict=True)
    ]


def _by_category(judged: Sequence[Judged], rows: Sequence[dict[str, float]]) -> dict[str, Figures]:
    parts: dict[str, list[dict[str, float]]] = {}
    for item, row in zip(judged, rows, strict=True):
        parts.setdefault(item.question.category, []).append(row)
    return {name: {"n": float(len(part)), **metrics.mean_of(part)} for name, part in parts.items()}


def _with_note(report: Report, note: str) -> Report:
    return Report(
        report.benchmark,
        report.data,
        report.embedder,
        report.n,
        report.systems,
        report.categories,
        (*report.notes, note),
    )
