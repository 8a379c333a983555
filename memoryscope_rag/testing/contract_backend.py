"""The store contract: what backend operations write, all of it or nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from memoryscope_rag.errors import DuplicateId, LeaseLost, StoreUnavailable, UnknownId
from memoryscope_rag.ports import Changes, MemoryStore, NodeFilter
from memoryscope_rag.schema import Kind
from memoryscope_rag.testing.contract_base import ContractBase
from memoryscope_rag.testing.samples import ALICE, BOB, START, entry, fact, indexed, message

FACTS: frozenset[Kind] = frozenset({"observation", "note"})


async def states(store: MemoryStore) -> dict[str, tuple[str, str | None, int]]:
    """Alice's messages: state, reason and attempts by id."""
    found = await store.messages(ALICE)
    return {m.id: (m.state, m.state_reason, m.attempts) for m in found}


async def unreflected(store: MemoryStore) -> list[str]:
    """The ids of Alice's facts that reflection has not dealt with."""
    page = await store.list_nodes(ALICE, NodeFilter(kinds=FACTS, reflected=False))
    return [node.id for node in page.items]


class BackendContract(ContractBase):
    """``commit``, ``pending`` and what hangs on them."""

    def test_commit_does_all_of_it(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.append(ALICE, [entry(message(f"m{n}", minute=n)) for n in range(4)])
                await store.append(BOB, [entry(message("b"))])
                assert await store.pending() == {ALICE: 4, BOB: 1}
                await store.add_nodes(ALICE, [indexed(fact("old", sources=["m0"]))])
                closed = fact("old", sources=["m0"]).with_(superseded_by="new")
                changes = Changes(
                    add=(indexed(fact("new", "likes coffee", sources=["m1"], minute=1)),),
                    update=((indexed(closed), 1),),
                    consolidated=("m0", "m1"),
                    failed={"m2": "ModelError: down"},
                    parked={"m3": "MalformedReply"},
                )
                await store.commit(ALICE, changes)
                assert await states(store) == {
                    "m0": ("consolidated", None, 0),
                    "m1": ("consolidated", None, 0),
                    "m2": ("pending", "ModelError: down", 1),
                    "m3": ("parked", "MalformedReply", 1),
                }
                assert await store.pending() == {ALICE: 1, BOB: 1}
                old, new = await store.nodes(ALICE, ["old", "new"])
                assert (old.version, old.superseded_by, new.version) == (2, "new", 1)
                await store.commit(ALICE, Changes(failed={"m2": "again"}))
                assert (await states(store))["m2"] == ("pending", "again", 2)
                await store.mark(ALICE, ["m2", "m3"], "pending")
                assert (await states(store))["m3"] == ("pending", None, 0)

        self.run(check())

    def test_commit_is_all_or_nothing(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.append(ALICE, [entry(message("m0"))])
                await store.add_nodes(ALICE, [indexed(fact("old", sources=["m0"]))])
                before = await states(store)
                new = indexed(fact("new", sources=["m0"]))
                lost = indexed(fact("lost", sources=["gone"]))
                for changes, error in (
                    (Changes(add=(new, new), consolidated=("m0",)), DuplicateId),
                    (Changes(add=(new, lost), consolidated=("m0",)), UnknownId),
                    (Changes(add=(new,), consolidated=("m0", "gone")), UnknownId),
                    (Changes(add=(new,), failed={"gone": "why"}), UnknownId),
                    (
                        Changes(
                            add=(new,),
                            update=((indexed(fact("old", "changed", sources=["m0"])), 7),),
                            consolidated=("m0",),
                        ),
                        StoreUnavailable,
                    ),
                ):
                    with pytest.raises(error):
                        await store.commit(ALICE, changes)
                    assert await states(store) == before
                    (old,) = await store.nodes(ALICE, ["old", "new"])
                    assert (old.content, old.version) == ("likes tea", 1)

        self.run(check())

    def test_commit_under_a_lost_lease_does_nothing(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.append(ALICE, [entry(message("m0"))])
                mine = await store.acquire(ALICE, "consolidate", "me", 30)
                assert mine is not None
                await store.release(mine)
                assert await store.acquire(ALICE, "consolidate", "you", 30) is not None
                with pytest.raises(LeaseLost):
                    await store.commit(ALICE, Changes(consolidated=("m0",)), mine)
                assert await store.pending() == {ALICE: 1}
                assert await store.acquire(ALICE, "consolidate", "me", 30) is None
                other = await store.acquire(ALICE, "reflect", "me", 30)
                await store.commit(ALICE, Changes(consolidated=("m0",)), other)
                assert await store.pending() == {}

        self.run(check())

    def test_observations_by_the_message_that_they_rest_on(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.append(ALICE, [entry(message(f"m{n}", minute=n)) for n in range(3)])
                await store.append(BOB, [entry(message("m0"))])
                closed = fact("old", sources=["m0"]).with_(valid_to=START + timedelta(hours=1))
                nodes = [
                    closed,
                    fact("both", "likes coffee", sources=["m0", "m1"]),
                    fact("note", kind="note"),
                    fact("insight", kind="insight", sources=["both"]),
                ]
                await store.add_nodes(ALICE, [indexed(node) for node in nodes])
                found = await store.drawn_from(ALICE, ["m0", "m1", "m2", "both", "no"])
                names = {source: {node.id for node in drawn} for source, drawn in found.items()}
                assert names == {"m0": {"old", "both"}, "m1": {"both"}}
                moved = fact("both", "likes coffee", sources=["m1"])
                await store.update_node(ALICE, indexed(moved), version=1)
                found = await store.drawn_from(ALICE, ["m0"])
                assert [node.id for node in found["m0"]] == ["old"]
                assert await store.drawn_from(BOB, ["m0"]) == {}
                assert await store.drawn_from(ALICE, []) == {}

        self.run(check())

    def test_reflected_holds_for_the_present_content(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.append(ALICE, [entry(message("m0"))])
                facts = [fact(f"f{n}", sources=["m0"], minute=n) for n in range(3)]
                await store.add_nodes(ALICE, [indexed(node) for node in facts])
                assert await unreflected(store) == ["f0", "f1", "f2"]
                await store.commit(ALICE, Changes(reflected=("f0", "f2", "gone")))
                assert await unreflected(store) == ["f1"]
                where = NodeFilter(kinds=FACTS, reflected=True)
                assert [n.id for n in (await store.list_nodes(ALICE, where)).items] == ["f0", "f2"]
                kept = facts[0].with_(metadata={"a": 1})
                await store.update_node(ALICE, indexed(kept), version=1)
                assert await unreflected(store) == ["f1"]
                await store.update_node(
                    ALICE, indexed(kept.with_(content="tea no more")), version=2
                )
                assert await unreflected(store) == ["f0", "f1"]

        self.run(check())

    def test_an_open_insight_must_rest_on_what_is_there(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.append(ALICE, [entry(message("m0"))])
                await store.add_nodes(ALICE, [indexed(fact("f0", sources=["m0"]))])
                await store.add_nodes(BOB, [indexed(fact("f1"))])
                insight = fact("i0", kind="insight", sources=["f0", "f1"])
                with pytest.raises(UnknownId):
                    await store.commit(ALICE, Changes(add=(indexed(insight),), reflected=("f0",)))
                assert await unreflected(store) == ["f0"]
                closed = insight.with_(valid_to=insight.said_at)
                grounded = insight.with_(id="i1", provenance=("f0", "f2"))
                new = fact("f2", sources=["m0"])
                await store.commit(
                    ALICE, Changes(add=(indexed(closed), indexed(grounded), indexed(new)))
                )
                reopened = Changes(update=((indexed(closed.with_(valid_to=None)), 1),))
                with pytest.raises(UnknownId):
                    await store.commit(ALICE, reopened)

        self.run(check())

    def test_forgetting_frees_what_an_insight_rested_on(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.append(ALICE, [entry(message(f"m{n}")) for n in range(3)])
                facts = [fact(f"f{n}", sources=[f"m{n}"], minute=n) for n in range(3)]
                insight = fact("i0", kind="insight", sources=["f0", "f1"])
                await store.add_nodes(ALICE, [indexed(node) for node in (*facts, insight)])
                await store.commit(ALICE, Changes(reflected=("f0", "f1", "f2")))
                await store.forget(ALICE, message_ids=["m0"])
                assert [n.id for n in await store.nodes(ALICE, ["f0", "i0", "f1"])] == ["f1"]
                assert await unreflected(store) == ["f1"]

        self.run(check())
