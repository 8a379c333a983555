"""``bench readout``: what reading attention adds to the ranker, on conversations with evidence.

Each session's keys and values are kept by themselves, in full or by *select*; every question is
put to all of them. Heads, and the weight of their mass beside the ranker's score, are chosen on
the other conversations. The ranker is the shipped one's fit without this data set.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.beacon.compressor import Full
from memoryscope_rag.beacon.engine import BeaconEngine
from memoryscope_rag.beacon.heads import (
    HeadSet,
    Observation,
    Selection,
    observe,
    select_heads,
)
from memoryscope_rag.beacon.key_difference import KeyDifference
from memoryscope_rag.beacon.read_attention import Head, make_readable, read_attention
from memoryscope_rag.beacon.select import Select
from memoryscope_rag.beacon.session_memory import append_to_sessions
from memoryscope_rag.beacon.settings import BeaconSettings
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.beacon.weights import fingerprint
from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.evaluation import datasets, metrics
from memoryscope_rag.evaluation.datasets import History
from memoryscope_rag.evaluation.fit import L2_FEW, group_of, without_locomo
from memoryscope_rag.evaluation.gather import (
    Judged,
    gather_plainly,
    message_of,
    own,
    score_rows,
    shortened,
)
from memoryscope_rag.evaluation.metrics import BEYOND
from memoryscope_rag.evaluation.report import Figures, Report
from memoryscope_rag.ports import Embedder
from memoryscope_rag.scoring import LinearRanker, fit_listwise, signals

WINDOW = 256
"""Tokens that are compressed together: few enough that a session has several."""
SHARE = 0.8
"""Of the layers, whose heads are looked at: a question need not go through those above."""
_TIMED = 10
Float64 = NDArray[np.float64]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class _ReadOut:
    """One kind of memory: calibrated mass by turn for each question, and what a question costs."""

    selection: Selection
    mass: list[Float64]
    figures: Figures


def run_readout(
    path: Path | str,
    embedder: Embedder | None,
    ranker: LinearRanker,
    model: Any,
    tokenizer: Any,
    *,
    name: str,
    ratios: Sequence[int] = (2, 4, 8),
    limit: int | None = None,
    sessions: int | None = None,
    questions: int | None = None,
    say: Say = lambda text: None,
) -> tuple[Report, HeadSet]:
    """The figures on a file of LoCoMo, and heads that were chosen on all of it, in full memory.

    Args:
        model: a causal language model of transformers.
        name: of the model.
        ratios: tokens a kept row, of *select*.
        limit: only so many histories, at least two.
        sessions: of each history only the first so many, with the questions that they answer.
        questions: of each history at most so many, evenly spread.

    Raises:
        InvalidInput: fewer than two histories are left.
    """
    histories = [
        shortened(history, sessions, questions) for history in datasets.load_locomo(path)[:limit]
    ]
    histories = [history for history in histories if history.questions]
    if len(histories) < 2:
        raise InvalidInput("limit", "leaves fewer than two histories; heads are cross-validated")
    judged = asyncio.run(gather_plainly(own(histories), embedder))
    ranker, which = without_locomo(ranker)
    scores = [
        ranker.score(signals(item.candidates, item.features, ranker.calibration)).astype(float)
        for item in judged
    ]
    systems = {"ranker": _figures(judged, scores, scores)}
    chosen: Selection | None = None
    for ratio in (0, *ratios):
        memory = f"select {ratio}x" if ratio else "full"
        engine = BeaconEngine(
            model,
            tokenizer,
            settings=BeaconSettings(window=WINDOW, ratios=(ratio,)),
            compressor=Select(KeyDifference()) if ratio else Full(),
        )
        found = _read_out(engine, histories, judged, memory, say)
        chosen = chosen or found.selection
        both = _together(judged, scores, found.mass)
        systems[f"read-out {memory}"] = {**_figures(judged, found.mass, scores), **found.figures}
        systems[f"ranker + {memory}"] = _figures(judged, both, scores)
        plain, helped = _brief(systems["ranker"]), _brief(systems[f"ranker + {memory}"])
        say(f"{memory}: {plain}; with it {helped}")
    assert chosen is not None
    fitted: dict[str, object] = {
        "how": "mean reciprocal rank of the evidence by calibrated mass, dated lines, by session",
        "data": Path(path).name,
        "conversations": [history.id for history in histories],
        "sessions": sessions or "all",
        "questions": len(judged),
        "held_out_reciprocal_rank": round(chosen.quality, 4),
        "date": date.today().isoformat(),
    }
    report = Report(
        benchmark="readout",
        data=Path(path).name,
        embedder="none" if embedder is None else embedder.spec.name,
        n=len(judged),
        systems=systems,
        notes=(
            which,
            "heads and the weight of their mass: chosen on the other conversations",
            f"beyond@{BEYOND}: evidence in the read-out's first {BEYOND} and not in the ranker's",
            f"ms: a question to the last conversation, {name}, the chosen heads, stored rows",
        ),
    )
    return report, HeadSet(name, fingerprint(model), chosen.heads, fitted)


def _read_out(
    engine: BeaconEngine,
    histories: Sequence[History],
    judged: Sequence[Judged],
    name: str,
    say: Say,
) -> _ReadOut:
    count = engine.model.stock.config.get_text_config(decoder=True).num_attention_heads
    layers = math.ceil(SHARE * engine.model.layers)
    heads = [Head(layer, head) for layer in range(layers) for head in range(count)]
    observations: list[Observation] = []
    states: list[MemoryState] = []
    for history in histories:
        began = time.perf_counter()
        messages = [message_of(turn) for turn in history.turns]
        states = list(append_to_sessions(engine, {}, messages).values())
        memories = make_readable(engine, states, heads)
        asked = [item.question for item in judged if item.history.id == history.id]
        # columns of the mass in the order of the history's turns, as the ranker's scores
        places = {name: place for place, name in enumerate(n for m in memories for n in m.messages)}
        order = [places[turn.id] for turn in history.turns]
        for question in asked:
            seen = observe(engine, memories, history.id, question.text, question.turns)
            evidence = [p for p, turn in enumerate(history.turns) if turn.id in question.turns]
            observations.append(
                replace(seen, mass=seen.mass[:, order], evidence=seen.evidence.new_tensor(evidence))
            )
        took = time.perf_counter() - began
        say(f"{name}: {history.id}, {len(asked)} questions, {took:.0f} s")
    selection = select_heads(observations, heads)
    place = {head: number for number, head in enumerate(heads)}
    mass = []
    for one in observations:
        rows = [place[head] for head in selection.held_out[one.conversation]]
        mass.append(one.mass[rows].double().mean(dim=0).numpy())
    return _ReadOut(selection, mass, _cost(engine, states, selection.heads, judged[-_TIMED:]))


def _cost(
    engine: BeaconEngine,
    states: Sequence[MemoryState],
    heads: Sequence[Head],
    judged: Sequence[Judged],
) -> Figures:
    memories = make_readable(engine, states, heads)
    took = []
    for item in judged:
        began = time.perf_counter()
        read_attention(engine, memories, item.question.text)
        took.append(1000 * (time.perf_counter() - began))
    return {"ms": median(took), "rows": float(sum(map(len, memories)))}


def _brief(figures: Figures) -> str:
    """What a run that is broken off leaves."""
    return " ".join(f"{name} {figures[name]:.3f}" for name in ("recall@1", "recall@5", "recall@10"))


def _together(
    judged: Sequence[Judged], scores: Sequence[Float64], masses: Sequence[Float64]
) -> list[Float64]:
    """Scores of both, each question's weights fitted on the other conversations."""
    pairs = [np.stack(pair, axis=1) for pair in zip(scores, masses, strict=True)]
    spread = np.mean([pair.std(axis=0) for pair in pairs], axis=0)
    groups = [
        group_of(item, pair / spread, by_session=False)
        for item, pair in zip(judged, pairs, strict=True)
    ]
    weights = {
        left_out: fit_listwise(
            [g for g, item in zip(groups, judged, strict=True) if item.history.id != left_out],
            L2_FEW,
        )
        for left_out in {item.history.id for item in judged}
    }
    return [
        group.signals @ weights[item.history.id] for group, item in zip(groups, judged, strict=True)
    ]


def _figures(
    judged: Sequence[Judged], scores: Sequence[Float64], ranker: Sequence[Float64]
) -> Figures:
    rows = []
    for item, score, other in zip(judged, scores, ranker, strict=True):
        gold = item.question.turns
        ranking = score_rows(item, score.astype(np.float32))
        row = {f"recall@{k}": metrics.recall(ranking, gold, k) for k in (*metrics.CUTS, BEYOND)}
        row["ndcg@10"] = metrics.ndcg(ranking, gold, 10)
        missed = gold - set(score_rows(item, other.astype(np.float32))[:BEYOND])
        row[f"beyond@{BEYOND}"] = len(missed & set(ranking[:BEYOND])) / len(gold)
        rows.append(row)
    return metrics.mean_of(rows)
