"""What nodes rest on, and whether their ids are free: checked before they are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from memoryscope_rag.errors import DuplicateId, UnknownId
from memoryscope_rag.schema import MemoryNode
from memoryscope_rag.stores.elasticsearch.cluster import Cluster
from memoryscope_rag.stores.elasticsearch.documents import message_ref, node_ref


def check_free(nodes: Iterable[MemoryNode], present: Set[str]) -> None:
    """Raise DuplicateId when an id is among ``present`` or stands twice."""
    taken = set(present)
    for node in nodes:
        if node.id in taken:
            raise DuplicateId("node id", f"{node.id!r} is taken in this scope")
        taken.add(node.id)


async def check_sources(
    cluster: Cluster, key: str, nodes: Iterable[MemoryNode], known: Sequence[str] = ()
) -> None:
    """Raise UnknownId when a node other than an insight rests on a message that is not there.

    A fact whose message was forgotten while a model was still reading it must not come back.
    ``known`` are messages that need no look.
    """
    sources = {s for node in nodes if node.kind != "insight" for s in node.provenance}
    wanted = sorted(sources - set(known))
    found = await cluster.get([], [message_ref(key, name) for name in wanted])
    for name, held in zip(wanted, found, strict=True):
        if held is None:
            raise UnknownId("provenance", f"no message {name!r} in this scope")


async def check_insights(
    cluster: Cluster, key: str, nodes: Iterable[MemoryNode], known: Set[str] = frozenset()
) -> None:
    """Raise UnknownId when an open insight rests on a node that is not there.

    What was forgotten while a model was still thinking about it must not live on in a value.
    ``known`` are nodes that need no look.
    """
    sources = {
        source
        for node in nodes
        if node.kind == "insight" and node.valid_to is None
        for source in node.provenance
    }
    wanted = sorted(sources - known)
    found = await cluster.get([], [node_ref(key, name) for name in wanted])
    for name, held in zip(wanted, found, strict=True):
        if held is None:
            raise UnknownId("provenance", f"no node {name!r} in this scope")
