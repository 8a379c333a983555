"""Which embedding model made the store's vectors, giving nodes theirs, and changing the model."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping, Sequence

from memoryscope_rag.errors import EmbeddingMismatch, StoreError
from memoryscope_rag.ports import EmbedderSpec, FloatArray
from memoryscope_rag.schema import MemoryNode, Scope
from memoryscope_rag.stores import model_rows
from memoryscope_rag.stores.elasticsearch import heads, indices, writing
from memoryscope_rag.stores.elasticsearch.cluster import Cluster, Held, Query
from memoryscope_rag.stores.elasticsearch.documents import (
    Source,
    model_key,
    node_from,
    node_ref,
    scope_key,
    scope_ref,
    set_vectors,
)
from memoryscope_rag.stores.elasticsearch.heads import Models
from memoryscope_rag.stores.encoding import vector_from_blob

_OLDEST_FIRST = ("since", "scope", "seq", "id")


def model_of(cluster: Cluster, models: Models, spec: EmbedderSpec | None) -> EmbedderSpec | None:
    """The store's model that ``spec`` is; raises EmbeddingMismatch when it has gone over."""
    if spec is None:
        return None
    for known in models.known:
        if known.fingerprint == spec.fingerprint:
            return known
    raise mismatch(cluster, models, spec)


def key_of(cluster: Cluster, models: Models, spec: EmbedderSpec | None) -> str | None:
    """What stands in documents for :func:`model_of`."""
    known = model_of(cluster, models, spec)
    return None if known is None else model_key(known)


def mismatch(cluster: Cluster, models: Models, spec: EmbedderSpec) -> EmbeddingMismatch:
    """The error that names both models and the way out."""
    return model_rows.mismatch(f"Elasticsearch {cluster.prefix}-*", models.active, spec)


async def read_models(cluster: Cluster) -> Models:
    """The store's models as they are now."""
    (held,) = await cluster.get([heads.MODELS])
    return Models.read(held.source if held else {})


async def adopt(cluster: Cluster, spec: EmbedderSpec | None, *, reembedding: bool) -> None:
    """Take ``spec`` for a store that has no model; refuse it where it is another than the store's.

    Raises:
        EmbeddingMismatch: it is another, and ``reembedding`` does not say that it may be.
    """
    models = await read_models(cluster)
    if spec is None or reembedding:
        return
    if models.active is None:
        await indices.add_model(cluster, spec, active=True)

        def edit(held: Source) -> Source | None:
            now = Models.read(held)
            return None if now.active else Models(spec, now.following).source()

        models = Models.read(await heads.change_store(cluster, heads.MODELS, edit))
    if models.active is not None and models.active.fingerprint != spec.fingerprint:
        raise mismatch(cluster, models, spec)


async def begin(cluster: Cluster, spec: EmbedderSpec) -> None:
    """Make ``spec`` the next model; another one that was under way is dropped."""
    await indices.add_model(cluster, spec, active=False)

    def edit(held: Source) -> Source | None:
        models = Models.read(held)
        if models.following is not None and models.following.fingerprint == spec.fingerprint:
            return None
        if models.active is not None and models.active.fingerprint == spec.fingerprint:
            return Models(models.active).source()
        return Models(models.active, spec).source()

    await heads.change_store(cluster, heads.MODELS, edit)


async def finish(cluster: Cluster) -> None:
    """Make the next model the active one and drop the vectors of others.

    Raises:
        StoreError: a node lacks its vectors, or there is no model to finish with.
    """
    models = await read_models(cluster)
    target = models.following or models.active
    if target is None:
        raise StoreError("there is no model to finish with; begin_reembed comes first")
    await cluster.refresh("nodes")
    if missing := sum((await cluster.count_by("nodes", "scope", lacking(target))).values()):
        raise StoreError(f"{missing} nodes have no vector of {target.name} yet")
    if models.following is not None:
        await indices.add_model(cluster, target, active=True)

        def edit(held: Source) -> Source | None:
            now = Models.read(held)
            return Models(target).source() if now.following == target else None

        await heads.change_store(cluster, heads.MODELS, edit)
    await _drop_others(cluster, model_key(target))


def lacking(target: EmbedderSpec | None) -> Query:
    """Nodes that have not both vectors of ``target``."""
    if target is None:
        return {"match_all": {}}
    return {"bool": {"must_not": [{"term": {"embedded": model_key(target)}}]}}


async def missing(
    cluster: Cluster, spec: EmbedderSpec | None, limit: int
) -> tuple[tuple[Scope, MemoryNode], ...]:
    """Nodes that lack a vector of ``spec``, or else of the store's model-to-be."""
    models = await read_models(cluster)
    target = model_of(cluster, models, spec) or models.following or models.active
    await cluster.refresh("nodes")
    found: list[Held] = []
    sizes = min(limit, 1000)
    pages: AsyncIterator[list[Held]] = cluster.scan("nodes", lacking(target), _OLDEST_FIRST, sizes)
    async for page in pages:
        found += page
        if len(found) >= limit:
            break
    await pages.aclose()  # type: ignore[attr-defined]
    del found[limit:]
    keys = list(dict.fromkeys(held.source["scope"] for held in found))
    scopes = heads.scopes_from(await cluster.get([scope_ref(key) for key in keys]))
    return tuple(
        [
            (scopes[held.source["scope"]], node_from(held.source))
            for held in found
            if held.source["scope"] in scopes
        ]
    )


async def put(
    cluster: Cluster,
    scope: Scope,
    spec: EmbedderSpec,
    vectors: Mapping[str, tuple[str, str]],
    now: int,
) -> int:
    """Store vectors (base64) of nodes that are still there; returns how many were."""
    key = scope_key(scope)
    head, found, _ = await heads.read(cluster, scope, [node_ref(key, name) for name in vectors])
    model = key_of(cluster, head.models, spec)
    assert model is not None  # key_of raised for a spec that is not recorded

    def edit(source: Source) -> Source:
        turn, context = vectors[source["id"]]
        return set_vectors(source, source["vectors"] | {model: {"turn": turn, "context": context}})

    done = await writing.change_all(cluster, found, edit)
    if done:
        await heads.touch(cluster, head, now)
    return done


async def read_vectors(
    cluster: Cluster, scope: Scope, ids: Sequence[str]
) -> dict[str, tuple[FloatArray | None, FloatArray | None]]:
    """The active model's vectors of nodes that have any."""
    key = scope_key(scope)
    names = list(dict.fromkeys(ids))
    head, found, _ = await heads.read(cluster, scope, [node_ref(key, name) for name in names])
    result: dict[str, tuple[FloatArray | None, FloatArray | None]] = {}
    if (active := head.models.active) is None:
        return result
    for held in found:
        pair = None if held is None else held.source["vectors"].get(model_key(active))
        if held is not None and pair:
            result[held.source["id"]] = (
                _decoded(pair.get("turn"), active),
                _decoded(pair.get("context"), active),
            )
    return result


def _decoded(text: str | None, spec: EmbedderSpec) -> FloatArray | None:
    blob = None if text is None else base64.b64decode(text)
    return vector_from_blob(blob, spec.dimension)


async def _drop_others(cluster: Cluster, keep: str) -> None:
    # keywords sort: whatever comes before or after the one to keep is another
    others = [{"range": {"models": {side: keep}}} for side in ("lt", "gt")]
    query = {"bool": {"should": others, "minimum_should_match": 1}}

    def edit(source: Source) -> Source:
        kept = {name: pair for name, pair in source["vectors"].items() if name == keep}
        return set_vectors(source, kept)

    await cluster.refresh("nodes")
    async for page in cluster.scan("nodes", query, size=500):
        await writing.change_all(cluster, page, edit)
