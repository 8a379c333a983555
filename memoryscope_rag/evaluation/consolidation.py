"""``bench consolidation``: what observations drawn without a language model do for retrieval.

Each history is recorded and consolidated in a store, then every question is searched among its
turns alone, and among turns and observations. An observation brings all the messages that it
rests on; these take their places in the order of the ranking, each once.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from memoryscope_rag import lexical
from memoryscope_rag.evaluation import metrics
from memoryscope_rag.evaluation.benchmarks import BENCHMARKS, measure_turns
from memoryscope_rag.evaluation.datasets import History, Question, Turn
from memoryscope_rag.evaluation.gather import LIMIT, Judged, intervals_of, queries_of
from memoryscope_rag.evaluation.report import Figures, Report
from memoryscope_rag.operations.consolidate import build_consolidate, consolidate
from memoryscope_rag.operations.record import record
from memoryscope_rag.ports import (
    Candidates,
    Embedder,
    FloatArray,
    MemoryStore,
    NodeFilter,
    SearchRequest,
)
from memoryscope_rag.schema import Kind, MemoryNode, NewMessage, Scope
from memoryscope_rag.scoring import LIFT, LinearRanker, lift, query_features, signals
from memoryscope_rag.workers.base import Services

CONVERSATION: frozenset[Kind] = frozenset({"conversation"})
FACTS: frozenset[Kind] = frozenset({"observation", "insight"})
ALONE = "conversation"
WITH_FACTS = "conversation + observations"
LIFTED = "lifted by observations"


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One question with its candidates among turns and among facts.

    ``sources`` are the turns that each node rests on, by its id.
    """

    history: History
    question: Question
    turns: Candidates
    facts: Candidates
    parts: int
    sources: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Consolidated:
    """What consolidation made of the histories, and what was found then.

    ``open`` are the open observations by history, ``closed`` counts the others; ``actions`` counts
    what was done, by what and why ("closed contradicted").
    """

    found: tuple[Found, ...]
    open: Mapping[str, tuple[MemoryNode, ...]]
    closed: int
    actions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A clock that stands still, at the end of a history."""

    at: datetime

    def now(self) -> datetime:
        return self.at


def run_consolidation(
    name: str,
    path: Path | str,
    embedder: Embedder | None,
    ranker: LinearRanker,
    *,
    limit: int | None = None,
) -> Report:
    """Retrieval with and without observations on one of the data sets of turns (``locomo`` …)."""
    histories = BENCHMARKS[name].load(path)[:limit]
    return report_of(
        name, path, asyncio.run(consolidated(histories, embedder, ranker)), ranker, embedder
    )


def report_of(
    name: str,
    path: Path | str,
    done: Consolidated,
    ranker: LinearRanker,
    embedder: Embedder | None,
) -> Report:
    """The figures of what :func:`consolidated` found."""
    rankings = {
        ALONE: [order(item, ranker, facts=False) for item in done.found],
        WITH_FACTS: [order(item, ranker, facts=True) for item in done.found],
        LIFTED: [lifted(item, ranker) for item in done.found],
    }
    measured = {
        system: [
            measure_turns(_judged(item), ranking)
            for item, ranking in zip(done.found, found, strict=True)
        ]
        for system, found in rankings.items()
    }
    total = sum(len(nodes) for nodes in done.open.values())
    twice = sum(duplicates(nodes) for nodes in done.open.values())
    histories = {item.history.id: item.history for item in done.found}
    turns = sum(len(history.turns) for history in histories.values())
    did = ", ".join(f"{count} {what}" for what, count in sorted(done.actions.items()))
    return Report(
        benchmark=f"consolidation ({name})",
        data=Path(path).name,
        embedder="none" if embedder is None else embedder.spec.name,
        n=len(done.found),
        systems={system: metrics.mean_of(rows) for system, rows in measured.items()},
        categories={system: _by_category(done.found, rows) for system, rows in measured.items()},
        notes=(
            f"{total} open observations of {turns} turns, {done.closed} closed; {did}",
            f"duplicates: {twice} of {total} ({twice / max(1, total):.2%})",
            "a fact brings all messages that it rests on, each takes a place",
            f"{LIFTED}: its score plus {LIFT['dense']} x dense and {LIFT['lexical']} x lexical "
            "by which its best fact beats it; the weights are set by hand on LoCoMo",
        ),
    )


async def consolidated(
    histories: Sequence[History], embedder: Embedder | None, ranker: LinearRanker
) -> Consolidated:
    """Record and consolidate each history by rules, then search for each of its questions."""
    from memoryscope_rag.stores.sqlite import SQLiteStore

    found: list[Found] = []
    open_nodes: dict[str, tuple[MemoryNode, ...]] = {}
    actions: Counter[str] = Counter()
    closed = 0
    with tempfile.TemporaryDirectory(prefix="memoryscope-bench-") as folder:
        store = SQLiteStore.open(
            Path(folder) / "bench.db", embedder=None if embedder is None else embedder.spec
        )
        try:
            for history in histories:
                scope = Scope(user_id=history.id)
                end = history.turns[-1].at
                services = Services(store, ranker, _Fixed(end), embedder)
                await record(store, embedder, scope, [_message(turn) for turn in history.turns])
                report = await consolidate(
                    services, scope, operation=build_consolidate(services), now=end
                )
                actions.update(
                    f"{action.did} {action.because or ''}".strip() for action in report.actions
                )
                nodes = await _observations(store, scope)
                current = [node for node in nodes if node.valid_to is None]
                open_nodes[history.id] = tuple(current)
                closed += len(nodes) - len(current)
                sources = {node.id: node.provenance for node in nodes}
                questions = [question for question in history.questions if question.turns]
                asked = [(question, False) for question in questions]
                for question, queries in zip(
                    questions, await queries_of(asked, embedder), strict=True
                ):
                    turns, facts = await store.search(
                        scope,
                        [
                            SearchRequest(queries, kinds, limit=LIMIT)
                            for kinds in (CONVERSATION, FACTS)
                        ],
                    )
                    found.append(Found(history, question, turns, facts, len(queries) - 1, sources))
        finally:
            await store.close()
    return Consolidated(tuple(found), open_nodes, closed, actions)


def order(item: Found, ranker: LinearRanker, *, facts: bool) -> list[str]:
    """The turns in the order of the best node that brings them."""
    scored: list[tuple[float, int, tuple[str, ...]]] = []
    for place, candidates in enumerate((item.turns, item.facts) if facts else (item.turns,)):
        scores = _scores(item, candidates, ranker)
        for name, score in zip(candidates.ids, scores.tolist(), strict=True):
            brings = (name.rsplit("#", 1)[0],) if place == 0 else item.sources[name]
            scored.append((-score, place, brings))
    scored.sort(key=lambda entry: entry[:2])
    return list(dict.fromkeys(turn for _, _, brings in scored for turn in brings))


def lifted(item: Found, ranker: LinearRanker) -> list[str]:
    """The turns in the order of their own score, raised where a fact drawn from them says more to
    the question than they do as a whole.
    """
    if not len(item.facts):
        return order(item, ranker, facts=False)
    # one scale for both: the best hit among the facts may be a poor one
    best = np.maximum(item.facts.lexical_best, item.turns.lexical_best)
    facts = _signals(item, replace(item.facts, lexical_best=best), ranker)
    turns = _signals(item, item.turns, ranker)
    scores = ranker.score(turns).tolist()
    rows: dict[str, int] = {}
    for row in sorted(range(len(scores)), key=lambda row: -scores[row]):
        rows.setdefault(item.turns.ids[row].rsplit("#", 1)[0], row)
    drawn = [
        (row, rows[turn])
        for row, name in enumerate(item.facts.ids)
        for turn in item.sources[name]
        if turn in rows
    ]
    if not drawn:
        return list(rows)
    facts_of, sources = np.array(drawn, dtype=np.int64).T
    raised = lift(turns, facts[facts_of], sources).sum(axis=1)
    return sorted(rows, key=lambda turn: -(scores[rows[turn]] + raised[rows[turn]]))


def duplicates(nodes: Sequence[MemoryNode]) -> int:
    """How many of ``nodes`` say what an earlier one of the same speaker says: the same words,
    order, case and function words aside, with the same event.
    """
    seen = Counter(
        (node.speaker, tuple(sorted(lexical.analyze(node.content))), str(node.event))
        for node in nodes
    )
    return sum(count - 1 for count in seen.values())


def _scores(item: Found, candidates: Candidates, ranker: LinearRanker) -> FloatArray:
    return ranker.score(_signals(item, candidates, ranker))


def _signals(item: Found, candidates: Candidates, ranker: LinearRanker) -> FloatArray:
    features = query_features(
        item.question.text, candidates.speakers, intervals_of(item.question), item.parts
    )
    return signals(candidates, features, ranker.calibration)


def _message(turn: Turn) -> NewMessage:
    # whoever is named is a person, and what a person says of themselves is worth keeping
    return NewMessage(
        id=turn.id,
        session_id=turn.session,
        role="user" if turn.speaker else turn.role,
        content=turn.content,
        created_at=turn.at,
        speaker=turn.speaker,
    )


async def _observations(store: MemoryStore, scope: Scope) -> list[MemoryNode]:
    nodes: list[MemoryNode] = []
    cursor = None
    while True:
        page = await store.list_nodes(
            scope, NodeFilter(kinds=FACTS, closed=True), cursor=cursor, limit=500
        )
        nodes += page.items
        cursor = page.cursor
        if cursor is None:
            return nodes


def _judged(item: Found) -> Judged:
    features = query_features(item.question.text, item.turns.speakers)
    return Judged(item.history, item.question, item.turns, (), features)


def _by_category(found: Sequence[Found], rows: Sequence[Mapping[str, float]]) -> dict[str, Figures]:
    parts: dict[str, list[Mapping[str, float]]] = {}
    for item, row in zip(found, rows, strict=True):
        parts.setdefault(item.question.category, []).append(row)
    return {name: {"n": float(len(part)), **metrics.mean_of(part)} for name, part in parts.items()}
