"""What a crash, a lost answer or another writer leaves, and how doing it again sets it right."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from memoryscope_rag.configs.model import ElasticsearchConfig
from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.ports import Changes
from memoryscope_rag.stores.elasticsearch.cluster import Cluster, Write
from memoryscope_rag.stores.elasticsearch.documents import message_ref, node_ref, scope_key
from memoryscope_rag.stores.elasticsearch.store import ElasticsearchStore
from memoryscope_rag.testing.samples import ALICE, entry, fact, indexed, message
from tests.stores.elasticsearch.writing import opening


class Crash(Exception):
    """The process ends here."""


async def crash_after(store: ElasticsearchStore, requests: int, call: Any) -> bool:
    """Whether ``call`` got so far as to send more than so many bulk requests, and ended there."""
    client = store._cluster.client
    send, left = client.bulk, requests

    async def bulk(**options: Any) -> Any:
        nonlocal left
        if not left:
            raise Crash
        left -= 1
        return await send(**options)

    client.bulk = bulk  # type: ignore[method-assign]
    try:
        await call
    except Crash:
        return True
    finally:
        client.bulk = send  # type: ignore[method-assign]
    return False


def test_an_append_that_crashed_anywhere_is_healed_by_repeating_it(
    config: ElasticsearchConfig,
) -> None:
    async def check() -> None:
        crashes = 0
        for step in range(6):
            name = f"m{step}"
            new = entry(message(name, "ask now"), Random(step), pieces=2)
            async with opening(config) as store:
                crashed = await crash_after(store, step, store.append(ALICE, [new]))
                if crashed and step == 2:  # as if it had happened in the middle of the request
                    piece = node_ref(scope_key(ALICE), f"{name}#1")
                    await store._cluster.bulk([Write("delete", piece)])
            crashes += crashed
            async with opening(config) as store:
                (done,) = await store.append(ALICE, [new])
                assert done.status == ("stored" if crashed and step < 2 else "known")
                pieces = await store.nodes(ALICE, [f"{name}#0", f"{name}#1"])
                assert [node.seq for node in pieces] == [done.message.seq] * 2
                assert [m.id for m in await store.messages(ALICE)] == [
                    f"m{n}" for n in range(step + 1)
                ]
        assert crashes == 3  # numbers, messages with nodes, the end
        async with opening(config) as store:
            assert await store.check() == ()

    asyncio.run(check())


def test_nodes_whose_message_a_crash_kept_back_are_taken_over(
    config: ElasticsearchConfig,
) -> None:
    async def check() -> None:
        new = entry(message("m", "ask now"), Random(1), pieces=2)
        async with opening(config) as store:
            assert await crash_after(store, 2, store.append(ALICE, [new]))
            # as if the nodes' shard had been faster than the messages'
            await store._cluster.bulk([Write("delete", message_ref(scope_key(ALICE), "m"))])
            (done,) = await store.append(ALICE, [new])
            assert done.status == "stored"
            pieces = await store.nodes(ALICE, ["m#0", "m#1"])
            assert [node.seq for node in pieces] == [done.message.seq] * 2
            assert await store.check() == ()

    asyncio.run(check())


def test_two_writers_of_one_id(config: ElasticsearchConfig) -> None:
    async def check() -> None:
        async with opening(config) as one, opening(config) as two:
            for number in range(10):
                name = f"m{number}"
                same = number % 2 == 0
                news = [
                    entry(message(name, "tea" if same else f"tea {n}"), Random(1)) for n in (1, 2)
                ]
                (first,), (second,) = await asyncio.gather(
                    one.append(ALICE, [news[0]]), two.append(ALICE, [news[1]])
                )
                statuses = sorted([first.status, second.status])
                assert statuses == (["known", "stored"] if same else ["refused", "stored"])
                winner = first if first.status == "stored" else second
                assert first.message == second.message == winner.message
                (node,) = await one.nodes(ALICE, [f"{name}#0"])
                assert node.content == winner.message.content
                assert node.seq == winner.message.seq
            assert await one.check() == ()

    asyncio.run(check())


def test_what_was_deleted_is_not_healed(config: ElasticsearchConfig) -> None:
    async def check() -> None:
        async with opening(config) as store:
            new = entry(message("m", "text"), Random(1))
            await store.append(ALICE, [new])
            await store.delete_nodes(ALICE, ["m#0"])
            (done,) = await store.append(ALICE, [new])
            assert done.status == "known"
            assert await store.nodes(ALICE, ["m#0"]) == ()

    asyncio.run(check())


def test_a_lost_answer_is_no_conflict(config: ElasticsearchConfig) -> None:
    async def check() -> None:
        random = Random(1)
        async with opening(config) as store:
            client = store._cluster.client
            send = client.bulk

            async def bulk(**options: Any) -> Any:
                if random.random() < 0.5:
                    await send(**options)  # carried out, but the answer never came
                return await send(**options)

            client.bulk = bulk  # type: ignore[method-assign]
            for number in range(8):
                new = entry(message(f"m{number}", "likes tea"), Random(number))
                (done,) = await store.append(ALICE, [new])
                assert done.status == "stored"
                name = f"f{number}"
                await store.add_nodes(ALICE, [indexed(fact(name, sources=["m0"]))])
                changed = fact(name, "likes coffee", sources=["m0"])
                assert (await store.update_node(ALICE, indexed(changed), version=1)).version == 2
                lease = await store.acquire(ALICE, f"work {number}", "me", 30)
                assert lease is not None
                await store.commit(ALICE, Changes(consolidated=(f"m{number}",)), lease)
            client.bulk = send  # type: ignore[method-assign]
            log = await store.messages(ALICE, state="consolidated")
            assert [m.id for m in log] == [f"m{n}" for n in range(8)]
            assert len({m.seq for m in log}) == 8
            assert len(await store.history(ALICE, "f0")) == 2
            assert await store.check() == ()

    asyncio.run(check())


def test_changes_are_taken_back_when_another_was_first(config: ElasticsearchConfig) -> None:
    async def check() -> None:
        async with opening(config) as store, opening(config) as other:
            await store.append(ALICE, [entry(message("m0"))])
            await store.add_nodes(ALICE, [indexed(fact(name), Random(1)) for name in "ab"])
            client = store._cluster.client
            send, late = client.bulk, True

            async def bulk(**options: Any) -> Any:
                nonlocal late
                if late:  # between our reading and our writing
                    late = False
                    await other.update_node(ALICE, indexed(fact("b", "theirs")), version=1)
                return await send(**options)

            client.bulk = bulk  # type: ignore[method-assign]
            changes = Changes(
                add=(indexed(fact("new")),),
                update=tuple((indexed(fact(name, "ours")), 1) for name in "ab"),
                consolidated=("m0",),
            )
            with pytest.raises(StoreUnavailable) as refused:
                await store.commit(ALICE, changes)
            assert refused.value.retryable
            found = await store.nodes(ALICE, ["a", "b", "new"])
            assert [(node.content, node.version) for node in found] == [
                ("likes tea", 1),
                ("theirs", 2),
            ]
            assert set(await store.vectors(ALICE, ["a"])) == {"a"}
            assert len(await store.history(ALICE, "a")) == 1
            assert await store.pending() == {ALICE: 1}
            assert await store.check() == ()

    asyncio.run(check())


def test_a_fact_whose_message_is_forgotten_while_it_is_written(
    config: ElasticsearchConfig,
) -> None:
    async def check() -> None:
        async with opening(config) as store, opening(config) as other:
            await store.append(ALICE, [entry(message("m0")), entry(message("m1"))])
            client = store._cluster.client
            send, late = client.bulk, True

            async def bulk(**options: Any) -> Any:
                nonlocal late
                if late:
                    late = False
                    await other.forget(ALICE, message_ids=["m0"])
                return await send(**options)

            client.bulk = bulk  # type: ignore[method-assign]
            changes = Changes(add=(indexed(fact("f", sources=["m0"])),), consolidated=("m1",))
            with pytest.raises(ValueError, match="no message 'm0'"):
                await store.commit(ALICE, changes)
            assert await store.nodes(ALICE, ["f"]) == ()
            assert await store.pending() == {ALICE: 1}
            assert await store.check() == ()

    asyncio.run(check())


def test_check_tells_what_is_wrong(config: ElasticsearchConfig) -> None:
    async def check() -> None:
        async with opening(config) as store:
            await store.append(ALICE, [entry(message(f"m{n}"), Random(n)) for n in range(3)])
            await store.add_nodes(ALICE, [indexed(fact("f"))])
            await store.update_node(ALICE, indexed(fact("f", "new")), version=1)
            assert await store.check() == ()
            cluster: Cluster = store._cluster
            key = scope_key(ALICE)
            await cluster.bulk([Write("delete", message_ref(key, "m1"))])
            (held,) = await cluster.get([node_ref(key, "f")])
            assert held is not None
            await cluster.bulk([Write("index", held.ref, held.source | {"version": 5})])
            problems = " ".join(await store.check())
            assert "1 sources of nodes are messages that are not there" in problems
            assert "3 nodes lack a version in their history" in problems

    asyncio.run(check())
