"""``bench conflict``: what a newer statement makes of an older one, judged on pairs of our own.

The pairs are invented for this project: 100 on which the rules were tuned, 40 that were held out
until their misses were mended ("seen"), and 40 on which nothing was tuned ("held-out"). Half of
each are Chinese, a quarter of each relation. False conflicts count most: a fact that is closed
wrongly is lost to retrieval, one that is kept twice is a nuisance.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from memoryscope_rag.app import SystemClock
from memoryscope_rag.build import build_ranker
from memoryscope_rag.configs.load import packaged_text
from memoryscope_rag.configs.model import Config
from memoryscope_rag.errors import MalformedReply
from memoryscope_rag.evaluation.report import Figures, Report
from memoryscope_rag.ports import Generator
from memoryscope_rag.schema import MemoryNode, Scope
from memoryscope_rag.workers.backend.facts import observation_of
from memoryscope_rag.workers.backend.judge_by_rules import JudgeByRules
from memoryscope_rag.workers.backend.judge_conflicts import JudgeConflicts
from memoryscope_rag.workers.backend.state import ConsolidationState, Fact, Relation
from memoryscope_rag.workers.base import Services, Worker
from memoryscope_rag.workers.prompts import Prompts

RELATIONS: tuple[Relation, ...] = get_args(Relation)
Part = Literal["tuned", "seen", "held-out"]
FILES: Mapping[Part, str] = {
    "tuned": "conflict_pairs.jsonl",
    "seen": "conflict_pairs_seen.jsonl",
    "held-out": "conflict_pairs_held_out.jsonl",
}
FAILED = "no reply"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two statements of one person and what the newer makes of the older."""

    older: MemoryNode
    newer: Fact
    relation: Relation
    language: str


def load_pairs(text: str) -> tuple[Pair, ...]:
    """Pairs from JSON lines: older, newer, said_older, said_newer, relation, language."""
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    return tuple(
        Pair(
            observation_of(_fact(f"older-{place}", row["older"], row["said_older"])),
            _fact(f"newer-{place}", row["newer"], row["said_newer"]),
            row["relation"],
            row["language"],
        )
        for place, row in enumerate(rows)
    )


def packaged_pairs(part: Part) -> tuple[Pair, ...]:
    """The pairs that ship."""
    return load_pairs(packaged_text("evaluation", FILES[part]))


def run_conflict(
    part: Part, path: Path | str | None = None, generator: Generator | None = None
) -> Report:
    """The rules and, where there is one, a chat model: on the packaged pairs of ``part``, or on
    a file of the same form.
    """
    if path is None:
        return asyncio.run(judged_by_all(packaged_pairs(part), FILES[part], generator))
    path = Path(path)
    return asyncio.run(judged_by_all(load_pairs(path.read_text("utf-8")), path.name, generator))


async def judged_by_all(
    pairs: Sequence[Pair], data: str, generator: Generator | None = None
) -> Report:
    """Accuracy and confusion of the rules and of the model of ``generator``."""
    from memoryscope_rag.stores.sqlite import SQLiteStore

    systems: dict[str, Figures] = {}
    categories: dict[str, Mapping[str, Figures]] = {}
    with tempfile.TemporaryDirectory(prefix="memoryscope-bench-") as folder:
        store = SQLiteStore.open(Path(folder) / "bench.db", embedder=None)
        try:
            services = Services(
                store,
                build_ranker(Config(), None),
                SystemClock(),
                generator=generator,
                prompts=Prompts.load(),
            )
            judges: dict[str, Worker[ConsolidationState]] = {"rules": JudgeByRules(services)}
            if generator is not None:
                judges[generator.model] = JudgeConflicts(services)
            for name, judge in judges.items():
                found = [await _judge(judge, pair) for pair in pairs]
                systems[name] = figures(pairs, found)
                categories[name] = confusion(pairs, found)
        finally:
            await store.close()
    return Report(
        benchmark="conflict",
        data=data,
        embedder="none",
        n=len(pairs),
        systems=systems,
        categories=categories,
        notes=(
            "by category: a row a true relation, a column the share judged so",
            "false_conflict: the share of compatible pairs that were judged contradicted",
        ),
    )


async def _judge(judge: Worker[ConsolidationState], pair: Pair) -> str:
    """One pair, alone; what a model answers that cannot be read is :data:`FAILED`."""
    state = ConsolidationState(
        scope=Scope(user_id="bench"),
        now=pair.newer.said_at,
        messages=(),
        facts=(pair.newer,),
        neighbours={pair.newer.id: (pair.older,)},
    )
    try:
        verdicts = (await judge.run(state)).verdicts
    except MalformedReply:
        return FAILED
    return verdicts[0].relation if verdicts else "compatible"


def figures(pairs: Sequence[Pair], judged: Sequence[str]) -> dict[str, float]:
    """Accuracy, overall and by language, and the share of false conflicts."""
    right = [float(pair.relation == found) for pair, found in zip(pairs, judged, strict=True)]
    result = {"accuracy": _mean(right)}
    for language in sorted({pair.language for pair in pairs}):
        result[f"accuracy_{language}"] = _mean(
            [hit for pair, hit in zip(pairs, right, strict=True) if pair.language == language]
        )
    for name, relation in (("false_conflict", "compatible"), ("conflicts_found", "contradicted")):
        result[name] = _mean(
            [
                float(found == "contradicted")
                for pair, found in zip(pairs, judged, strict=True)
                if pair.relation == relation
            ]
        )
    return result


def confusion(pairs: Sequence[Pair], judged: Sequence[str]) -> dict[str, Figures]:
    """Of each true relation, the share that was judged as which; ``n`` counts its pairs."""
    counts = Counter((pair.relation, found) for pair, found in zip(pairs, judged, strict=True))
    columns = [*RELATIONS, *([FAILED] if FAILED in judged else [])]
    total = Counter(pair.relation for pair in pairs)
    return {
        relation: {
            "n": float(total[relation]),
            **{found: counts[relation, found] / total[relation] for found in columns},
        }
        for relation in RELATIONS
        if total[relation]
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _fact(name: str, content: str, said: str) -> Fact:
    at = datetime.fromisoformat(said)
    return Fact(id=name, content=content, sources=(name,), said_at=at, session_id="bench", seq=1)
