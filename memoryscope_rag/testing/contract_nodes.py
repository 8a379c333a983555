"""The store contract: nodes, their versions, validity, and lists of them page by page."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from random import Random

import numpy as np
import pytest

from memoryscope_rag.errors import DuplicateId, StoreError, StoreUnavailable, UnknownId
from memoryscope_rag.ports import MemoryStore, NodeFilter
from memoryscope_rag.schema import Event, Grain, Interval, MemoryNode, Recurrence, utc_now
from memoryscope_rag.testing.contract_base import ContractBase
from memoryscope_rag.testing.samples import (
    ALICE,
    BOB,
    START,
    entry,
    fact,
    indexed,
    message,
    random_fact,
)

FULL = MemoryNode(
    id="full",
    kind="note",
    content="Ann's birthday\0 🎂",
    said_at=START,
    provenance=("m2", "m1"),
    session_id="s1",
    speaker="Ann",
    role="user",
    seq=17,
    span=(2, 9),
    event=Event(
        Interval(START, START + timedelta(days=1)), Grain.DAY, Recurrence("year", month=5, day=7)
    ),
    valid_from=START - timedelta(days=3),
    valid_to=utc_now() + timedelta(days=3000),
    superseded_by="later",
    metadata={"x": 1.5, "y": None, "z": "ü"},
)


async def every_page(store: MemoryStore, where: NodeFilter, limit: int) -> list[str]:
    """Ids of all pages of Alice's nodes."""
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.list_nodes(ALICE, where, cursor=cursor, limit=limit)
        assert len(page.items) <= limit
        ids += [node.id for node in page.items]
        cursor = page.cursor
        if cursor is None:
            return ids


class NodeContract(ContractBase):
    """Everything about nodes but searching them."""

    def test_every_field_comes_back(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.append(ALICE, [entry(message("m1")), entry(message("m2"))])
                plain = fact("plain")
                open_event = fact("open").with_(event=Event(Interval(START, None)))
                await store.add_nodes(ALICE, [indexed(n) for n in (FULL, plain, open_event)])
                read = await store.nodes(ALICE, ["open", "nothing", "full", "plain"])
                assert read == (open_event, FULL, plain)

        self.run(check())

    def test_add_is_all_or_none(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.add_nodes(ALICE, [indexed(fact("a"))])
                for clash in (["b", "a"], ["b", "b"]):
                    with pytest.raises(DuplicateId):
                        await store.add_nodes(ALICE, [indexed(fact(name)) for name in clash])
                assert await store.nodes(ALICE, ["b"]) == ()
                await store.add_nodes(BOB, [indexed(fact("a"))])
                with pytest.raises(UnknownId, match="provenance"):
                    await store.add_nodes(ALICE, [indexed(fact("c", sources=["forgotten"]))])
                await store.add_nodes(
                    ALICE, [indexed(fact("i", kind="insight", sources=["an observation"]))]
                )

        self.run(check())

    def test_update_keeps_history(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                first = fact("a", "lives in Paris")
                await store.add_nodes(ALICE, [indexed(first, Random(1))])
                second = await store.update_node(
                    ALICE, indexed(first.with_(content="lives in Rome")), version=1
                )
                assert (second.version, second.content) == (2, "lives in Rome")
                closed = second.with_(valid_to=START + timedelta(days=9), superseded_by="b")
                third = await store.update_node(ALICE, indexed(closed), version=2)
                assert third == closed.with_(version=3)
                assert await store.history(ALICE, "a") == (first, second, third)
                assert await store.nodes(ALICE, ["a"]) == (third,)
                with pytest.raises(StoreUnavailable) as late:
                    await store.update_node(ALICE, indexed(first), version=2)
                assert late.value.retryable
                assert len(await store.history(ALICE, "a")) == 3
                with pytest.raises(UnknownId):
                    await store.update_node(ALICE, indexed(fact("nobody")), version=1)
                with pytest.raises(UnknownId):
                    await store.history(ALICE, "nobody")
                with pytest.raises(UnknownId):
                    await store.history(BOB, "a")

        self.run(check())

    def test_one_of_two_updates_wins(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.add_nodes(ALICE, [indexed(fact("a"))])
                done = await asyncio.gather(
                    *[
                        store.update_node(ALICE, indexed(fact("a", f"value {n}")), version=1)
                        for n in range(6)
                    ],
                    return_exceptions=True,
                )
                assert sum(isinstance(result, StoreError) for result in done) == 5
                assert len(await store.history(ALICE, "a")) == 2

        self.run(check())

    def test_vectors_stay_while_the_content_stays(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                node = fact("a", "lives in Paris")
                await store.add_nodes(ALICE, [indexed(node, Random(1))])
                same = await store.update_node(
                    ALICE, indexed(node.with_(metadata={"seen": 1})), version=1
                )
                assert await store.unembedded(10) == ()
                other = await store.update_node(
                    ALICE, indexed(same.with_(content="lives in Rome")), version=2
                )
                assert await store.unembedded(10) == ((ALICE, other),)

        self.run(check())

    def test_vectors_come_back(self) -> None:
        async def check() -> None:
            random = Random(3)
            made = [entry(message(f"m{number}"), random) for number in range(2)]
            async with self.store() as store:
                await store.append(ALICE, made)
                await store.append(BOB, [entry(message("m0"), random)])
                await store.add_nodes(ALICE, [indexed(fact("bare"))])
                await store.forget(ALICE, message_ids=["m0"])
            async with self.store(None) as store:
                names = ["bare", "m1#0", "m0#0", "nobody"]
                found = await store.vectors(ALICE, names)
                assert set(found) == {"m1#0"}
                turn, context = found["m1#0"]
                assert context is None  # what it stood in was forgotten
                wanted = made[1].nodes[0].vector
                assert turn is not None
                assert wanted is not None
                assert turn.dtype == np.float32
                assert np.allclose(turn, wanted, atol=1e-3)
                (both,) = (await store.vectors(BOB, ["m0#0"])).values()
                assert all(vector is not None for vector in both)
                assert await store.vectors(ALICE, []) == {}

        self.run(check())

    def test_delete(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.add_nodes(ALICE, [indexed(fact(name)) for name in "abc"])
                await store.add_nodes(BOB, [indexed(fact("a"))])
                assert await store.delete_nodes(ALICE, ["c", "zzz", "a", "c"]) == ("c", "a")
                assert await store.nodes(ALICE, ["a", "b", "c"]) == (fact("b"),)
                assert await store.nodes(BOB, ["a"])
                with pytest.raises(UnknownId):
                    await store.history(ALICE, "a")
                await store.add_nodes(ALICE, [indexed(fact("a", "again"))])
                assert len(await store.history(ALICE, "a")) == 1

        self.run(check())

    def test_lists_filter_as_their_twin(self) -> None:
        async def check() -> None:
            random = Random(3)
            async with self.store() as store:
                await store.append(ALICE, [entry(message(f"m{n}", minute=n)) for n in range(5)])
                facts = [random_fact(random, f"f{n}").node for n in range(60)]
                facts += [fact(f"p{n}", sources=[f"m{n}", "m4"]) for n in range(4)]
                await store.add_nodes(ALICE, [indexed(node) for node in facts])
                everything = [*facts, *await store.nodes(ALICE, [f"m{n}#0" for n in range(5)])]
                everything.sort(key=lambda node: (node.said_at, node.id))
                now = utc_now()
                for where in (
                    NodeFilter(),
                    NodeFilter(closed=True),
                    NodeFilter(kinds=frozenset({"note", "insight"})),
                    NodeFilter(kinds=frozenset()),
                    NodeFilter(session_id="s1"),
                    NodeFilter(message_id="m4"),
                    NodeFilter(message_id="unknown"),
                    NodeFilter(as_of=START + timedelta(minutes=2000)),
                    NodeFilter(as_of=START - timedelta(days=400)),
                ):
                    want = [node.id for node in everything if listed(node, where, now)]
                    for limit in (1, 7, 1000):
                        assert await every_page(store, where, limit) == want

        self.run(check())

    def test_paging_is_stable_under_writes(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                names = [f"n{n:02}" for n in range(20)]
                await store.add_nodes(
                    ALICE, [indexed(fact(name, minute=n // 5)) for n, name in enumerate(names)]
                )
                page = await store.list_nodes(ALICE, limit=7)
                seen = [node.id for node in page.items]
                await store.add_nodes(ALICE, [indexed(fact("before", minute=-1))])
                await store.delete_nodes(ALICE, [seen[-1]])
                rest = await store.list_nodes(ALICE, cursor=page.cursor, limit=100)
                assert seen + [node.id for node in rest.items] == names

        self.run(check())


def listed(node: MemoryNode, where: NodeFilter, now: object) -> bool:
    """Whether ``where`` lets the node through; the slow twin of ``list_nodes``."""
    if where.kinds is not None and node.kind not in where.kinds:
        return False
    if where.session_id is not None and node.session_id != where.session_id:
        return False
    if where.message_id is not None and where.message_id not in node.provenance:
        return False
    if where.as_of is not None:
        return node.valid_at(where.as_of)
    return where.closed or node.valid_to is None or node.valid_to > now  # type: ignore[operator]
