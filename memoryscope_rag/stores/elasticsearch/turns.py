"""Which turns stand next to which in their sessions, found without reading the sessions.

Sequence numbers count up over a scope, so the turns around number ``s`` of a session mostly are
the numbers around ``s``. Those are asked for first; only where other sessions came in between, so
that too few were of this one, the nearest on that side are searched for.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memoryscope_rag.stores.elasticsearch.cluster import Cluster, Index, Query, ScopedSearch

Turn = tuple[str, int]
"""A session and the ``seq`` of one of its turns."""

_CLAUSES = 500
"""Sessions asked about in one search; a cluster allows about twice as many clauses."""
APART = 8
"""How far places differ at least when turns between them are not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """Runs of turns, each with nothing of its session in between, and the hits that they hold."""

    hits: list[dict[str, Any]]
    runs: Mapping[Turn, list[int]]

    def before(self, session: str, seq: int, count: int) -> list[int]:
        """At most ``count`` numbers of the turns right before one that was asked for."""
        run = self.runs[session, seq]
        return run[: run.index(seq)][-count:] if count else []

    def after(self, session: str, seq: int, count: int) -> list[int]:
        """The same for those right after it."""
        run = self.runs[session, seq]
        return run[run.index(seq) + 1 :][:count]

    def places(self) -> dict[Turn, int]:
        """A place for every turn: neighbours differ by one, others by their distance or more."""
        follows: dict[str, set[tuple[int, int]]] = defaultdict(set)
        members: dict[str, set[int]] = defaultdict(set)
        for (session, _), run in self.runs.items():
            members[session].update(run)
            follows[session].update(itertools.pairwise(run))
        places: dict[Turn, int] = {}
        for session, numbers in members.items():
            place, last = 0, None
            for seq in sorted(numbers):
                if last is not None:
                    place += 1 if (last, seq) in follows[session] else APART
                places[session, seq] = place
                last = seq
        return places


async def around(
    cluster: Cluster,
    index: Index,
    scope: str,
    asked: Sequence[Turn],
    before: int,
    after: int,
    *,
    ring: int = 0,
    fields: Sequence[str] | bool = True,
    known: Sequence[str] = (),
) -> Neighbourhood:
    """The turns around each one that is ``asked`` for, with their documents of ``index``.

    The documents of ``known`` ids are left out. Of further turns, ``ring`` on each side, only the
    order is found.
    """
    if not asked:
        return Neighbourhood([], {})
    reach = (before + ring, after + ring)
    ordered, documents = _windows(asked, *reach), _windows(asked, before, after)
    searches = [_order(index, scope, part) for part in _parts(ordered)]
    searches += [_documents(index, scope, part, fields, known) for part in _parts(documents)]
    answers = await cluster.pages(searches)
    count = len(_parts(ordered))
    hits = [hit for answer in answers[count:] for hit in answer["hits"]["hits"]]
    seen: dict[str, set[int]] = defaultdict(set)
    ends: dict[str, tuple[float, float]] = {}
    for answer in answers[:count]:
        for hit in answer["hits"]["hits"]:
            seen[hit["fields"]["session"][0]].add(hit["fields"]["seq"][0])
        for item in answer["aggregations"]["sessions"]["buckets"]:
            ends[item["key"]] = (item["first"]["value"], item["last"]["value"])
    runs, lacking = _runs(asked, *reach, seen, ends)
    sides = await cluster.searches([_side(index, scope, side) for side in lacking])
    for side, answer in zip(lacking, sides, strict=True):
        found = [hit["sort"][0] for hit in answer["hits"]["hits"]]
        runs[side.session, side.seq] = sorted([*runs[side.session, side.seq], *found])
    # a neighbour may lie outside the window, where turns of other sessions or none are in between
    further: dict[str, set[int]] = defaultdict(set)
    for (session, seq), run in runs.items():
        at = run.index(seq)
        wanted = set(run[max(at - before, 0) : at + after + 1])
        further[session].update(wanted - documents[session])
    rest = [_documents(index, scope, part, fields, known) for part in _parts(further)]
    hits += [hit for answer in await cluster.pages(rest) for hit in answer["hits"]["hits"]]
    return Neighbourhood(hits, runs)


@dataclass(frozen=True, slots=True)
class _Side:
    """Where ``missing`` turns of a session are still to be found: beyond ``bound``."""

    session: str
    seq: int
    missing: int
    earlier: bool
    bound: int


def _windows(asked: Sequence[Turn], before: int, after: int) -> dict[str, set[int]]:
    windows: dict[str, set[int]] = defaultdict(set)
    for session, seq in asked:
        windows[session].update(range(seq - before, seq + after + 1))
    return windows


def _runs(
    asked: Sequence[Turn],
    before: int,
    after: int,
    seen: Mapping[str, set[int]],
    ends: Mapping[str, tuple[float, float]],
) -> tuple[dict[Turn, list[int]], list[_Side]]:
    """The turns that the windows hold, and the sides on which a session has more of them."""
    runs: dict[Turn, list[int]] = {}
    lacking = []
    for session, seq in asked:
        near = seen[session] | {seq} if session in seen else {seq}
        earlier = sorted(n for n in near if seq - before <= n < seq)
        later = sorted(n for n in near if seq < n <= seq + after)
        runs[session, seq] = [*earlier, seq, *later]
        first, last = ends.get(session, (seq, seq))
        if len(earlier) < before and first < seq - before:
            lacking.append(_Side(session, seq, before - len(earlier), True, seq - before))
        if len(later) < after and last > seq + after:
            lacking.append(_Side(session, seq, after - len(later), False, seq + after))
    return runs, lacking


def _order(index: Index, scope: str, windows: Mapping[str, set[int]]) -> ScopedSearch:
    """Which numbers in the windows are turns of the session, and the session's first and last."""
    extent = {"first": {"min": {"field": "seq"}}, "last": {"max": {"field": "seq"}}}
    sessions: Query = {"terms": {"field": "session", "size": len(windows)}, "aggs": extent}
    chosen: Query = {"terms": {"session": sorted(windows)}}
    # a post filter is prepared for every segment: where the scope is not, only its first clause is
    within: Query = {"bool": {"should": _clauses(windows)}}
    body = {
        "sort": ["seq", "id"],
        # not even ``_id``, for which the stored fields of every hit would be unpacked
        "stored_fields": "_none_",
        "docvalue_fields": ["session", "seq"],
        "post_filter": {"bool": {"filter": [{"term": {"scope": scope}}, within]}},
        "aggs": {"sessions": sessions},
    }
    return ScopedSearch(index, scope, [chosen, *_turns_of(index)], body=body)


def _documents(
    index: Index,
    scope: str,
    windows: Mapping[str, set[int]],
    fields: Sequence[str] | bool,
    known: Sequence[str],
) -> ScopedSearch:
    filters = _turns_of(index)
    if known:
        filters.append({"bool": {"must_not": [{"terms": {"id": list(known)}}]}})
    source = {"includes": fields} if isinstance(fields, Sequence) else fields
    body = {"sort": ["seq", "id"], "_source": source}
    return ScopedSearch(index, scope, filters, should=_clauses(windows), body=body)


def _side(index: Index, scope: str, side: _Side) -> ScopedSearch:
    beyond = {"lt" if side.earlier else "gt": side.bound}
    filters: list[Query] = [{"term": {"session": side.session}}, {"range": {"seq": beyond}}]
    body = {
        "size": side.missing,
        "sort": [{"seq": "desc" if side.earlier else "asc"}],
        "collapse": {"field": "seq"},
        "_source": False,
        "track_total_hits": False,
    }
    return ScopedSearch(index, scope, [*filters, *_turns_of(index)], body=body)


def _clauses(windows: Mapping[str, set[int]]) -> list[Query]:
    return [
        {"bool": {"filter": [{"term": {"session": session}}, {"terms": {"seq": sorted(numbers)}}]}}
        for session, numbers in windows.items()
    ]


def _turns_of(index: Index) -> list[Query]:
    return [{"term": {"kind": "conversation"}}] if index == "nodes" else []


def _parts(windows: Mapping[str, set[int]]) -> list[dict[str, set[int]]]:
    filled = [(session, numbers) for session, numbers in windows.items() if numbers]
    return [dict(filled[at : at + _CLAUSES]) for at in range(0, len(filled), _CLAUSES)]
