"""The state of a scope and of the store: sequence numbers, generation, embedding models.

A scope's document is changed only against the sequence number of what was read, so two writers
never get the same ``seq``. Its ``open`` lists the appends that have taken numbers and not finished:
after a crash it tells which messages may lack nodes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.ports import EmbedderSpec
from memoryscope_rag.schema import Scope
from memoryscope_rag.stores.elasticsearch.cluster import Cluster, Held, Ref, Write
from memoryscope_rag.stores.elasticsearch.documents import Source, scope_key, scope_ref

MODELS = Ref("state", "models", "store")
FLOORS = Ref("state", "floors", "store")
TRIES = 60
"""How often a change is tried again because another writer was first."""


@dataclass(frozen=True, slots=True)
class Models:
    """The model whose vectors searches use, and during re-embedding the one to come."""

    active: EmbedderSpec | None = None
    following: EmbedderSpec | None = None

    @property
    def known(self) -> tuple[EmbedderSpec, ...]:
        """Those that there are."""
        return tuple(spec for spec in (self.active, self.following) if spec is not None)

    @classmethod
    def read(cls, source: Source) -> Models:
        """From the store's document."""
        active, following = source.get("active"), source.get("next")
        return cls(
            None if active is None else EmbedderSpec(**active),
            None if following is None else EmbedderSpec(**following),
        )

    def source(self) -> Source:
        """The reverse of :meth:`read`."""
        active, following = self.active, self.following
        return {
            "active": None if active is None else asdict(active),
            "next": None if following is None else asdict(following),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """What is read before anything is done in a scope; ``held`` is ``None`` for an unknown one."""

    scope: Scope
    key: str
    held: Held | None
    floors: Source
    models: Models

    @property
    def state(self) -> Source:
        """The scope's document; of an unknown scope what it would begin with."""
        if self.held is not None:
            return self.held.source
        # a scope that was erased and comes back starts above whatever it had before
        return {
            "scope": self.key,
            "tenant": self.scope.tenant_id,
            "user": self.scope.user_id,
            "agent": self.scope.agent_id,
            "last_seq": self.floors.get("erased_seq", 0),
            "generation": self.floors.get("erased_generation", 0),
            "open": [],
        }

    @property
    def generation(self) -> int:
        """The number that every write raises."""
        return int(self.state["generation"])


async def read(
    cluster: Cluster,
    scope: Scope,
    refs: Sequence[Ref] = (),
    probes: Sequence[Ref] = (),
) -> tuple[Head, list[Held | None], list[Held | None]]:
    """The head of a scope, the documents at ``refs``, and without fields those at ``probes``."""
    key = scope_key(scope)
    held, floors, models, *found = await cluster.get(
        [scope_ref(key), FLOORS, MODELS, *refs], probes
    )
    head = Head(
        scope,
        key,
        held,
        floors.source if floors else {},
        Models.read(models.source if models else {}),
    )
    return head, found[: len(refs)], found[len(refs) :]


async def change(
    cluster: Cluster, head: Head, edit: Callable[[Source], None], *, now: int, mark: str = ""
) -> Head:
    """Change the scope's document by ``edit``, again on what another writer left if need be.

    ``now`` dates a new scope. An ``edit`` that leaves ``mark`` in ``open`` is carried out once even
    if an answer of the server was lost.

    Raises:
        StoreUnavailable: others were first too many times.
    """
    for attempt in range(TRIES):
        if attempt:
            await asyncio.sleep(random.uniform(0, 0.005 * min(attempt, 20)))
            head, _, _ = await read(cluster, head.scope)
            if mark and any(mark == name for *_, name in head.state["open"]):
                return head
        state: Source = {"since": now} | head.state
        state["open"] = list(state["open"])
        edit(state)
        write = Write("create" if head.held is None else "index", scope_ref(head.key), state)
        if (outcome := await put(cluster, write, head.held)) is not None:
            return Head(head.scope, head.key, outcome, head.floors, head.models)
    raise StoreUnavailable("the scope is written by too many at once; try again")


async def touch(cluster: Cluster, head: Head, now: int) -> Head:
    """Raise the scope's generation, which comes last in every write."""

    def edit(state: Source) -> None:
        state["generation"] += 1

    return await change(cluster, head, edit, now=now)


async def put(cluster: Cluster, write: Write, after: Held | None) -> Held | None:
    """Write one document against what was read; ``None`` when another writer was first."""
    (outcome,) = await cluster.bulk([Write(write.op, write.ref, write.source, after)])
    if not outcome.done:
        return None
    return Held(write.ref, dict(write.source or {}), outcome.seq_no, outcome.term)


async def change_store(
    cluster: Cluster, ref: Ref, edit: Callable[[Source], Source | None]
) -> Source:
    """Change one of the store's own documents; ``edit`` gives the new one, ``None`` to leave it."""
    for attempt in range(TRIES):
        if attempt:
            await asyncio.sleep(random.uniform(0, 0.005 * min(attempt, 20)))
        (held,) = await cluster.get([ref])
        new = edit(dict(held.source) if held else {})
        if new is None:
            return held.source if held else {}
        if await put(cluster, Write("index" if held else "create", ref, new), held) is not None:
            return new
    raise StoreUnavailable("the store is changed by too many at once; try again")


async def raise_floors(cluster: Cluster, seq: int, generation: int) -> None:
    """Remember how far an erased scope had come."""

    def edit(held: Source) -> Source:
        return {
            **held,
            "erased_seq": max(held.get("erased_seq", 0), seq),
            "erased_generation": max(held.get("erased_generation", 0), generation),
        }

    await change_store(cluster, FLOORS, edit)


def scopes_from(documents: Sequence[Any]) -> dict[str, Scope]:
    """Scopes by key, of the documents that were found."""
    return {
        held.source["scope"]: Scope(
            held.source["user"], held.source["agent"], held.source["tenant"]
        )
        for held in documents
        if held is not None
    }
