"""Elasticsearch and SQLite do the same: random writes to both, and every answer compared."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import numpy as np
import pytest

from memoryscope_rag.configs.model import ElasticsearchConfig
from memoryscope_rag.errors import MemoryScopeError
from memoryscope_rag.ports import (
    Candidates,
    Changes,
    IndexedNode,
    MemoryStore,
    NodeFilter,
    Query,
    SearchRequest,
)
from memoryscope_rag.schema import KINDS, MemoryNode, Scope
from memoryscope_rag.stores.elasticsearch.store import ElasticsearchStore
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.fakes import FrozenClock
from memoryscope_rag.testing.samples import (
    ALICE,
    ALL_KINDS,
    SPEC,
    START,
    entry,
    indexed,
    message,
    random_entries,
    random_fact,
    random_request,
    random_text,
    vector,
)

CASES = 300
GROUPS = 10
AT_ONCE = 6
T = TypeVar("T")
_NOW = START + timedelta(minutes=2500)


class Pair:
    """The two stores with one scope; each answer of the one is compared with the other's."""

    def __init__(self, stores: Sequence[MemoryStore], scope: Scope, random: Random) -> None:
        self.stores = stores
        self.scope = scope
        self.random = random

    async def both(self, call: Callable[[MemoryStore], Awaitable[T]]) -> tuple[T, T] | None:
        """What both return, ``None`` when both refuse for the same reason."""
        results: list[Any] = []
        for store in self.stores:
            try:
                results.append(await call(store))
            except MemoryScopeError as error:
                results.append(type(error))
        first, second = results
        if isinstance(first, type) or isinstance(second, type):
            assert first is second
            return None
        return first, second

    async def same(self, call: Callable[[MemoryStore], Awaitable[T]]) -> T | None:
        """As :meth:`both`, for what must be equal."""
        results = await self.both(call)
        if results is None:
            return None
        assert results[0] == results[1]
        return results[0]

    # ------------------------------------------------------------ writing

    async def write(self) -> None:
        """One random write."""
        steps = [self._talk, self._talk, self._learn, self._learn, self._change, self._commit]
        steps += [self._mark, self._delete, self._embed, self._forget]
        await self.random.choice(steps)()

    async def _talk(self) -> None:
        # some ids come again, with the same content or another
        prefix = self.random.choice(["m", "m", f"r{self.random.randrange(100)}-"])
        entries = random_entries(self.random, self.random.randint(1, 8), prefix)
        await self.same(lambda store: store.append(self.scope, entries))

    async def _learn(self) -> None:
        facts = [self._fact() for _ in range(self.random.randint(1, 4))]
        await self.same(lambda store: store.add_nodes(self.scope, facts))

    def _fact(self) -> IndexedNode:
        item = random_fact(self.random, f"f{self.random.randrange(40)}")
        sources = tuple(self.random.choices(["m0", "m1", "m2", "f1", "f2"], k=2))
        if item.node.kind != "insight":
            sources = tuple(name for name in sources if name.startswith("m"))
        linked = self.random.choice([None, None, "f3"])
        node = item.node.with_(provenance=self.random.choice([(), sources]), superseded_by=linked)
        return replace(item, node=node)

    async def _some(self) -> list[MemoryNode]:
        page = await self.stores[0].list_nodes(self.scope, NodeFilter(closed=True), limit=1000)
        nodes = sorted(page.items, key=lambda node: node.id)
        return self.random.sample(nodes, min(3, len(nodes)))

    async def _changed(self) -> tuple[tuple[IndexedNode, int], ...]:
        changed = []
        for node in await self._some():
            content = self.random.choice([node.content, f"changed {random_text(self.random)}"])
            item = indexed(node.with_(content=content), self.random.choice([None, self.random]))
            late = self.random.random() < 0.1
            changed.append((item, node.version - late))
        return tuple(changed)

    async def _change(self) -> None:
        for item, version in await self._changed():
            await self.same(
                lambda store, i=item, v=version: store.update_node(self.scope, i, version=v)  # type: ignore[misc]
            )

    async def _commit(self) -> None:
        names = [f"m{n}" for n in range(6)]
        chosen = self.random.sample(names, 3)
        changes = Changes(
            add=tuple(self._fact() for _ in range(self.random.randrange(3))),
            update=(await self._changed())[:2],
            consolidated=tuple(chosen[:1]),
            parked={chosen[1]: "why"} if self.random.random() < 0.3 else {},
            failed={chosen[2]: "down"} if self.random.random() < 0.5 else {},
            reflected=tuple(node.id for node in await self._some()),
        )
        await self.same(lambda store: store.commit(self.scope, changes))

    async def _mark(self) -> None:
        names = [f"m{self.random.randrange(9)}" for _ in range(2)]
        state = self.random.choice(["pending", "consolidated", "parked"])
        await self.same(lambda store: store.mark(self.scope, names, state, "reason"))  # type: ignore[arg-type]

    async def _delete(self) -> None:
        names = [node.id for node in await self._some()] + ["nobody"]
        await self.same(lambda store: store.delete_nodes(self.scope, names))

    async def _embed(self) -> None:
        given = {node.id: (vector(self.random), vector(self.random)) for node in await self._some()}
        await self.same(lambda store: store.set_vectors(self.scope, given))

    async def _forget(self) -> None:
        names = [f"m{self.random.randrange(9)}" for _ in range(2)]
        if self.random.random() < 0.7:
            await self.same(lambda store: store.forget(self.scope, message_ids=names))
        else:
            await self.same(lambda store: store.forget(self.scope, session_id="s2"))

    async def live(self) -> None:
        """Some writes, then every kind of reading."""
        first = random_entries(self.random, self.random.randint(2, 10), "m")
        await self.same(lambda store: store.append(self.scope, first))
        for _ in range(self.random.randint(2, 7)):
            await self.write()
        await self.compare()

    async def start_again(self) -> None:
        """Forget everything and go on; no other scope may be written meanwhile.

        A scope that comes back begins above the numbers of all that were erased.
        """
        await self.same(lambda store: store.forget(self.scope, everything=True))
        await self.compare()
        await self.live()

    # ------------------------------------------------------------ reading

    async def compare(self) -> None:
        """Every kind of reading."""
        random, scope = self.random, self.scope
        log = await self.same(lambda store: store.messages(scope)) or ()
        await self.same(lambda store: store.messages(scope, session_id="s1", state="pending"))
        await self.same(lambda store: store.last_messages(scope, 3, session_id="s3"))
        await self.same(lambda store: store.get_messages(scope, ["m1", "no", "m0"]))
        seqs = [m.seq for m in random.sample(log, min(5, len(log)))] + [10**6]
        await self.same(lambda store: store.count(scope, seqs[0]))
        await self.same(lambda store: store.around(scope, seqs, 2, 1))
        names = [f"f{n}" for n in range(40)] + [f"m{n}#0" for n in range(8)]
        held = await self.same(lambda store: store.nodes(scope, names)) or ()
        for node in random.sample(held, min(2, len(held))):
            await self.same(lambda store, name=node.id: store.history(scope, name))  # type: ignore[misc]
        drawn = await self.both(lambda store: store.drawn_from(scope, ["m0", "m1", "m2"]))
        assert drawn is not None
        assert [_by_id(found) for found in drawn[:1]] == [_by_id(found) for found in drawn[1:]]
        where = NodeFilter(
            kinds=random.choice([None, frozenset(random.sample(KINDS, 2))]),
            session_id=random.choice([None, None, "s1"]),
            message_id=random.choice([None, None, "m1"]),
            as_of=random.choice([None, START + timedelta(minutes=random.randint(0, 5000))]),
            closed=random.random() < 0.5,
            reflected=random.choice([None, None, True, False]),
        )
        page = await self.same(lambda store: store.list_nodes(scope, where, limit=4))
        if page is not None and page.cursor is not None:
            await self.same(lambda store: store.list_nodes(scope, where, cursor=page.cursor))
        stats = await self.both(lambda store: store.stats(scope))
        assert stats is not None
        counts = [replace(s, generation=0, bytes=0, detail={}) for s in stats]
        assert counts[0] == counts[1]
        vectors = await self.both(lambda store: store.vectors(scope, names))
        assert vectors is not None
        assert _flat(vectors[0]) == _flat(vectors[1])
        requests = [
            # all are wanted: where scores tie at the limit either choice is right
            replace(random_request(random), limit=500, as_of=random.choice([None, _NOW]))
            for _ in range(2)
        ]
        found = await self.both(lambda store: store.search(scope, requests))
        assert found is not None
        for left, right in zip(*found, strict=True):
            assert_same_candidates(left, right)


def _by_id(found: Any) -> dict[str, list[MemoryNode]]:
    return {name: sorted(nodes, key=lambda node: node.id) for name, nodes in found.items()}


def _flat(vectors: Any) -> dict[str, list[list[float] | None]]:
    return {
        name: [None if row is None else row.tolist() for row in pair]
        for name, pair in vectors.items()
    }


def assert_same_candidates(left: Candidates, right: Candidates) -> None:
    """Equal but for the order, the codes of sessions, and where places in a session are counted."""
    assert sorted(left.ids) == sorted(right.ids)
    at = [right.ids.index(name) for name in left.ids]
    assert left.kinds == tuple(right.kinds[place] for place in at)
    for name in ("dense", "dense_context", "lexical", "lexical_context"):
        one, other = getattr(left, name), getattr(right, name)[:, at]
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(left.lexical_best, right.lexical_best, rtol=1e-5)
    for name in ("seq", "said_at", "event_start", "event_end", "length", "question", "found"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name)[at], name)
    np.testing.assert_array_equal(left.vectors, right.vectors[at])
    assert left.population == right.population
    named = [
        [found.speakers[code] if code >= 0 else None for code in found.speaker[order]]
        for found, order in ((left, range(len(at))), (right, at))
    ]
    assert named[0] == named[1]
    np.testing.assert_array_equal(_steps(left), _steps(right)[np.ix_(at, at)])


def _steps(found: Candidates) -> Any:
    """How many turns lie between each two: up to 3, which is too far to matter; 9 for none."""
    apart = np.clip(found.turn[:, None] - found.turn, -3, 3)
    together = (found.session[:, None] == found.session) & (found.session >= 0)
    known = (found.turn[:, None] >= 0) & (found.turn >= 0)
    return np.where(together & known, apart, 9)


@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
def test_random_histories(config: ElasticsearchConfig, tmp_path: Path, group: int) -> None:
    async def check() -> None:
        clock = FrozenClock(_NOW)
        stores: list[MemoryStore] = [
            SQLiteStore.open(tmp_path / "memory.db", embedder=SPEC, clock=clock),
            await ElasticsearchStore.open(config, embedder=SPEC, clock=clock),
        ]
        try:
            cases = range(group, CASES, GROUPS)
            pairs = [Pair(stores, Scope(f"user {n}", "ü"), Random(n)) for n in cases]
            for begin in range(0, len(pairs), AT_ONCE):
                await asyncio.gather(*[pair.live() for pair in pairs[begin : begin + AT_ONCE]])
                await pairs[begin].start_again()
            for store in stores:
                assert await store.check() == ()
        finally:
            for store in stores:
                await store.close()

    asyncio.run(check())


@pytest.mark.slow
def test_the_best_ten_by_words_are_the_same(config: ElasticsearchConfig, tmp_path: Path) -> None:
    """A scope that fills the index, and limits that choose: the cluster's own choice shows."""

    async def check() -> None:
        random = Random(0)
        stores: list[MemoryStore] = [
            SQLiteStore.open(tmp_path / "memory.db", embedder=SPEC),
            await ElasticsearchStore.open(config, embedder=SPEC),
        ]
        words = [f"word{number}" for number in range(400)]
        weights = [1 / (number + 1) for number in range(400)]
        try:
            for begin in range(0, 2000, 200):
                news = [
                    message(
                        f"m{n}",
                        " ".join(random.choices(words, weights, k=random.randint(2, 30))),
                        session=f"s{n // 20}",
                    )
                    for n in range(begin, begin + 200)
                ]
                entries = [entry(new, Random(n)) for n, new in enumerate(news, begin)]
                for store in stores:
                    await store.append(ALICE, entries)
            overlaps = []
            for _ in range(40):
                query = Query("q", tuple(random.choices(words, k=random.randint(1, 6))))
                request = SearchRequest((query,), ALL_KINDS, limit=10, neighbours=0)
                best = []
                for store in stores:
                    (found,) = await store.search(ALICE, [request])
                    order = np.argsort(-found.lexical[0], kind="stable")[:10]
                    best.append({found.ids[place] for place in order})
                if best[0]:
                    overlaps.append(len(best[0] & best[1]) / len(best[0]))
            assert sum(overlaps) / len(overlaps) >= 0.9
        finally:
            for store in stores:
                await store.close()

    asyncio.run(check())
