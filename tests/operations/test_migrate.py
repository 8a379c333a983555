"""Everything of a store in another one: exactly, resumed after a kill, and proven."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from random import Random

import numpy as np
import pytest

from memoryscope_rag import lexical
from memoryscope_rag.errors import DuplicateId, EmbeddingMismatch, StoreError, StoreUnavailable
from memoryscope_rag.operations.digest import digest
from memoryscope_rag.operations.migrate import migrate
from memoryscope_rag.operations.record import record
from memoryscope_rag.ports import (
    Changes,
    IndexedNode,
    MemoryStore,
    NodeFilter,
    Query,
    SearchRequest,
)
from memoryscope_rag.schema import MemoryNode, NewMessage, Scope
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.fakes import HashEmbedder
from memoryscope_rag.testing.samples import (
    ALICE,
    ALL_KINDS,
    BOB,
    OTHER_SPEC,
    SPEC,
    START,
    entry,
    fact,
    indexed,
    message,
    random_fact,
    vector,
)

EMBEDDER = HashEmbedder()
TEXTS = (
    "Do you still live in Paris?",
    "No, we moved to Lisbon in May.",
    "我搬到里斯本了",
    "She likes oranges and pears",
    "What about the dog\0 then?",
)


async def fill(store: MemoryStore, scope: Scope, count: int, seed: int = 1) -> None:
    """A scope with all that a scope can hold: gaps, states, histories, closed and linked facts."""
    random = Random(seed)
    news = [
        NewMessage(
            f"m{n}",
            f"s{random.randint(1, 3)}",
            random.choice(["user", "assistant"]),
            f"{random.choice(TEXTS)} {n}",
            START + timedelta(minutes=n),
            random.choice([None, "Ann"]),
            random.choice([{}, {"a": 1.5, "b": None}]),
        )
        for n in range(count)
    ]
    for begin in range(0, count, 50):
        await record(store, EMBEDDER, scope, news[begin : begin + 50])
    await store.append(scope, [entry(message("bare"))])  # without vectors
    await store.forget(scope, message_ids=["m3", "m4", f"m{count // 2}"])
    log = {m.id: m for m in await store.messages(scope)}
    await store.mark(scope, [f"m{n}" for n in range(5, 20)], "consolidated")
    await store.mark(scope, ["m20"], "parked", "too long")
    await store.commit(scope, Changes(failed={"m21": "busy", "m22": "busy"}))
    await store.commit(scope, Changes(failed={"m21": "no answer"}, parked={"m22": "gave up"}))
    nodes = [random_fact(random, f"f{n}") for n in range(count // 4)]
    nodes = [
        _with_vectors(
            item,
            item.node.with_(
                provenance=() if item.node.kind == "insight" else (f"m{n + 5}",),
                seq=log[f"m{n + 5}"].seq if f"m{n + 5}" in log else 0,
            ),
            random,
        )
        for n, item in enumerate(nodes)
        if f"m{n + 5}" in log
    ]
    await store.add_nodes(scope, nodes)
    for number, item in enumerate(nodes[::3]):
        node = item.node
        for change in range(random.randint(1, 4)):
            text = node.content if change % 2 else f"{node.content} again {change}"
            node = await store.update_node(
                scope,
                indexed(node.with_(content=text, superseded_by=f"f{number}")),
                version=node.version,
            )
    await store.commit(scope, Changes(reflected=tuple(item.node.id for item in nodes[::5])))
    await store.delete_nodes(scope, ["m30#0"])


def _with_vectors(item: IndexedNode, node: MemoryNode, random: Random) -> IndexedNode:
    width = EMBEDDER.spec.dimension
    pair = (vector(random, width), vector(random, width)) if random.random() < 0.9 else (None, None)
    return IndexedNode(node, item.terms, item.context_terms, *pair)


def source_and_target(folder: Path) -> tuple[SQLiteStore, SQLiteStore]:
    """Two stores of the same embedder."""
    return (
        SQLiteStore.open(folder / "source.db", embedder=EMBEDDER.spec),
        SQLiteStore.open(folder / "target.db", embedder=EMBEDDER.spec),
    )


async def same(source: MemoryStore, target: MemoryStore, scope: Scope) -> None:
    """All that the port tells of a scope is equal, but for the numbers of messages."""
    left, right = await source.messages(scope), await target.messages(scope)
    assert [(m.id, m.content, m.created_at, m.state, m.state_reason, m.attempts) for m in left] == [
        (m.id, m.content, m.created_at, m.state, m.state_reason, m.attempts) for m in right
    ]
    order = {m.seq: other.seq for m, other in zip(left, right, strict=True)}
    for reflected in (True, False, None):
        where = NodeFilter(closed=True, reflected=reflected)
        mine = (await source.list_nodes(scope, where, limit=5000)).items
        theirs = (await target.list_nodes(scope, where, limit=5000)).items
        assert [n.with_(seq=order.get(n.seq, 0)) for n in mine] == list(theirs)
        for node in mine:
            versions = await source.history(scope, node.id)
            assert [n.with_(seq=order.get(n.seq, 0)) for n in versions] == list(
                await target.history(scope, node.id)
            )
    ids = [node.id for node in mine]
    kept, arrived = await source.vectors(scope, ids), await target.vectors(scope, ids)
    assert kept.keys() == arrived.keys()
    for name, pair in kept.items():
        for one, other in zip(pair, arrived[name], strict=True):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert np.allclose(one, other, atol=1e-3)


def test_everything_arrives(tmp_path: Path) -> None:
    async def check() -> None:
        source, target = source_and_target(tmp_path)
        await fill(source, ALICE, 700)
        await fill(source, BOB, 60, seed=2)
        steps: list[tuple[int, int]] = []
        done = await migrate(source, target, progress=lambda now, all_: steps.append((now, all_)))
        held = await source.stats()
        assert (done.scopes, done.messages) == (2, held.messages)
        assert done.nodes == sum(held.nodes.values())
        assert done.added == done.messages + done.nodes
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1]
        for scope in (ALICE, BOB):
            await same(source, target, scope)
        now = await target.stats()
        assert (now.missing_vectors, now.embedder) == (held.missing_vectors, held.embedder)
        assert await target.check() == ()
        assert await target.pending() == await source.pending()
        again = await migrate(source, target)
        assert (again.added, again.sha256) == (0, done.sha256)
        await source.append(ALICE, [entry(message("later"))])
        more = await migrate(source, target)
        assert more.added == 2
        assert more.sha256 != done.sha256
        await source.close()
        await target.close()

    asyncio.run(check())


def test_what_is_found_is_found_there(tmp_path: Path) -> None:
    async def check() -> None:
        source, target = source_and_target(tmp_path)
        new = [
            NewMessage(f"m{n}", "s", "user", text, START + timedelta(minutes=n))
            for n, text in enumerate(TEXTS * 3)
        ]
        await record(source, EMBEDDER, ALICE, new)
        await migrate(source, target)
        (asked,) = await EMBEDDER.embed(["oranges in Lisbon"], "query")
        query = Query("q", tuple(lexical.analyze("oranges in Lisbon, 里斯本")), asked)
        request = SearchRequest((query,), ALL_KINDS)
        (mine,) = await source.search(ALICE, [request])
        (theirs,) = await target.search(ALICE, [request])
        assert mine.ids == theirs.ids
        for name in ("dense", "dense_context", "lexical", "lexical_context", "question", "turn"):
            assert np.allclose(getattr(mine, name), getattr(theirs, name), atol=1e-3), name
        await source.close()
        await target.close()

    asyncio.run(check())


@pytest.mark.parametrize("difference", ["state", "content", "reflected", "version"])
def test_the_digest_sees_any_difference(tmp_path: Path, difference: str) -> None:
    async def check() -> None:
        source, target = source_and_target(tmp_path)
        await fill(source, ALICE, 60)
        await migrate(source, target)
        before = await digest(source, ALICE)
        assert before == await digest(target, ALICE)
        (node,) = await target.nodes(ALICE, ["f1"])
        if difference == "state":
            await target.mark(ALICE, ["m6"], "pending")
        elif difference == "content":
            await target.update_node(
                ALICE, indexed(node.with_(content="changed")), version=node.version
            )
        elif difference == "version":
            await target.update_node(ALICE, indexed(node), version=node.version)
        else:
            await target.commit(ALICE, Changes(reflected=("f1",)))
        after = await digest(target, ALICE)
        assert after.sha256 != before.sha256
        assert (after.messages, after.nodes) == (before.messages, before.nodes)
        await source.close()
        await target.close()

    asyncio.run(check())


def test_another_vector_is_seen(tmp_path: Path) -> None:
    async def check() -> None:
        source, target = source_and_target(tmp_path)
        await fill(source, ALICE, 60)
        await migrate(source, target)
        other = vector(Random(9), EMBEDDER.spec.dimension)
        await target.set_vectors(ALICE, {"m7#0": (other, other)})
        with pytest.raises(StoreError, match=r"vectors of 1 nodes of .*alice.* differ"):
            await migrate(source, target)
        await source.close()
        await target.close()

    asyncio.run(check())


def test_a_target_with_other_content_is_told(tmp_path: Path) -> None:
    async def check() -> None:
        source, target = source_and_target(tmp_path)
        await source.append(ALICE, [entry(message("m1", "one"))])
        await target.append(BOB, [entry(message("x"))])
        await migrate(source, target)  # another user's memory is in nobody's way
        await target.append(ALICE, [entry(message("m9"))])
        with pytest.raises(StoreError, match=r"user_id='alice'.* differs: 1 messages"):
            await migrate(source, target)
        await target.forget(ALICE, everything=True)
        await target.append(ALICE, [entry(message("m1", "other"))])
        with pytest.raises(DuplicateId, match="'m1' is other content in the target"):
            await migrate(source, target)
        await source.close()
        await target.close()

    asyncio.run(check())


def test_the_embedder_goes_along(tmp_path: Path) -> None:
    async def check() -> None:
        source = SQLiteStore.open(tmp_path / "source.db", embedder=SPEC)
        bare = SQLiteStore.open(tmp_path / "bare.db", embedder=None)
        other = SQLiteStore.open(tmp_path / "other.db", embedder=OTHER_SPEC)
        for target in (bare, other):
            with pytest.raises(EmbeddingMismatch, match="sample-8"):
                await migrate(source, target)
        await bare.append(ALICE, [entry(message("m1"))])
        await bare.add_nodes(ALICE, [indexed(fact("n", kind="note"))])
        assert (await migrate(bare, other)).added == 3
        for store in (source, bare, other):
            await store.close()

    asyncio.run(check())


SCOPES = 4
CHILD = """
import asyncio, sys
from pathlib import Path
from memoryscope_rag.operations.migrate import migrate
from tests.operations.test_migrate import source_and_target

async def run():
    source, target = source_and_target(Path(sys.argv[1]))
    def tell(now, total):
        print(now, flush=True)
    await migrate(source, target, progress=tell)

asyncio.run(run())
"""


@pytest.mark.slow
def test_a_killed_run_is_resumed(tmp_path: Path) -> None:
    async def begin() -> None:
        source, target = source_and_target(tmp_path)
        for number in range(SCOPES):
            await fill(source, Scope(f"u{number}"), 120, seed=number)
        await source.close()
        await target.close()

    async def held() -> int:
        source, target = source_and_target(tmp_path)
        counts = await target.stats()
        await source.close()
        await target.close()
        return counts.messages + sum(counts.nodes.values())

    async def finish() -> None:
        source, target = source_and_target(tmp_path)
        done = await migrate(source, target)
        assert done.scopes == SCOPES
        assert done.added < done.messages + done.nodes
        for number in range(SCOPES):
            await same(source, target, Scope(f"u{number}"))
        assert await target.check() == ()
        await source.close()
        await target.close()

    asyncio.run(begin())
    random, seen = Random(3), [0]
    root = Path(__file__).resolve().parents[2]
    for _ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=root,
            text=True,
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(random.uniform(0.02, 0.2))
        child.kill()
        child.communicate()
        seen.append(asyncio.run(held()))
    assert seen == sorted(seen)
    assert seen[-1] > 0
    asyncio.run(finish())


def test_a_source_that_goes_away_stops_it(tmp_path: Path) -> None:
    async def check() -> None:
        source, target = source_and_target(tmp_path)
        await fill(source, ALICE, 60)
        await source.close()
        with pytest.raises(StoreUnavailable):
            await migrate(source, target)
        await target.close()

    asyncio.run(check())
