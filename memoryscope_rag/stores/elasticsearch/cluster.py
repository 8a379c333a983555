"""Requests to the cluster: read by id, write in bulk with an outcome for each item, search, scan.

Everything that belongs to a scope is read and written by a :class:`Ref`, which carries the scope's
routing, or searched by a :class:`ScopedSearch`, which puts its filter in: there is no other way to
it. :meth:`Cluster.scan` and :meth:`Cluster.count_by` go over all scopes, for administration.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson
from elastic_transport import ApiError, ApiResponseMeta
from elasticsearch import AsyncElasticsearch

Index = Literal["messages", "nodes", "history", "state"]
Query = Mapping[str, Any]

PAGE = 2000
"""Hits asked for at a time where there may be many."""
_GET_BATCH = 1000
_BULK_BYTES = 8_000_000
_BULK_TRIES = 6
_BUSY = frozenset({429, 503})
_KEEP_ALIVE = "2m"


@dataclass(frozen=True, slots=True)
class Ref:
    """Where a document lies: the index, its id there, and the scope that routes it to a shard."""

    index: Index
    id: str
    routing: str


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A document as it was read, with the numbers that a change of it must name."""

    ref: Ref
    source: dict[str, Any]
    seq_no: int
    term: int


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """One item of a bulk request; ``after`` makes it conditional on what was read."""

    op: Literal["create", "index", "delete"]
    ref: Ref
    source: Mapping[str, Any] | None = None
    after: Held | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a :class:`Write`: done, or the document was not as it should have been."""

    done: bool
    seq_no: int = -1
    term: int = -1


@dataclass(frozen=True, slots=True)
class ScopedSearch:
    """A search within one scope: ``filters`` besides its own, further parts of the body.

    ``should`` are clauses of which one must match; ``knn`` is a nearest-neighbour clause without
    its filter.
    """

    index: Index
    scope: str
    filters: Sequence[Query] = ()
    should: Sequence[Query] = ()
    knn: Mapping[str, Any] | None = None
    body: Mapping[str, Any] = field(default_factory=dict)

    def request(self) -> dict[str, Any]:
        """The body of the request."""
        filters = [{"term": {"scope": self.scope}}, *self.filters]
        if self.knn is not None:
            return {"query": {"knn": {**self.knn, "filter": filters}}, **self.body}
        query: dict[str, Any] = {"filter": filters}
        if self.should:
            query |= {"should": list(self.should), "minimum_should_match": 1}
        return {"query": {"bool": query}, **self.body}


class Cluster:
    """The client and the names of the indices' aliases, which are ``prefix``-messages and so on."""

    def __init__(self, client: AsyncElasticsearch, prefix: str) -> None:
        self.client = client
        self.prefix = prefix

    def alias(self, index: Index) -> str:
        """The alias that requests go to."""
        return f"{self.prefix}-{index}"

    # ------------------------------------------------------------ by id

    async def get(self, refs: Sequence[Ref], probes: Sequence[Ref] = ()) -> list[Held | None]:
        """The documents as they are now, refreshed or not; those at ``probes`` without fields."""
        wanted: list[tuple[Ref, object]] = [(ref, {"excludes": "dense"}) for ref in refs]
        wanted += [(ref, False) for ref in probes]
        found: list[Held | None] = []
        for begin in range(0, len(wanted), _GET_BATCH):
            part = wanted[begin : begin + _GET_BATCH]
            answer = await self.client.mget(
                docs=[
                    {
                        "_index": self.alias(ref.index),
                        "_id": ref.id,
                        "routing": ref.routing,
                        "_source": fields,
                    }
                    for ref, fields in part
                ]
            )
            for (ref, _), item in zip(part, answer.body["docs"], strict=True):
                if "error" in item:
                    raise _failure(answer.meta, int(item.get("status", 404)), item["error"])
                found.append(_held(ref, item) if item["found"] else None)
        return found

    async def bulk(self, writes: Sequence[Write], into: str | None = None) -> list[Outcome]:
        """Carry out ``writes``, in order where they meet; one outcome each.

        What is refused for a reason other than the document's state raises, after the rest of its
        request was carried out. ``into`` is an index to write to in place of the alias.
        """
        outcomes: list[Outcome | None] = [None] * len(writes)
        lines = [
            (at, *_lines(write, into or self.alias(write.ref.index)))
            for at, write in enumerate(writes)
        ]
        for part in _batches(lines):
            left = list(part)
            for attempt in range(_BULK_TRIES):
                if attempt:
                    await asyncio.sleep(random.uniform(0, 0.1 * 2**attempt))
                answer = await self.client.bulk(
                    operations=[line for _, *both in left for line in both],
                    require_alias=into is None,
                )
                again = []
                for item, entry in zip(answer.body["items"], left, strict=True):
                    (result,) = item.values()
                    if result["status"] in _BUSY and attempt + 1 < _BULK_TRIES:
                        again.append(entry)
                    else:
                        outcomes[entry[0]] = _outcome(answer.meta, result)
                left = again
                if not left:
                    break
        return [outcome for outcome in outcomes if outcome is not None]

    # ------------------------------------------------------------ search

    async def search(self, search: ScopedSearch) -> dict[str, Any]:
        """The answer to one search."""
        (answer,) = await self.searches([search])
        return answer

    async def searches(self, searches: Sequence[ScopedSearch]) -> list[dict[str, Any]]:
        """The answers to several searches, in one request."""
        if not searches:
            return []
        lines: list[dict[str, Any]] = []
        for search in searches:
            header = {"index": self.alias(search.index), "routing": search.scope}
            lines += [header | {"allow_partial_search_results": False}, search.request()]
        answer = await self.client.msearch(searches=lines)
        for item in answer.body["responses"]:
            if "error" in item:
                raise _failure(answer.meta, int(item["status"]), item["error"])
        return list(answer.body["responses"])

    async def hits(self, search: ScopedSearch, limit: int | None = None) -> list[dict[str, Any]]:
        """The hits of a search that sorts by something unique, all or the first ``limit``."""
        found: list[dict[str, Any]] = []
        after: Mapping[str, Any] = {}
        while limit is None or len(found) < limit:
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            options = {"size": size, "track_total_hits": False, **after}
            page = await self.search(replace(search, body={**search.body, **options}))
            found += page["hits"]["hits"]
            if len(page["hits"]["hits"]) < size:
                break
            after = {"search_after": found[-1]["sort"]}
        return found

    async def pages(self, searches: Sequence[ScopedSearch]) -> list[dict[str, Any]]:
        """Answers with all hits, of searches that sort by something unique; mostly one request."""
        options = {"size": PAGE, "track_total_hits": False}
        searches = [replace(search, body={**search.body, **options}) for search in searches]
        answers = await self.searches(searches)
        for search, answer in zip(searches, answers, strict=True):
            page = hits = answer["hits"]["hits"]
            while len(page) == PAGE:
                body = {**search.body, "search_after": page[-1]["sort"]}
                page = (await self.search(replace(search, body=body)))["hits"]["hits"]
                hits += page
        return answers

    async def refresh(self, index: Index) -> None:
        """Make all writes visible to searches."""
        await self.client.indices.refresh(index=self.alias(index))

    # ------------------------------------------------------------ all scopes

    async def scan(
        self, index: Index, query: Query, sort: Sequence[Any] = ("_shard_doc",), size: int = PAGE
    ) -> AsyncIterator[list[Held]]:
        """What matches in all scopes at one point in time, page by page."""
        opened = await self.client.open_point_in_time(
            index=self.alias(index), keep_alive=_KEEP_ALIVE
        )
        pit, after = opened.body["id"], None
        try:
            while True:
                answer = await self.client.search(
                    pit={"id": pit, "keep_alive": _KEEP_ALIVE},
                    query=query,
                    sort=list(sort),
                    size=size,
                    search_after=after,
                    seq_no_primary_term=True,
                    track_total_hits=False,
                    source={"excludes": "dense"},
                    allow_partial_search_results=False,
                )
                pit = answer.body["pit_id"]
                hits = answer.body["hits"]["hits"]
                if hits:
                    yield [_held(Ref(index, hit["_id"], hit["_routing"]), hit) for hit in hits]
                if len(hits) < size:
                    return
                after = hits[-1]["sort"]
        finally:
            await self.client.options(ignore_status=404).close_point_in_time(id=pit)

    async def count_by(self, index: Index, by: str, query: Query) -> dict[str, int]:
        """How many documents match for each value of the field ``by``, over all scopes."""
        counts: dict[str, int] = {}
        after: dict[str, Any] = {}
        while True:
            composite = {"size": PAGE, "sources": [{"by": {"terms": {"field": by}}}], **after}
            answer = await self.client.search(
                index=self.alias(index),
                query=query,
                size=0,
                aggs={"groups": {"composite": composite}},
                allow_partial_search_results=False,
            )
            groups = answer.body["aggregations"]["groups"]
            counts |= {item["key"]["by"]: item["doc_count"] for item in groups["buckets"]}
            if "after_key" not in groups:
                return counts
            after = {"after": groups["after_key"]}


def _held(ref: Ref, item: Mapping[str, Any]) -> Held:
    return Held(ref, item.get("_source", {}), item["_seq_no"], item["_primary_term"])


def _lines(write: Write, index: str) -> list[bytes]:
    ref = write.ref
    action: dict[str, Any] = {"_index": index, "_id": ref.id, "routing": ref.routing}
    if write.after is not None:
        action |= {"if_seq_no": write.after.seq_no, "if_primary_term": write.after.term}
    lines = [orjson.dumps({write.op: action})]
    return lines if write.source is None else [*lines, orjson.dumps(write.source)]


def _batches(entries: Iterable[tuple[Any, ...]]) -> list[list[tuple[Any, ...]]]:
    batches: list[list[tuple[Any, ...]]] = []
    size = _BULK_BYTES
    for entry in entries:
        length = sum(len(line) for line in entry[1:])
        if size + length > _BULK_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(entry)
        size += length
    return batches


def _outcome(meta: ApiResponseMeta, result: Mapping[str, Any]) -> Outcome:
    status = result["status"]
    if status in {404, 409} and result.get("error", {}).get("type") in {
        None,
        "version_conflict_engine_exception",
    }:
        return Outcome(False)
    if status >= 300:
        raise _failure(meta, status, result["error"])
    return Outcome(True, result["_seq_no"], result["_primary_term"])


def _failure(meta: ApiResponseMeta, status: int, error: Any) -> ApiError:
    return ApiError("an item failed", meta=replace(meta, status=status), body={"error": error})
