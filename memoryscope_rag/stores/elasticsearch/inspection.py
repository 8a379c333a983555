"""Counting what a store holds and checking that it hangs together (fsck)."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from typing import Any

from memoryscope_rag.ports import EmbedderSpec, StoreStats
from memoryscope_rag.schema import KINDS, Scope
from memoryscope_rag.stores.elasticsearch import embedding, heads, indices
from memoryscope_rag.stores.elasticsearch.cluster import Cluster, Held, Index, Query, Ref
from memoryscope_rag.stores.elasticsearch.documents import (
    message_ref,
    model_key,
    scope_key,
    scope_ref,
    version_ref,
)

_BATCH = 500


async def filled_scopes(cluster: Cluster) -> tuple[Scope, ...]:
    """Scopes that hold a message or a node, oldest first."""
    filled: dict[str, int] = {}
    for index in ("messages", "nodes"):
        await cluster.refresh(index)
        filled |= await cluster.count_by(index, "scope", {"match_all": {}})
    found = await cluster.get([scope_ref(key) for key in filled])
    held = [doc for doc in found if doc is not None]
    held.sort(key=lambda doc: (doc.source["since"], doc.ref.id))
    return tuple(heads.scopes_from(held).values())


async def stats(cluster: Cluster, scope: Scope | None) -> StoreStats:
    """Counts of one scope or of all; ``generation`` of the whole store is the sum."""
    chosen: Query = {"match_all": {}}
    if scope is not None:
        chosen = {"term": {"scope": scope_key(scope)}}
    models = await embedding.read_models(cluster)
    for index in ("state", "messages", "nodes"):
        await cluster.refresh(index)
    states = await _counts(cluster, "messages", "state", chosen)
    kinds = await _counts(cluster, "nodes", "kind", chosen)
    lacking = embedding.lacking(models.following or models.active)
    missing = await _counts(cluster, "nodes", "kind", {"bool": {"filter": [chosen, lacking]}})
    if scope is None:
        count = len(await filled_scopes(cluster))
        generation = await _generations(cluster)
    else:
        head, _, _ = await heads.read(cluster, scope)
        count = 1 if states or kinds else 0
        generation = head.generation
    greeting = await cluster.client.info()
    detail = {"engine": "elasticsearch", "elasticsearch": str(greeting.body["version"]["number"])}
    if models.following is not None:
        detail["reembedding"] = models.following.name
    return StoreStats(
        scopes=count,
        messages=sum(states.values()),
        pending=states["pending"],
        nodes={kind: kinds[kind] for kind in KINDS},
        missing_vectors=sum(missing.values()),
        generation=generation,
        bytes=await _size(cluster),
        embedder=models.active,
        detail=detail,
    )


async def check(cluster: Cluster) -> tuple[str, ...]:
    """What is wrong, a sentence each. Reads all documents."""
    models = await embedding.read_models(cluster)
    problems: Counter[str] = Counter()
    everything: Query = {"match_all": {}}
    for index in ("messages", "nodes"):
        await cluster.refresh(index)
    async for page in cluster.scan("messages", everything, size=_BATCH):
        await _check_messages(cluster, page, problems)
    async for page in cluster.scan("nodes", everything, size=_BATCH):
        await _check_nodes(cluster, page, models.known, problems)
    return tuple([f"{count} {what}" for what, count in problems.items() if count])


async def _check_messages(cluster: Cluster, page: Sequence[Held], problems: Counter[str]) -> None:
    scopes = await _by_scope(cluster, page)
    for held in page:
        state = scopes[held.source["scope"]]
        _note(problems, "documents belong to no scope", state is None)
        if state is not None:
            seq, source = held.source["seq"], state.source
            past = seq > source["last_seq"]
            _note(problems, "messages are past their scope's last seq", past)
            open_ = any(first <= seq <= last for first, last, _ in source["open"])
            _note(
                problems,
                "messages are of an append that did not finish; append them again",
                open_,
            )


async def _check_nodes(
    cluster: Cluster,
    page: Sequence[Held],
    models: Sequence[EmbedderSpec],
    problems: Counter[str],
) -> None:
    scopes = await _by_scope(cluster, page)
    resting = [
        (held.source, message_ref(held.source["scope"], name))
        for held in page
        if held.source["kind"] != "insight"
        for name in held.source["sources"]
    ]
    older = [
        version_ref(held.source["scope"], held.source["id"], number)
        for held in page
        for number in range(1, held.source["version"])
    ]
    missing = await _missing(cluster, [ref for _, ref in resting])
    problems["sources of nodes are messages that are not there"] += missing
    problems["nodes lack a version in their history"] += await _missing(cluster, older)
    sizes = {model_key(spec): 2 * spec.dimension for spec in models}
    for held in page:
        source = held.source
        _note(problems, "documents belong to no scope", scopes[source["scope"]] is None)
        for model, pair in source["vectors"].items():
            wrong = any(len(base64.b64decode(text)) != sizes.get(model) for text in pair.values())
            _note(
                problems, "vectors have another length than their model's", model in sizes and wrong
            )
        told = [model for model, pair in source["vectors"].items() if len(pair) == 2]
        _note(
            problems,
            "nodes tell of other vectors than they have",
            sorted(told) != source["embedded"],
        )


async def _by_scope(cluster: Cluster, page: Sequence[Held]) -> dict[str, Held | None]:
    keys = list(dict.fromkeys(held.source["scope"] for held in page))
    found = await cluster.get([scope_ref(key) for key in keys])
    return dict(zip(keys, found, strict=True))


async def _missing(cluster: Cluster, refs: Sequence[Ref]) -> int:
    different = list(dict.fromkeys(refs))
    return sum(held is None for held in await cluster.get([], different))


def _note(problems: Counter[str], what: str, wrong: bool) -> None:
    problems[what] += wrong


async def _counts(cluster: Cluster, index: Index, by: str, query: Query) -> Counter[str]:
    return Counter(await cluster.count_by(index, by, query))


async def _generations(cluster: Cluster) -> int:
    answer = await cluster.client.search(
        index=cluster.alias("state"), size=0, aggs={"sum": {"sum": {"field": "generation"}}}
    )
    return int(answer.body["aggregations"]["sum"]["value"])


async def _size(cluster: Cluster) -> int:
    names = ",".join(cluster.alias(index) for index in indices.INDICES)
    answer = await cluster.client.indices.stats(index=names, metric="store")
    totals: Any = answer.body["_all"]["total"]
    return int(totals["store"]["size_in_bytes"])
