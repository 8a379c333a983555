"""The store contract: forgetting, and changing over to another embedding model."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from memoryscope_rag.errors import EmbeddingMismatch, InvalidInput, StoreError, UnknownId
from memoryscope_rag.ports import NodeFilter, Query, SearchRequest
from memoryscope_rag.testing.contract_base import ContractBase
from memoryscope_rag.testing.samples import (
    ALICE,
    ALL_KINDS,
    BOB,
    OTHER_SPEC,
    SPEC,
    entry,
    fact,
    indexed,
    message,
    random_entries,
    vector,
)


class RemovalContract(ContractBase):
    """``forget`` and re-embedding."""

    def test_forget_follows_provenance(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.append(ALICE, [entry(message(f"m{n}"), Random(n)) for n in range(4)])
                await store.append(BOB, [entry(message("m0"))])
                nodes = [
                    fact("rests", sources=["m0", "m1"]),
                    fact("moved", sources=["m0"]),
                    fact("other", sources=["m2"]).with_(superseded_by="rests"),
                    fact("free", kind="note"),
                    fact("deep", kind="insight", sources=["rests"]),
                    fact("deeper", kind="insight", sources=["deep", "other"]),
                    fact("fine", kind="insight", sources=["other"]),
                ]
                await store.add_nodes(ALICE, [indexed(node) for node in nodes])
                # only an old version rests on m0, and that one is kept in its history
                await store.update_node(
                    ALICE, indexed(fact("moved", "new", sources=["m3"])), version=1
                )
                done = await store.forget(ALICE, message_ids=["m0", "nobody"])
                assert done.messages == 1
                assert set(done.node_ids) == {"m0#0", "rests", "moved", "deep", "deeper"}
                assert done.nodes == len(done.node_ids)
                assert done.proven
                assert [m.id for m in await store.messages(ALICE)] == ["m1", "m2", "m3"]
                left = (await store.list_nodes(ALICE, NodeFilter(closed=True))).items
                assert {n.id for n in left} == {"m1#0", "m2#0", "m3#0", "other", "free", "fine"}
                (other,) = await store.nodes(ALICE, ["other"])
                assert other.superseded_by is None
                with pytest.raises(UnknownId):
                    await store.history(ALICE, "moved")
                assert len(await store.messages(BOB)) == 1
                assert await store.check() == ()
                again = await store.forget(ALICE, message_ids=["m0"])
                assert (again.messages, again.nodes, again.proven) == (0, 0, True)

        self.run(check())

    def test_forget_a_session(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                news = [message(f"m{n}", session=f"s{n % 2}") for n in range(6)]
                await store.append(ALICE, [entry(m) for m in news])
                note = fact("note", kind="note").with_(session_id="s0")
                await store.add_nodes(ALICE, [indexed(note), indexed(fact("free"))])
                done = await store.forget(ALICE, session_id="s0", compact=True)
                assert done.messages == 3
                assert set(done.node_ids) == {"m0#0", "m2#0", "m4#0", "note"}
                assert {m.session_id for m in await store.messages(ALICE)} == {"s1"}
                assert await store.check() == ()

        self.run(check())

    def test_forget_everything(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.append(ALICE, random_entries(Random(1), 20))
                await store.append(BOB, random_entries(Random(1), 5))
                await store.add_nodes(ALICE, [indexed(fact("note", kind="note"))])
                last = (await store.messages(ALICE))[-1].seq
                done = await store.forget(ALICE, everything=True)
                assert done.messages == 20
                assert done.proven
                assert await store.scopes() == (BOB,)
                assert (await store.list_nodes(ALICE)).items == ()
                request = SearchRequest((Query("q", ("word0",)),), ALL_KINDS)
                assert (await store.search(ALICE, [request]))[0].ids == ()
                assert (await store.search(BOB, [request]))[0].ids != ()
                (new,) = await store.append(ALICE, [entry(message("m0", "word0"))])
                assert new.status == "stored"
                assert new.message.seq > last
                assert (await store.search(ALICE, [request]))[0].ids == ("m0#0",)

        self.run(check())

    def test_seq_is_never_given_twice(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.append(ALICE, [entry(message(f"m{n}")) for n in range(3)])
                last = (await store.messages(ALICE))[-1].seq
                await store.forget(ALICE, message_ids=["m2"])
                (again,) = await store.append(ALICE, [entry(message("m2"))])
                assert again.message.seq > last

        self.run(check())

    def test_forget_takes_it_out_of_the_context_of_later_turns(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                entries = []
                for number in range(5):
                    made = entry(message(f"m{number}", f"own{number}"), Random(number))
                    before = tuple(f"own{n}" for n in range(max(0, number - 2), number))
                    (node,) = made.nodes
                    wider = replace(node, context_terms=(*before, *node.terms))
                    entries.append(replace(made, nodes=(wider,)))
                await store.append(ALICE, entries)
                await store.forget(ALICE, message_ids=["m1"])
                request = SearchRequest((Query("q", ("own1",)),), ALL_KINDS, neighbours=0)
                assert (await store.search(ALICE, [request]))[0].ids == ()
                lacking = {node.id for _, node in await store.unembedded(10)}
                assert lacking == {"m2#0", "m3#0"}

        self.run(check())

    def test_forget_needs_one_selection(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.append(ALICE, [entry(message("m0"))])
                with pytest.raises(InvalidInput):
                    await store.forget(ALICE)
                with pytest.raises(InvalidInput):
                    await store.forget(ALICE, message_ids=["m0"], everything=True)
                assert len(await store.messages(ALICE)) == 1

        self.run(check())

    def test_another_model_is_refused(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.append(ALICE, [entry(message("m0"), Random(1))])
            with pytest.raises(EmbeddingMismatch) as refused:
                await self.open_store(OTHER_SPEC)
            for part in (SPEC.name, OTHER_SPEC.name, "reembed"):
                assert part in str(refused.value)
            async with self.store(None) as store:
                assert len(await store.messages(ALICE)) == 1
                assert (await store.append(ALICE, [entry(message("m1"))]))[0].status == "stored"

        self.run(check())

    def test_vectors_given_later(self) -> None:
        async def check() -> None:
            random = Random(2)
            async with self.store() as store:
                await store.append(ALICE, [entry(message(f"m{n}", f"word{n}")) for n in range(3)])
                lacking = await store.unembedded(2)
                assert [(scope, node.id) for scope, node in lacking] == [
                    (ALICE, "m0#0"),
                    (ALICE, "m1#0"),
                ]
                turn, context = vector(random), vector(random)
                query = SearchRequest((Query("q", (), turn),), ALL_KINDS, neighbours=0)
                assert (await store.search(ALICE, [query]))[0].ids == ()
                given = {"m0#0": (turn, context), "gone": (turn, context)}
                assert await store.set_vectors(ALICE, given) == 1
                assert await store.set_vectors(BOB, given) == 0
                (found,) = await store.search(ALICE, [query])
                assert found.ids == ("m0#0",)
                assert found.dense[0, 0] == pytest.approx(1.0, abs=0.004)
                assert len(await store.unembedded(10)) == 2

        self.run(check())

    def test_reembedding(self) -> None:
        async def check() -> None:
            random = Random(3)
            async with self.store() as store:
                await store.append(ALICE, [entry(message(f"m{n}"), random) for n in range(4)])
            async with self.store(OTHER_SPEC, reembedding=True) as store:
                await store.begin_reembed(OTHER_SPEC)
                lacking = await store.unembedded(10)
                assert len(lacking) == 4
                first = {lacking[0][1].id: (vector(random, 12), vector(random, 12))}
                await store.set_vectors(ALICE, first)
                with pytest.raises(StoreError, match="3 nodes"):
                    await store.finish_reembed()
            async with self.store() as store:
                # the old model serves until the end, and new turns still get its vectors
                old = Query("q", (), vector(random))
                request = SearchRequest((old,), ALL_KINDS)
                (answer,) = await store.search(ALICE, [request])
                assert not np.isnan(answer.dense).any()
                await store.append(ALICE, [entry(message("m4"), random)])
            async with self.store(OTHER_SPEC, reembedding=True) as store:
                await store.begin_reembed(OTHER_SPEC)
                lacking = await store.unembedded(10)
                assert len(lacking) == 4
                rest = {node.id: (vector(random, 12), vector(random, 12)) for _, node in lacking}
                assert await store.set_vectors(ALICE, rest) == 4
                await store.finish_reembed()
                new = SearchRequest((Query("q", (), vector(random, 12)),), ALL_KINDS)
                (found,) = await store.search(ALICE, [new])
                assert len(found) == 5
                assert found.vectors.shape == (5, 12)
                assert (await store.stats()).embedder == OTHER_SPEC
                assert await store.check() == ()
            async with self.store(OTHER_SPEC) as store:
                assert len((await store.search(ALICE, [new]))[0]) == 5
            with pytest.raises(EmbeddingMismatch):
                await self.open_store(SPEC)

        self.run(check())

    def test_reembedding_restarts_with_a_third_model(self) -> None:
        async def check() -> None:
            random = Random(4)
            third = replace(OTHER_SPEC, name="third", fingerprint="third-v1", dimension=5)
            async with self.store() as store:
                await store.append(ALICE, [entry(message("m0"), random)])
            async with self.store(OTHER_SPEC, reembedding=True) as store:
                await store.begin_reembed(OTHER_SPEC)
                await store.set_vectors(ALICE, {"m0#0": (vector(random, 12), vector(random, 12))})
                await store.begin_reembed(third)
                assert len(await store.unembedded(10)) == 1
                await store.set_vectors(ALICE, {"m0#0": (vector(random, 5), vector(random, 5))})
                await store.finish_reembed()
                assert (await store.stats()).embedder == third
                assert await store.check() == ()

        self.run(check())

    def test_a_handle_left_behind_is_told(self) -> None:
        async def check() -> None:
            random = Random(5)
            async with self.store() as old, self.store(OTHER_SPEC, reembedding=True) as new:
                await old.append(ALICE, [entry(message("m0"), random)])
                await new.begin_reembed(OTHER_SPEC)
                await new.set_vectors(ALICE, {"m0#0": (vector(random, 12), vector(random, 12))})
                await new.finish_reembed()
                with pytest.raises(EmbeddingMismatch):
                    await old.append(ALICE, [entry(message("m1"), random)])
                request = SearchRequest((Query("q", (), vector(random)),), ALL_KINDS)
                with pytest.raises(EmbeddingMismatch):
                    await old.search(ALICE, [request])

        self.run(check())
