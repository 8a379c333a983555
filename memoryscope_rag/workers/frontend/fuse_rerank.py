"""fuse_rerank: one order of facts and turns, without repetition, and nothing below the floor."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from memoryscope_rag.schema import EvidenceItem, MemoryNode, ScorePart
from memoryscope_rag.scoring import LIFT, SIGNALS, LinearRanker
from memoryscope_rag.workers.base import Worker
from memoryscope_rag.workers.frontend.ranking import RAISED_BY, Ranked, rank
from memoryscope_rag.workers.frontend.state import RetrievalState

FLOOR_FROM = 100
"""Nodes from which the floor holds. With fewer, the scope (or what the filters leave of it) is so
small that rare words are not rare yet and scores are low; there is also little in the way."""
SPARE = 10
"""So many more than ``limit`` are read, for those that fall away as repetitions."""


OUTDATED = 2.0
"""What a turn loses whose facts have all been contradicted since, in units of the score: the turn
that says so comes before it, and "where did she work before?" still finds it."""


_TIMES = [SIGNALS.index(name) for name in ("time_said", "time_event")]
IN_TIME = 0.5
"""From this nearness on, something was said or happened when the query asks about. That is an
answer to it, though the words of the date, which no turn repeats, lower all scores."""


class FuseRerank(Worker[RetrievalState]):
    """Orders by the linear ranker (which weighs the kinds), then by the reranker where it spoke.

    Left away: what the host shows anyway, repetitions of a better item by content or by
    provenance, and everything when the best score is under the ranker's floor (in a scope that is
    large enough to tell), unless the best lies in the time that the query names.
    """

    name = "fuse_rerank"
    reads = frozenset({"text", "limit", "floor", "explain", "queries", "memory", "evidence"})
    uses = frozenset({"times", "reranked", "recent", "attention", "attended", "leads"})
    gives = frozenset({"ranked", "confidence"})

    async def run(self, state: RetrievalState) -> RetrievalState:
        """Give ``ranked``, and ``confidence`` that an answer is among the first few of it."""
        ranker = self.services.ranker
        count = max(state.limit + len(state.recent) + SPARE, len(state.reranked))
        ranking = rank(state, ranker, count)
        order = ranking.best
        strict = state.floor and ranking.total >= FLOOR_FROM and not _in_time(order)
        if not order or (strict and order[0].score < ranker.floor):
            return replace(state, ranked=(), confidence=0.0)
        order = reorder(order, state.reranked)
        nodes = await self.services.store.nodes(state.scope, [item.id for item in order])
        outdated = await self._outdated(state, nodes)
        if outdated and not state.reranked:
            order = sorted(order, key=lambda item: -item.score + OUTDATED * (item.id in outdated))
            place = {item.id: number for number, item in enumerate(order)}
            nodes = tuple(sorted(nodes, key=lambda node: place[node.id]))
        shown = {message.id for message in state.recent}
        kept = distinct(
            [node for node in nodes if not (node.provenance and shown.issuperset(node.provenance))]
        )[: state.limit]
        by_id = {item.id: item for item in order}
        items = tuple(
            EvidenceItem(
                node=node,
                score=by_id[node.id].score - OUTDATED * (node.id in outdated),
                outdated=node.id in outdated,
                parts=_parts(ranker, by_id[node.id], node.id in outdated) if state.explain else (),
                found_by=by_id[node.id].found_by,
            )
            for node in kept
        )
        return replace(state, ranked=items, confidence=ranking.confidence)

    async def _outdated(self, state: RetrievalState, nodes: Sequence[MemoryNode]) -> frozenset[str]:
        """The turns of ``nodes`` whose every fact was contradicted by the time asked about."""
        if state.memory is None or not len(state.memory):
            return frozenset()
        source = {n.id: n.provenance[0] for n in nodes if n.kind == "conversation"}
        drawn = await self.services.store.drawn_from(state.scope, list(source.values()))
        moment = state.as_of or state.now
        return frozenset(
            name
            for name, message in source.items()
            if message in drawn and all(contradicted(fact, moment) for fact in drawn[message])
        )


def _in_time(order: Sequence[Ranked]) -> bool:
    """Whether the best lies in a time that the query names."""
    return bool(order) and float(order[0].row[_TIMES].max()) >= IN_TIME


def _parts(ranker: LinearRanker, item: Ranked, outdated: bool) -> tuple[ScorePart, ...]:
    parts = ranker.explain(item.row)
    if item.raised is not None:
        gains = zip(RAISED_BY, LIFT.values(), item.raised.tolist(), strict=True)
        parts += tuple(
            ScorePart(name, gain / weight, weight) for name, weight, gain in gains if gain
        )
    return (*parts, ScorePart("outdated", 1.0, -OUTDATED)) if outdated else parts


def contradicted(fact: MemoryNode, moment: datetime) -> bool:
    """Whether ``fact`` was closed by then because a later one contradicts it."""
    closed = fact.valid_to is not None and fact.valid_to <= moment
    return closed and fact.metadata.get("closed") == "contradicted"


def reorder(order: list[Ranked], reranked: Mapping[str, float]) -> list[Ranked]:
    """The reranked ones first, by the reranker's score; the others after them as they were."""
    return sorted(order, key=lambda item: (item.id not in reranked, -reranked.get(item.id, 0.0)))


def distinct(nodes: Sequence[MemoryNode]) -> list[MemoryNode]:
    """``nodes`` without those that repeat an earlier one.

    A repetition says the same words (but for case and spacing; two turns that answer different
    turns with one word each are rarely worth two places), or is a fact drawn from nothing but a
    turn that stands before it, or that turn after the fact.
    """
    kept: list[MemoryNode] = []
    texts: set[str] = set()
    turns: set[str] = set()
    facts: set[str] = set()
    for node in nodes:
        text = " ".join(unicodedata.normalize("NFKC", node.content).casefold().split())
        source = node.provenance[0] if len(node.provenance) == 1 else None
        is_turn = node.kind == "conversation"
        if text in texts or (source is not None and source in (facts if is_turn else turns)):
            continue
        texts.add(text)
        if source is not None:
            (turns if is_turn else facts).add(source)
        kept.append(node)
    return kept
