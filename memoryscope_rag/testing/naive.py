"""Search as it is defined, one node at a time in plain Python: the slow twin of every store.

It knows nothing of indexes, caches or half precision. :func:`disagreements` compares a store's
answer with it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from memoryscope_rag.ports import Candidates, FloatArray, IndexedNode, SearchRequest
from memoryscope_rag.schema import MemoryNode

COSINE_TOLERANCE = 0.004
"""What half-precision storage may move a cosine."""
BM25_TOLERANCE = 1e-3
"""What float32 may move a BM25 score, relative to it."""


def bm25(
    query: Sequence[str], documents: Sequence[Sequence[str]], *, k1: float = 1.2, b: float = 0.75
) -> list[float]:
    """BM25 of ``query`` for each document, with the documents' own statistics."""
    count = len(documents)
    mean = sum(len(document) for document in documents) / count if count else 0.0
    scores = []
    for document in documents:
        tf = Counter(document)
        score = 0.0
        for term in query:
            if not tf[term]:
                continue
            df = sum(term in other for other in documents)
            idf = math.log(1 + (count - df + 0.5) / (df + 0.5))
            norm = k1 * (1 - b + b * len(document) / mean)
            score += idf * tf[term] * (k1 + 1) / (tf[term] + norm)
        scores.append(score)
    return scores


def cosine(left: FloatArray | None, right: FloatArray | None) -> float:
    """The cosine of two vectors, NaN where one is missing."""
    if left is None or right is None:
        return math.nan
    a, b = [float(x) for x in left], [float(x) for x in right]
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b)))


def passes(node: MemoryNode, request: SearchRequest, now: datetime) -> bool:
    """Whether ``node`` is among those that ``request`` asks for."""
    if node.kind not in request.kinds:
        return False
    if request.session_id is not None and node.session_id != request.session_id:
        return False
    if request.as_of is not None:
        if not node.valid_at(request.as_of):
            return False
    elif node.valid_to is not None and node.valid_to <= now:
        return False
    if request.during is not None:
        said = request.during.contains(node.said_at)
        happened = node.event is not None and request.during.overlaps(node.event.interval)
        return said or happened
    return True


@dataclass(frozen=True, slots=True)
class NaiveScores:
    """Scores of one query by node id: dense, dense with context, lexical, lexical with context."""

    channels: tuple[dict[str, float], dict[str, float], dict[str, float], dict[str, float]]


def naive_scores(nodes: Sequence[IndexedNode], request: SearchRequest) -> list[NaiveScores]:
    """All scores of all queries for all of a scope's ``nodes``."""
    ids = [item.node.id for item in nodes]
    result = []
    for query in request.queries:
        dense = [cosine(query.vector, item.vector) for item in nodes]
        dense_context = [cosine(query.vector, item.context_vector) for item in nodes]
        lexical = bm25(query.terms, [item.terms for item in nodes])
        lexical_context = bm25(query.terms, [item.context_terms for item in nodes])
        result.append(
            NaiveScores(
                (
                    dict(zip(ids, dense, strict=True)),
                    dict(zip(ids, dense_context, strict=True)),
                    dict(zip(ids, lexical, strict=True)),
                    dict(zip(ids, lexical_context, strict=True)),
                )
            )
        )
    return result


def neighbours(nodes: Sequence[IndexedNode], hits: set[str], width: int) -> set[str]:
    """Ids of conversation nodes at most ``width`` turns from a conversation node in ``hits``."""
    talk = [item.node for item in nodes if item.node.kind == "conversation"]
    near: set[str] = set()
    for session in {node.session_id for node in talk if node.session_id is not None}:
        mine = [node for node in talk if node.session_id == session]
        turns = sorted({node.seq for node in mine})
        at = {seq: position for position, seq in enumerate(turns)}
        places = {at[node.seq] for node in mine if node.id in hits}
        near |= {
            node.id for node in mine if any(abs(at[node.seq] - place) <= width for place in places)
        }
    return near


def pieces_of(nodes: Sequence[IndexedNode], messages: Sequence[str]) -> set[str]:
    """Ids of the conversation nodes of these messages."""
    return {
        item.node.id
        for item in nodes
        if item.node.kind == "conversation" and not set(messages).isdisjoint(item.node.provenance)
    }


def disagreements(
    nodes: Sequence[IndexedNode], request: SearchRequest, now: datetime, answer: Candidates
) -> list[str]:
    """How ``answer`` differs from the definition; ``nodes`` are all live ones of the scope.

    Where scores tie at the limit, either choice is right.
    """
    problems: list[str] = []
    allowed = {item.node.id for item in nodes if passes(item.node, request, now)}
    found = {name for name, hit in zip(answer.ids, answer.found, strict=True) if hit}
    got = set(answer.ids)
    if len(got) != len(answer.ids):
        problems.append("an id stands twice")
    if answer.population != len(allowed):
        problems.append(f"population {answer.population}, but {len(allowed)} pass the filter")
    if strange := got - allowed:
        problems.append(f"{sorted(strange)} do not pass the filter")
    justified = allowed & pieces_of(nodes, request.messages)
    if lost := justified - found:
        problems.append(f"{sorted(lost)} are pieces of messages asked for and no hits")
    arrays = (answer.dense, answer.dense_context, answer.lexical, answer.lexical_context)
    for number, scores in enumerate(naive_scores(nodes, request)):
        for channel, expected in enumerate(scores.channels):
            lexical = channel >= 2
            for name, value in zip(answer.ids, arrays[channel][number].tolist(), strict=True):
                want = expected.get(name, math.nan)
                slack = BM25_TOLERANCE * (1 + abs(want)) if lexical else COSINE_TOLERANCE
                if math.isnan(want) != math.isnan(value) or abs(want - value) > slack:
                    problems.append(f"query {number} channel {channel} {name}: {value}, {want}")
            if channel == 1:
                continue  # contexts are scored, but no search of their vectors finds hits
            ranked = sorted(
                (
                    value
                    for name, value in expected.items()
                    if name in allowed and not math.isnan(value) and (value > 0 or not lexical)
                ),
                reverse=True,
            )
            if not ranked:
                continue
            last = ranked[min(request.limit, len(ranked)) - 1]
            slack = BM25_TOLERANCE * (1 + abs(last)) if lexical else COSINE_TOLERANCE
            for name in allowed:
                value = expected[name]
                if value > last + slack and name not in found:
                    problems.append(f"query {number} channel {channel}: {name} was not found")
                if value >= last - slack and (value > 0 or not lexical):
                    justified.add(name)
        best = max((scores.channels[2][name] for name in allowed), default=0.0)
        if abs(best - float(answer.lexical_best[number])) > BM25_TOLERANCE * (1 + best):
            problems.append(f"query {number}: lexical_best {answer.lexical_best[number]}, {best}")
    if wrong := found - justified:
        problems.append(f"{sorted(wrong)} are called hits and are none")
    near = neighbours(nodes, found, request.neighbours) & allowed
    if got != found | near:
        problems.append(f"neighbours differ by {sorted(got ^ (found | near))}")
    return problems
