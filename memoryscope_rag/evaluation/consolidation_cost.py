"""``bench consolidation`` with a model: what it is asked, in calls and tokens, and what for.

Each history is recorded in a store and consolidated by the default operation.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from memoryscope_rag.app import SystemClock
from memoryscope_rag.evaluation.benchmarks import BENCHMARKS
from memoryscope_rag.evaluation.consolidation import duplicates
from memoryscope_rag.evaluation.datasets import History, Turn
from memoryscope_rag.evaluation.report import Report
from memoryscope_rag.operations.consolidate import (
    ConsolidationOptions,
    ConsolidationReport,
    build_consolidate,
    consolidate,
)
from memoryscope_rag.operations.record import record
from memoryscope_rag.ports import Embedder, Generator, MemoryStore, NodeFilter
from memoryscope_rag.schema import MemoryNode, NewMessage, Scope
from memoryscope_rag.scoring import LinearRanker
from memoryscope_rag.workers.base import Services
from memoryscope_rag.workers.prompts import Prompts


def run_cost(
    name: str,
    path: Path | str,
    generator: Generator,
    embedder: Embedder | None,
    ranker: LinearRanker,
    *,
    options: ConsolidationOptions | None = None,
    limit: int | None = None,
) -> Report:
    """Consolidate the histories of a data set of turns (``locomo`` …) by ``generator``.

    All figures a hundred turns are of all turns, those of assistants included. Duplicates are
    open observations that say what an earlier one says, see :func:`.consolidation.duplicates`.
    """
    histories = BENCHMARKS[name].load(path)[:limit]
    figures, reasons = asyncio.run(
        _measure(histories, generator, embedder, ranker, options or ConsolidationOptions())
    )
    stands_in = generator.model == "stand-in"
    notes = [f"{count} turns not consolidated: {reason}" for reason, count in reasons.items()]
    if stands_in:
        notes.append("a stand-in answered: calls and prompts are real, tokens are estimated,")
        notes.append("observations and duplicates say nothing about a model")
    return Report(
        benchmark=f"consolidation ({name})",
        data=Path(path).name,
        embedder="none" if embedder is None else embedder.spec.name,
        n=sum(len(history.turns) for history in histories),
        systems={f"{generator.model}": figures},
        notes=tuple(notes),
    )


async def _measure(
    histories: Sequence[History],
    generator: Generator,
    embedder: Embedder | None,
    ranker: LinearRanker,
    options: ConsolidationOptions,
) -> tuple[Mapping[str, float], Counter[str]]:
    from memoryscope_rag.stores.sqlite import SQLiteStore

    reports: list[ConsolidationReport] = []
    open_nodes = twice = 0
    with tempfile.TemporaryDirectory(prefix="memoryscope-bench-") as folder:
        store = SQLiteStore.open(
            Path(folder) / "bench.db", embedder=None if embedder is None else embedder.spec
        )
        services = Services(
            store, ranker, SystemClock(), embedder, generator=generator, prompts=Prompts.load()
        )
        operation = build_consolidate(services)
        try:
            for history in histories:
                scope = Scope(history.id)
                await record(store, embedder, scope, [_message(turn) for turn in history.turns])
                reports.append(
                    await consolidate(
                        services,
                        scope,
                        operation=operation,
                        options=options,
                        now=history.turns[-1].at,
                    )
                )
                nodes = await _observations(store, scope)
                open_nodes += len(nodes)
                twice += duplicates(nodes)
        finally:
            await generator.close()
            await store.close()
    turns = sum(len(history.turns) for history in histories) or 1
    done = Counter(action.did for report in reports for action in report.actions)
    figures = {
        "calls/100": 100 * sum(report.calls for report in reports) / turns,
        "prompt tokens/100": 100 * sum(r.usage.prompt_tokens for r in reports) / turns,
        "reply tokens/100": 100 * sum(r.usage.completion_tokens for r in reports) / turns,
        "consolidated": sum(report.consolidated for report in reports) / turns,
        "observations/100": 100 * open_nodes / turns,
        "merged/100": 100 * done["merged"] / turns,
        "closed/100": 100 * done["closed"] / turns,
        "duplicates": twice / max(1, open_nodes),
    }
    reasons = Counter[str]()
    for report in reports:
        reasons.update(report.parked.values())
        reasons.update(report.failed.values())
    return figures, reasons


def _message(turn: Turn) -> NewMessage:
    # whoever is named is a person, and what a person says of themselves is worth keeping
    role = "user" if turn.speaker else turn.role
    return NewMessage(turn.id, turn.session, role, turn.content, turn.at, turn.speaker)


async def _observations(store: MemoryStore, scope: Scope) -> list[MemoryNode]:
    nodes: list[MemoryNode] = []
    cursor = None
    while True:
        page = await store.list_nodes(
            scope, NodeFilter(kinds=frozenset({"observation"})), cursor=cursor, limit=500
        )
        nodes += page.items
        cursor = page.cursor
        if cursor is None:
            return nodes
