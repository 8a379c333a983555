"""Search: the cluster finds candidates, and SQLite's own index of a scope ranks them.

One ``_msearch`` asks, for every request and query, for the best by words (turns and contexts) and
the nearest by vector, for the pieces of the messages that a request names, and once for what BM25
needs to know of the whole scope: how many nodes, how long, how many hold each word. A second
request fetches the turns beside the hits. What came back becomes a
:class:`~memoryscope_rag.stores.scope_index.ScopeIndex`, which filters, scores and joins as for
SQLite. So every score is exact and of the scope's own statistics; the cluster's
(whose BM25 counts all scopes of a shard, and whose vectors are rounded to a byte) only choose
whom to look at, and it is asked for more by words than are wanted.
"""

from __future__ import annotations

import asyncio
import base64
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memoryscope_rag.ports import Candidates, EmbedderSpec, FloatArray, Query, SearchRequest
from memoryscope_rag.schema import Scope
from memoryscope_rag.stores.elasticsearch import embedding, filters, heads, turns
from memoryscope_rag.stores.elasticsearch.cluster import Cluster, ScopedSearch
from memoryscope_rag.stores.elasticsearch.documents import SEARCH_FIELDS, model_key, search_cells
from memoryscope_rag.stores.elasticsearch.freshness import Freshness
from memoryscope_rag.stores.encoding import TermArray, TermHasher
from memoryscope_rag.stores.postings import Collection
from memoryscope_rag.stores.scope_index import ScopeIndex
from memoryscope_rag.stores.search_cache import query_vectors

MAX_TERMS = 1000
"""Different words of a query that are searched for; a cluster allows about so many clauses."""
_SPARE = 50
"""Hits by words beyond the limit, or half of it, that are looked at: statistics differ."""
_WINDOW = 10_000
"""Most hits that an index gives at once (``index.max_result_window``)."""
_NAMED = 500
"""Messages whose pieces are asked for in one search: together at most ``_WINDOW`` pieces."""
_FIELDS = ("terms", "context")
_ANY = bytes(8)
"""Stands for a token that no query holds."""


async def search(
    cluster: Cluster,
    fresh: Freshness,
    scope: Scope,
    requests: Sequence[SearchRequest],
    spec: EmbedderSpec | None,
    now: int,
) -> tuple[Candidates, ...]:
    """Answer ``requests``.

    Raises:
        InvalidInput: a query's vector is none of ``spec``'s.
        EmbeddingMismatch: the store has vectors of another model.
    """
    requests = [_bounded(request) for request in requests]
    asked = {request.queries: None for request in requests}
    vectors = {queries: query_vectors(queries, spec) for queries in asked}
    head, _, _ = await heads.read(cluster, scope)
    active = head.models.active
    if active is None:  # nothing to compare with yet
        vectors = {queries: [None for _ in queries] for queries in asked}
    elif (
        spec is not None
        and active.fingerprint != spec.fingerprint
        and any(vector is not None for found in vectors.values() for vector in found)
    ):
        raise embedding.mismatch(cluster, head.models, spec)
    words = sorted({term for queries in asked for query in queries for term in query.terms})
    part = _Part(active, words)
    if head.held is None:
        return tuple(
            [part.index.search(r, part.nothing(r), vectors[r.queries], now) for r in requests]
        )
    # of messages, too: what is found is read with the turns around it
    await asyncio.gather(
        fresh.ensure("nodes", head.key, head.generation),
        fresh.ensure("messages", head.key, head.generation),
    )

    searches = [
        one
        for request in requests
        for one in _searches(
            head.key, request, vectors[request.queries], part.model, part.fields, now
        )
    ]
    answers = await cluster.searches([*searches, _statistics(head.key, requests, words, now)])
    for answer in answers[:-1]:
        part.add(answer["hits"]["hits"])
    part.count(answers[-1])
    hits = [
        part.search(replace(request, neighbours=0), vectors[request.queries], now)
        for request in requests
    ]
    width = max(request.neighbours for request in requests)
    # one turn more tells which of two hits' neighbours are neighbours of each other
    beside = await turns.around(
        cluster,
        "nodes",
        head.key,
        part.turns_of(hits),
        width,
        width,
        ring=1,
        fields=part.fields,
        known=part.ids,
    )
    part.add(beside.hits)
    places = beside.places()
    found = [part.search(request, vectors[request.queries], now) for request in requests]
    totals = answers[-1]["aggregations"]["population"]["buckets"]
    return tuple(
        [
            replace(
                candidates,
                turn=part.places(candidates, places),
                population=totals[str(number)]["doc_count"],
            )
            for number, candidates in enumerate(found)
        ]
    )


class _Part:
    """The part of a scope's nodes that the cluster gave, as an index over them."""

    def __init__(self, active: EmbedderSpec | None, words: Sequence[str]) -> None:
        self.model = None if active is None else model_key(active)
        self.index = ScopeIndex(0, None, 0 if active is None else active.dimension)
        self.fields = [*SEARCH_FIELDS, *_FIELDS, "provenance"]
        if self.model is not None:
            self.fields.append(f"vectors.{self.model}.*")
        self._hasher = TermHasher()
        self._words = {word: self._hasher.blob([word]) for word in words}
        self._collections: list[Collection] = []
        self._known: dict[str, int] = {}
        self._sessions: dict[str, str | None] = {}
        self._pieces: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, hits: Sequence[dict[str, Any]]) -> None:
        """Add the nodes of these hits that are not here yet."""
        new = {h["_id"]: h["_source"] for h in hits if h["_id"] not in self._known}
        rows, terms, vectors = [], [], []
        # by id, so that the same search twice gives the same order
        for name, source in sorted(new.items(), key=lambda item: item[1]["id"]):
            number = self._known[name] = len(self._known)
            self._sessions[source["id"]] = source.get("session")
            if source["kind"] == "conversation":
                for message in source["provenance"]:
                    self._pieces[message].append(number)
            rows.append(search_cells(number, source))
            turn, context = (self._terms(source[field]) for field in _FIELDS)
            terms.append((turn, context))
            pair = source.get("vectors", {}).get(self.model, {})
            vectors.append((_bytes(pair.get("turn")), _bytes(pair.get("context"))))
        self.index.append(rows, terms, vectors)

    @property
    def ids(self) -> list[str]:
        """Our ids of the nodes that are here."""
        return list(self._sessions)

    def _terms(self, text: str) -> bytes:
        """Tokens as postings take them; those that nobody asks for only count."""
        return b"".join([self._words.get(token, _ANY) for token in text.split()])

    def count(self, answer: dict[str, Any]) -> None:
        """Take what BM25 asks of the whole scope from the answer to :func:`_statistics`."""
        hashes = self._hasher.array(self._words).tolist()
        groups = answer["aggregations"]
        for field in _FIELDS:
            counts = groups[field]["buckets"] if hashes else {}
            holding = {h: counts[str(n)]["doc_count"] for n, h in enumerate(hashes)}
            length = groups[f"{field}_length"]["value"]
            self._collections.append(Collection(answer["hits"]["total"]["value"], length, holding))

    def search(
        self, request: SearchRequest, vectors: Sequence[FloatArray | None], now: int
    ) -> Candidates:
        """What the index finds among the nodes that are here."""
        terms = [self._hasher.array(query.terms) for query in request.queries]
        lexical = self.index.lexical(terms, *self._collections)
        named = [number for name in request.messages for number in self._pieces.get(name, ())]
        return self.index.search(request, lexical, vectors, now, named)

    def nothing(self, request: SearchRequest) -> tuple[FloatArray, FloatArray]:
        """The scores of a request in an empty scope."""
        terms: list[TermArray] = [self._hasher.array(()) for _ in request.queries]
        return self.index.lexical(terms)

    def turns_of(self, hits: Sequence[Candidates]) -> list[turns.Turn]:
        """The turns of a session that were hit."""
        found = {
            (session, seq)
            for candidates in hits
            for name, kind, seq in zip(
                candidates.ids, candidates.kinds, candidates.seq.tolist(), strict=True
            )
            if kind == "conversation" and (session := self._sessions[name]) is not None
        }
        return sorted(found)

    def places(self, candidates: Candidates, places: dict[turns.Turn, int]) -> NDArray[np.int64]:
        """Each candidate's place in its session, -1 for none."""
        found = [
            places.get((self._sessions[name] or "", seq), -1) if kind == "conversation" else -1
            for name, kind, seq in zip(
                candidates.ids, candidates.kinds, candidates.seq.tolist(), strict=True
            )
        ]
        return np.array(found, dtype=np.int64)


def _bounded(request: SearchRequest) -> SearchRequest:
    if all(len(set(query.terms)) <= MAX_TERMS for query in request.queries):
        return request
    return replace(request, queries=tuple([_bounded_query(query) for query in request.queries]))


def _bounded_query(query: Query) -> Query:
    kept = set(list(dict.fromkeys(query.terms))[:MAX_TERMS])
    return replace(query, terms=tuple([term for term in query.terms if term in kept]))


def _searches(
    key: str,
    request: SearchRequest,
    vectors: Sequence[FloatArray | None],
    model: str | None,
    fields: Sequence[str],
    now: int,
) -> list[ScopedSearch]:
    """By words among turns and contexts, and by vector, for each query; pieces of messages."""
    passing = filters.of_request(request, now)
    wanted = min(request.limit + max(_SPARE, request.limit // 2), _WINDOW)
    shown = {"_source": list(fields), "track_total_hits": False}
    searches = []
    for query, vector in zip(request.queries, vectors, strict=True):
        counts: dict[str, int] = {}
        for term in query.terms:
            counts[term] = counts.get(term, 0) + 1
        for field in _FIELDS if counts else ():
            should = [
                {"term": {field: {"value": term, "boost": count}}} for term, count in counts.items()
            ]
            searches.append(
                ScopedSearch("nodes", key, passing, should, body={"size": wanted, **shown})
            )
        if vector is not None and model is not None:
            nearest = min(request.limit, _WINDOW)
            knn: dict[str, Any] = {
                "field": f"dense.{model}",
                "query_vector": vector.astype("float64").round(7).tolist(),
                "k": nearest,
                "num_candidates": min(max(2 * nearest, 100), _WINDOW),
            }
            if 2 * nearest <= _WINDOW:
                knn["rescore_vector"] = {"oversample": 2.0}
            searches.append(
                ScopedSearch("nodes", key, passing, knn=knn, body={"size": nearest, **shown})
            )
    names = list(dict.fromkeys(request.messages))
    for begin in range(0, len(names), _NAMED):
        named = {"terms": {"provenance": names[begin : begin + _NAMED]}}
        pieces = [*passing, {"term": {"kind": "conversation"}}, named]
        body = {"size": _WINDOW, "sort": ["_doc"], **shown}
        searches.append(ScopedSearch("nodes", key, pieces, body=body))
    return searches


def _statistics(
    key: str, requests: Sequence[SearchRequest], words: Sequence[str], now: int
) -> ScopedSearch:
    """How many nodes, how long, how many hold each word, and how many pass each request."""
    passing = {
        str(number): {"bool": {"filter": filters.of_request(request, now)}}
        for number, request in enumerate(requests)
    }
    groups: dict[str, Any] = {"population": {"filters": {"filters": passing}}}
    for field in _FIELDS:
        groups[f"{field}_length"] = {"sum": {"field": f"{field}_count"}}
        if words:
            holding = {str(n): {"term": {field: word}} for n, word in enumerate(words)}
            groups[field] = {"filters": {"filters": holding}}
    body = {"size": 0, "track_total_hits": True, "aggs": groups}
    return ScopedSearch("nodes", key, body=body)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
