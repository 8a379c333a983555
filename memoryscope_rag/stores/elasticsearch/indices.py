"""The store's indices: mappings, templates, aliases, and how a schema becomes the next one.

Each index carries its schema in ``_meta`` and a version in its name; requests go to an alias. A
migration makes the next index beside the old one, copies by point in time and bulk, and switches
the alias in one step. Mappings are strict: a field that is not declared is refused, not guessed.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from elasticsearch import AsyncElasticsearch, BadRequestError, NotFoundError

from memoryscope_rag.configs.model import ElasticsearchConfig
from memoryscope_rag.errors import SchemaTooNew, StoreCorrupt, StoreUnavailable
from memoryscope_rag.ports import EmbedderSpec
from memoryscope_rag.stores.elasticsearch.cluster import Cluster, Index, Write
from memoryscope_rag.stores.elasticsearch.documents import Source, complete, model_key
from memoryscope_rag.stores.postings import K1, B

_EXISTS = "resource_already_exists_exception"
INDICES: tuple[Index, ...] = ("state", "history", "nodes", "messages")

_KEY = {"type": "keyword"}
_NUMBER = {"type": "long"}
_FLAG = {"type": "boolean"}
_KEPT = {"type": "keyword", "index": False, "doc_values": False}
_TEXT = {"type": "text", "index": False}
_DATA = {"type": "object", "enabled": False}
_TOKENS = {"type": "text", "analyzer": "whitespace", "index_options": "freqs"}

_FIELDS: Mapping[Index, Mapping[str, Any]] = {
    "messages": {
        "scope": _KEY, "seq": _NUMBER, "id": _KEY, "session": _KEY, "role": _KEY, "speaker": _KEY,
        "created_at": _NUMBER, "created_offset": _NUMBER, "state": _KEY, "state_reason": _TEXT,
        "attempts": _NUMBER, "metadata": _KEPT, "content": _TEXT,
    },
    "nodes": {
        "scope": _KEY, "since": _NUMBER, "id": _KEY, "kind": _KEY, "version": _NUMBER,
        "seq": _NUMBER, "session": _KEY, "speaker": _KEY, "question": _FLAG, "length": _NUMBER,
        "said_at": _NUMBER, "event_start": _NUMBER, "event_end": _NUMBER, "valid_from": _NUMBER,
        "valid_to": _NUMBER, "superseded_by": _KEY, "provenance": _KEY, "sources": _KEY,
        "reflected": _FLAG, "rest": _KEPT, "content": _TEXT, "terms": _TOKENS,
        "terms_count": _NUMBER, "context": _TOKENS, "context_count": _NUMBER, "models": _KEY,
        "embedded": _KEY, "vectors": _DATA, "dense": {"type": "object", "dynamic": "strict"},
    },
    "history": {
        "scope": _KEY, "node": _KEY, "version": _NUMBER, "superseded_by": _KEY, "body": _TEXT,
    },
    "state": {
        "scope": _KEY, "tenant": _KEY, "user": _KEY, "agent": _KEY, "since": _NUMBER,
        "last_seq": _NUMBER, "generation": _NUMBER, "open": _DATA, "name": _KEY, "owner": _KEY,
        "token": _NUMBER, "expires_at": _NUMBER, "active": _DATA, "next": _DATA,
        "erased_seq": _NUMBER, "erased_generation": _NUMBER,
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Migration:
    """One change of the schema: ``transform`` makes the new document of an index from the old."""

    name: str
    transform: Mapping[Index, Callable[[Source], Source]]


MIGRATIONS: tuple[Migration, ...] = (Migration("m001_indices", {}),)
"""Only ever appended to. How many ran is the schema that an index's ``_meta`` names."""


async def prepare(
    cluster: Cluster,
    config: ElasticsearchConfig,
    migrations: Sequence[Migration] = MIGRATIONS,
) -> None:
    """Make what is missing and bring what is old to the present schema.

    Raises:
        SchemaTooNew: a later version of this package wrote it.
        StoreCorrupt: an index of that name is none of ours, or one of a store in use is gone.
        StoreUnavailable: another process is bringing it to the present schema.
    """
    await _check_whole(cluster)
    old = []
    for index in INDICES:
        held = await _versions(cluster.client, cluster.alias(index))
        if not held:
            await _create(cluster, config, index, 1, len(migrations), {})
            held = await _versions(cluster.client, cluster.alias(index))
        (name, mappings), *others = held.items()
        schema = mappings.get("_meta", {}).get("memoryscope_schema")
        if others or not isinstance(schema, int):
            raise StoreCorrupt(f"{cluster.alias(index)} is no index of this package")
        if schema > len(migrations):
            raise SchemaTooNew(
                f"{name} was written by a later version of memoryscope-rag (schema {schema}, "
                f"newest known {len(migrations)}); upgrade the package"
            )
        if schema < len(migrations):
            old.append((index, name, mappings, schema))
    if old:
        async with _alone(cluster):
            for index, name, mappings, schema in old:
                steps = migrations[schema:]
                await _migrate(cluster, config, index, name, mappings, steps, len(migrations))


async def _check_whole(cluster: Cluster) -> None:
    """Refuse to make an index anew while the others hold documents, which would hang in the air."""
    missing = await _missing(cluster)
    if not missing:
        return
    documents = 0
    for index in INDICES:
        if index not in missing:
            await cluster.refresh(index)
            documents += (await cluster.client.count(index=cluster.alias(index))).body["count"]
    # asked once more: another process may just have made the store
    if documents and (missing := await _missing(cluster)):
        names = ", ".join(cluster.alias(index) for index in missing)
        raise StoreCorrupt(
            f"{names} is missing while other indices of the store hold documents; it was deleted: "
            "restore a snapshot of all of them, or choose another prefix"
        )


async def _missing(cluster: Cluster) -> list[Index]:
    return [index for index in INDICES if not await _versions(cluster.client, cluster.alias(index))]


async def add_model(cluster: Cluster, spec: EmbedderSpec, *, active: bool) -> None:
    """Give the nodes a vector field for ``spec``, and name an ``active`` one in ``_meta``."""
    field = {
        "type": "dense_vector",
        "dims": spec.dimension,
        "index": True,
        "similarity": "dot_product",
        "index_options": {"type": "int8_hnsw"},
    }
    alias = cluster.alias("nodes")
    properties = {"dense": {"properties": {model_key(spec): field}}}
    options: dict[str, Any] = {}
    if active:
        (mappings,) = (await _versions(cluster.client, alias)).values()
        options["meta"] = mappings["_meta"] | {"embedder": asdict(spec)}
    await cluster.client.indices.put_mapping(index=alias, properties=properties, **options)


async def remove(client: AsyncElasticsearch, prefix: str) -> None:
    """Delete every index and template whose name begins with ``prefix`` and a hyphen."""
    pattern = f"{prefix}-*"
    # by their names, for a cluster may refuse to delete by a pattern
    held = await client.indices.get(index=pattern, expand_wildcards="all")
    if held.body:
        await client.indices.delete(index=list(held.body))
    found = await client.options(ignore_status=404).indices.get_index_template(name=pattern)
    for template in found.body.get("index_templates", ()):
        await client.indices.delete_index_template(name=template["name"])


async def _versions(client: AsyncElasticsearch, alias: str) -> dict[str, Any]:
    """The mappings of the indices behind an alias, by name."""
    try:
        answer = await client.indices.get_mapping(index=alias)
    except NotFoundError:
        return {}
    return {name: item["mappings"] for name, item in answer.body.items()}


async def _create(
    cluster: Cluster,
    config: ElasticsearchConfig,
    index: Index,
    version: int,
    schema: int,
    dense: Mapping[str, Any],
    *,
    hidden: bool = False,
) -> str:
    """Make an index, behind the alias unless ``hidden``; another process may be first."""
    alias = cluster.alias(index)
    name = f"{alias}-v{version:04}"
    fields = {**_FIELDS[index]}
    mappings: dict[str, Any] = {
        "dynamic": "strict",
        "_meta": {"memoryscope_schema": schema},
        "_routing": {"required": True},
        "properties": fields,
    }
    if index == "nodes":
        mappings["_source"] = {"excludes": ["dense"]}
        fields["dense"] = {**fields["dense"], "properties": dense}
    settings = {
        "number_of_shards": 1 if index == "state" else config.shards,
        "number_of_replicas": config.replicas,
        "refresh_interval": "1s",
        # what was forgotten leaves a segment whatever its share of it
        "merge.policy.expunge_deletes_allowed": 0,
        "similarity": {"default": {"type": "BM25", "k1": K1, "b": B}},
    }
    await cluster.client.indices.put_index_template(
        name=alias,
        index_patterns=[f"{alias}-v*"],
        template={"settings": settings, "mappings": mappings},
        priority=500,
    )
    try:
        await cluster.client.indices.create(index=name, aliases={} if hidden else {alias: {}})
    except BadRequestError as error:
        if error.error != _EXISTS:
            raise
    return name


@contextlib.asynccontextmanager
async def _alone(cluster: Cluster) -> AsyncIterator[None]:
    """Let one process migrate at a time; an index that only one can make says which."""
    name = f"{cluster.prefix}-migrating"
    settings = {"number_of_shards": 1, "number_of_replicas": 0}
    try:
        await cluster.client.indices.create(index=name, settings=settings)
    except BadRequestError as error:
        if error.error != _EXISTS:
            raise
        raise StoreUnavailable(
            f"another process is migrating the store; if none is, one was interrupted: delete the "
            f"index {name} and open the store again"
        ) from None
    yield
    await cluster.client.indices.delete(index=name)


async def _migrate(
    cluster: Cluster,
    config: ElasticsearchConfig,
    index: Index,
    old: str,
    mappings: Mapping[str, Any],
    steps: Sequence[Migration],
    schema: int,
) -> None:
    client, alias = cluster.client, cluster.alias(index)
    # nothing may be written that the copy would miss
    await client.indices.put_settings(index=old, settings={"index.blocks.write": True})
    await client.indices.refresh(index=old)
    version = int(old.rpartition("-v")[2]) + 1
    new = f"{alias}-v{version:04}"
    # what an interrupted migration left
    await client.options(ignore_status=404).indices.delete(index=new)
    dense = mappings["properties"].get("dense", {}).get("properties", {})
    await _create(cluster, config, index, version, schema, dense, hidden=True)
    transforms = [step.transform[index] for step in steps if index in step.transform]
    async for page in cluster.scan(index, {"match_all": {}}, size=500):
        writes = []
        for held in page:
            source = held.source
            for transform in transforms:
                source = transform(source)
            sent = complete(source) if index == "nodes" else source
            writes.append(Write("index", held.ref, sent))
        await cluster.bulk(writes, into=new)
    await client.indices.refresh(index=new)
    if embedder := mappings["_meta"].get("embedder"):
        meta = {"memoryscope_schema": schema, "embedder": embedder}
        await client.indices.put_mapping(index=new, meta=meta)
    await client.indices.update_aliases(
        actions=[{"add": {"index": new, "alias": alias}}, {"remove_index": {"index": old}}]
    )
