"""The store contract: every score that a search returns, against the naive twin."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import numpy as np
import pytest

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.ports import IndexedNode, MemoryStore, Query, SearchRequest
from memoryscope_rag.schema import Interval, Scope, utc_now
from memoryscope_rag.testing.contract_base import ContractBase
from memoryscope_rag.testing.naive import disagreements
from memoryscope_rag.testing.samples import (
    ALICE,
    ALL_KINDS,
    BOB,
    START,
    entry,
    fact,
    indexed,
    message,
    random_entries,
    random_fact,
    random_request,
    random_text,
    vector,
)


class Mirror:
    """A store and, beside it, what it should hold of one scope."""

    def __init__(self, store: MemoryStore, scope: Scope, random: Random) -> None:
        self.store = store
        self.scope = scope
        self.random = random
        self.held: dict[str, IndexedNode] = {}
        self._number = 0

    async def talk(self, count: int) -> None:
        """Append messages."""
        self._number += 1
        entries = random_entries(self.random, count, f"r{self._number}-")
        for made, done in zip(entries, await self.store.append(self.scope, entries), strict=True):
            for item in made.nodes:
                node = item.node.with_(seq=done.message.seq)
                self.held[node.id] = replace(item, node=node)

    async def learn(self, count: int) -> None:
        """Add facts."""
        self._number += 1
        facts = [random_fact(self.random, f"f{self._number}-{n}") for n in range(count)]
        await self.store.add_nodes(self.scope, facts)
        self.held |= {item.node.id: item for item in facts}

    async def change(self, count: int) -> None:
        """Update nodes."""
        for name in self.random.sample(sorted(self.held), min(count, len(self.held))):
            node = self.held[name].node.with_(content=f"changed {random_text(self.random)}")
            item = indexed(node, self.random)
            stored = await self.store.update_node(self.scope, item, version=node.version)
            self.held[name] = replace(item, node=stored)

    async def delete(self, count: int) -> None:
        """Delete nodes."""
        names = self.random.sample(sorted(self.held), min(count, len(self.held)))
        await self.store.delete_nodes(self.scope, names)
        for name in names:
            del self.held[name]

    async def compare(self, rounds: int = 4) -> None:
        """Search and hold each answer against the naive twin."""
        for _ in range(rounds):
            first = random_request(self.random, queries=self.random.choice([1, 2, 5]))
            more = [random_request(self.random) for _ in range(self.random.randrange(3))]
            # the last asks the first one's queries of other nodes, as a retrieval does
            last = replace(random_request(self.random), queries=first.queries)
            requests = [first, *more, last]
            nodes = list(self.held.values())
            answers = await self.store.search(self.scope, requests)
            for request, answer in zip(requests, answers, strict=True):
                assert disagreements(nodes, request, utc_now(), answer) == []


class SearchContract(ContractBase):
    """Search."""

    @pytest.mark.parametrize("seed", range(4))
    def test_scores_equal_the_naive_ones(self, seed: int) -> None:
        async def check() -> None:
            random = Random(seed)
            async with self.store() as store:
                mirrors = [Mirror(store, scope, random) for scope in (ALICE, BOB)]
                for mirror in mirrors:
                    await mirror.talk(60)
                    await mirror.learn(30)
                for mirror in mirrors:
                    await mirror.compare(8)

        self.run(check())

    @pytest.mark.parametrize("seed", range(4))
    def test_search_follows_every_write(self, seed: int) -> None:
        async def check() -> None:
            random = Random(100 + seed)
            async with self.store() as store, self.store() as second:
                mirror = Mirror(store, ALICE, random)
                other = Mirror(second, ALICE, random)
                other.held = mirror.held
                other._number = 1000
                await mirror.talk(20)
                for _ in range(25):
                    # the second handle sees the first one's writes, and the other way round
                    writer, reader = random.sample([mirror, other], 2)
                    step = random.choice([writer.talk, writer.learn, writer.change, writer.delete])
                    await step(random.choice([1, 2, 15]))
                    await reader.compare(1)
                    await writer.compare(1)

        self.run(check())

    def test_shapes_and_metadata(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                random = Random(5)
                talk = [
                    replace(message(f"m{n}", f"word{n} hello?", minute=n), speaker=f"P{n % 2}")
                    for n in range(6)
                ]
                await store.append(ALICE, [entry(m, random) for m in talk])
                await store.add_nodes(ALICE, [indexed(fact("f", "word3 tea"))])
                query = Query("q", ("word3",), None)
                request = SearchRequest((query, query), ALL_KINDS, limit=5, neighbours=1)
                (got,) = await store.search(ALICE, [request])
                assert got.ids == ("m2#0", "m3#0", "m4#0", "f")
                assert got.kinds == ("conversation",) * 3 + ("observation",)
                assert got.found.tolist() == [False, True, False, True]
                assert len(got) == 4
                for array in (got.dense, got.dense_context, got.lexical, got.lexical_context):
                    assert array.shape == (2, 4)
                    assert array.dtype == np.float32
                    assert array.flags.c_contiguous
                assert np.isnan(got.dense).all()
                assert got.lexical_best.shape == (2,)
                assert got.vectors.shape == (4, 8)
                assert not got.vectors[3].any()
                assert got.session.tolist()[:3] == [got.session[0]] * 3
                assert got.session[3] == -1
                names = [got.speakers[code] if code >= 0 else None for code in got.speaker]
                assert names == ["P0", "P1", "P0", None]
                assert got.question.tolist() == [True, True, True, False]
                assert got.length.tolist() == [12, 12, 12, 9]
                assert got.said_at[3] == START.timestamp()
                assert np.isnan(got.event_start).all()

        self.run(check())

    def test_empty_scope_and_empty_query(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                query = Query("q", ("word1",), vector(Random(1)))
                (nothing,) = await store.search(ALICE, [SearchRequest((query,), ALL_KINDS)])
                assert nothing.ids == ()
                assert nothing.dense.shape == (1, 0)
                assert nothing.lexical_best.tolist() == [0.0]
                await store.append(ALICE, [entry(message("m1", "word1"), Random(1))])
                for empty in (Query("q", ()), Query("q", ("elsewhere",))):
                    (got,) = await store.search(ALICE, [SearchRequest((empty,), ALL_KINDS)])
                    assert got.ids == ()
                (no_queries,) = await store.search(ALICE, [SearchRequest((), ALL_KINDS)])
                assert no_queries.ids == ()
                (no_kinds,) = await store.search(ALICE, [SearchRequest((query,), frozenset())])
                assert no_kinds.ids == ()
                assert await store.search(ALICE, []) == ()

        self.run(check())

    def test_messages_are_hits(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                random = Random(3)
                talk = [
                    message(f"m{n}", f"word{n} said here", session=f"s{n // 6}", minute=n)
                    for n in range(9)
                ]
                pieces = [entry(m, random, pieces=3 if m.id == "m2" else 1) for m in talk]
                await store.append(ALICE, pieces)
                await store.append(BOB, [entry(message("b1", "word1"), random)])
                await store.add_nodes(ALICE, [indexed(fact("f", sources=["m2"]))])

                async def hits(**changes: Any) -> tuple[list[str], list[str]]:
                    """The hits and the neighbours of a request that names a few messages."""
                    plain = SearchRequest((), ALL_KINDS, neighbours=0, messages=("m2", "m4"))
                    (got,) = await store.search(ALICE, [replace(plain, **changes)])
                    assert len(set(got.ids)) == len(got)
                    told = zip(got.ids, got.found, strict=True)
                    both: tuple[list[str], list[str]] = ([], [])
                    for name, hit in told:
                        both[not hit].append(name)
                    return both

                three = ["m2#0", "m2#1", "m2#2"]
                assert await hits() == ([*three, "m4#0"], [])
                assert await hits(messages=("m4", "b1", "no", "", "f", "m4#0")) == (["m4#0"], [])
                assert await hits(messages=()) == ([], [])
                assert await hits(messages=("m7", "m0"), neighbours=1) == (
                    ["m0#0", "m7#0"],
                    ["m1#0", "m6#0", "m8#0"],
                )
                # what a query finds as well stands once, and needs no place among the best
                found = (Query("q", ("word2",)), Query("v", (), vector(random)))
                names = ("m2", "m2", "m4")
                ids, _ = await hits(queries=found, limit=1, messages=names)
                assert {*three, "m4#0"} <= set(ids)
                # the filters hold for them as for all
                assert await hits(kinds=frozenset({"observation", "insight", "note"})) == ([], [])
                assert await hits(session_id="s1", messages=("m4", "m7")) == (["m7#0"], [])
                at = START + timedelta(minutes=3)
                assert await hits(during=Interval(at, None)) == (["m4#0"], [])
                assert await hits(as_of=at) == (three, [])
                await store.delete_nodes(ALICE, ["m2#1"])
                assert await hits() == (["m2#0", "m2#2", "m4#0"], [])
                await store.forget(ALICE, message_ids=["m2"])
                assert await hits() == (["m4#0"], [])

        self.run(check())

    def test_many_messages_are_hits(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                talk = [message(f"m{n}", "word1", minute=n) for n in range(1200)]
                await store.append(ALICE, [entry(m) for m in talk])
                asked = tuple(f"m{n}" for n in range(0, 2400, 2))
                one = SearchRequest((), ALL_KINDS, limit=1, neighbours=0, messages=asked)
                other = replace(one, messages=("m1",))
                everything, single = await store.search(ALICE, [one, other])
                assert everything.ids == tuple(f"m{n}#0" for n in range(0, 1200, 2))
                assert everything.population == 1200
                assert single.ids == ("m1#0",)

        self.run(check())

    def test_bad_requests_are_refused(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                for bad in (np.full(8, np.nan), np.ones(3), np.zeros(8)):
                    query = Query("q", (), bad.astype(np.float32))
                    with pytest.raises(InvalidInput, match="vector"):
                        await store.search(ALICE, [SearchRequest((query,), ALL_KINDS)])
                plain = SearchRequest((), ALL_KINDS)
                for wrong in (replace(plain, limit=0), replace(plain, neighbours=-1)):
                    with pytest.raises(InvalidInput):
                        await store.search(ALICE, [wrong])

        self.run(check())

    def test_statistics_are_the_scopes_own(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                random = Random(9)
                mirror = Mirror(store, ALICE, random)
                await mirror.talk(30)
                request = replace(random_request(random), queries=(Query("q", ("word0", "word1")),))
                (before,) = await store.search(ALICE, [request])
                await store.append(BOB, random_entries(random, 200))
                await store.append(ALICE, [entry(message("gone", "word0 word1 word0"))])
                await store.forget(ALICE, message_ids=["gone"])
                (after,) = await store.search(ALICE, [request])
                assert before.ids == after.ids
                assert np.array_equal(before.lexical, after.lexical)

        self.run(check())

    def test_searches_while_writing(self) -> None:
        async def check() -> None:
            random = Random(11)
            async with self.store() as store:
                mirrors = [Mirror(store, Scope(f"u{n}"), Random(n)) for n in range(4)]

                async def live(mirror: Mirror) -> None:
                    for _ in range(6):
                        await mirror.talk(random.choice([1, 10]))
                        await mirror.compare(2)

                await asyncio.gather(*[live(mirror) for mirror in mirrors])

        self.run(check())
