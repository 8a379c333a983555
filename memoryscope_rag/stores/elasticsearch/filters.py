"""Which nodes a request is about, as clauses of a query."""

from __future__ import annotations

from datetime import datetime

from memoryscope_rag.ports import SearchRequest
from memoryscope_rag.stores.columns import OPEN_END, OPEN_START
from memoryscope_rag.stores.elasticsearch.cluster import Query
from memoryscope_rag.stores.rows import micros


def validity(as_of: datetime | None, now: int) -> Query:
    """What was believed at ``as_of``, or is not closed by ``now`` in microseconds."""
    at = now if as_of is None else micros(as_of)
    ended = {"bool": {"must_not": [{"range": {"valid_to": {"lte": at}}}]}}
    if as_of is None:
        return ended
    return {"bool": {"filter": [{"range": {"valid_from": {"lte": at}}}, ended]}}


def of_request(request: SearchRequest, now: int) -> list[Query]:
    """The nodes that a search may return."""
    filters: list[Query] = [
        {"terms": {"kind": sorted(request.kinds)}},
        validity(request.as_of, now),
    ]
    if request.session_id is not None:
        filters.append({"term": {"session": request.session_id}})
    if request.during is not None:
        start, end = request.during.start, request.during.end
        low = OPEN_START if start is None else micros(start)
        high = OPEN_END if end is None else micros(end)
        said = {"range": {"said_at": {"gte": low, "lt": high}}}
        began = {"range": {"event_start": {"lt": high}}}
        ended = {"range": {"event_end": {"gt": low}}}
        happened = {"bool": {"filter": [began, ended]}}
        filters.append({"bool": {"should": [said, happened], "minimum_should_match": 1}})
    return filters
