"""The store contract: the message log, leases, isolation, hostile input, administration."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from random import Random

import numpy as np
import pytest

from memoryscope_rag.errors import InvalidInput, StoreUnavailable, UnknownId
from memoryscope_rag.ports import IndexedNode, LogEntry, MemoryStore
from memoryscope_rag.schema import NewMessage, Scope
from memoryscope_rag.testing.contract_base import ContractBase
from memoryscope_rag.testing.samples import (
    ALICE,
    BOB,
    SPEC,
    START,
    entry,
    message,
    random_entries,
    vector,
)

CONTENTS = {
    "empty": "",
    "one megabyte": "memory " * 150_000,
    "NUL characters": "a\0b\0\0c\0",
    "right to left": "שלום \u202eevil\u202c مرحبا",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 \U0001f600",
    "combining": "e\u0301 \u1e9b\u0323 not normalised",
    "line ends": "a\r\nb\rc\n\u2028d",
    "quotes": "'; DROP TABLE messages; -- \"%_\\",
    "private and last": "\ue000\U0010ffff\ufffe\ufeff",
}
TIMES = (
    datetime(1, 1, 1, 0, 0, tzinfo=timezone(timedelta(hours=14))),
    datetime(1812, 6, 24, 1, 2, 3, 456789, tzinfo=timezone(timedelta(hours=-5, minutes=-37))),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    datetime(2150, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=-12))),
)


async def statuses(store: MemoryStore, *entries: LogEntry) -> list[str]:
    """Append to Alice's log; what became of each message."""
    return [outcome.status for outcome in await store.append(ALICE, entries)]


class LogContract(ContractBase):
    """Appending and reading messages."""

    def test_append_gives_seq_and_reads_back(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                new = [message(f"m{n}", f"text {n}", minute=n) for n in range(5)]
                done = await store.append(ALICE, [entry(m, Random(1)) for m in new])
                assert [r.status for r in done] == ["stored"] * 5
                seqs = [r.message.seq for r in done]
                assert seqs == sorted(set(seqs))
                assert seqs[0] > 0
                read = await store.messages(ALICE)
                assert read == tuple(r.message for r in done)
                assert all(m.state == "pending" and m.scope == ALICE for m in read)
                nodes = await store.nodes(ALICE, [f"m{n}#0" for n in range(5)])
                assert [n.seq for n in nodes] == seqs
                assert await store.messages(ALICE, after=seqs[1], limit=2) == read[2:4]
                assert await store.last_messages(ALICE, 2) == read[3:]
                assert await store.last_messages(ALICE, 0) == ()
                assert await store.get_messages(ALICE, ["m3", "no", "m0"]) == (read[3], read[0])
                assert await store.append(ALICE, []) == ()

        self.run(check())

    def test_append_is_durable(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.append(ALICE, [entry(message("m1"), Random(1))])
                before = await store.messages(ALICE)
            async with self.store() as store:
                assert await store.messages(ALICE) == before
                assert len((await store.list_nodes(ALICE)).items) == 1

        self.run(check())

    def test_append_is_idempotent_by_id(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                one = message("m1", "first")
                assert await statuses(store, entry(one)) == ["stored"]
                generation = await store.generation(ALICE)
                assert await statuses(store, entry(one)) == ["known"]
                assert await statuses(store, LogEntry(one, ())) == ["known"]
                assert await store.generation(ALICE) == generation
                changed = [
                    NewMessage("m1", one.session_id, "user", "other", one.created_at, "Ann"),
                    NewMessage("m1", "s2", "user", "first", one.created_at, "Ann"),
                    NewMessage("m1", "s1", "assistant", "first", one.created_at, "Ann"),
                    NewMessage("m1", "s1", "user", "first", START + timedelta(seconds=1), "Ann"),
                    NewMessage("m1", "s1", "user", "first", one.created_at, None),
                    NewMessage("m1", "s1", "user", "first", one.created_at, "Ann", {"a": 1}),
                ]
                for other in changed:
                    done = await store.append(ALICE, [entry(other), entry(message("m1", "first"))])
                    assert [r.status for r in done] == ["refused", "known"]
                    assert done[0].message.content == "first"
                assert await statuses(
                    store,
                    entry(message("m2", "a")),
                    entry(message("m1", "clash")),
                    entry(message("m2", "a")),
                    entry(message("m2", "b")),
                    entry(message("m3", "c")),
                ) == ["stored", "refused", "known", "refused", "stored"]
                assert [m.id for m in await store.messages(ALICE)] == ["m1", "m2", "m3"]
                assert len((await store.list_nodes(ALICE)).items) == 3

        self.run(check())

    def test_same_moment_in_another_zone_is_known(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                one = message("m1")
                moved = NewMessage(
                    "m1", "s1", "user", "hello",
                    START.astimezone(timezone(timedelta(hours=9))), "Ann",
                )  # fmt: skip
                assert await statuses(store, entry(one), entry(moved)) == ["stored", "known"]

        self.run(check())

    @pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
    def test_content_comes_back_letter_for_letter(self, content: str) -> None:
        async def check() -> None:
            async with self.store() as store:
                new = NewMessage(
                    "id 'ü' 🎈", "s %_", "tool", content, START, "Zoë \u202e",
                    {"text": "x" + content[:1000], "n": 1, "f": 0.1, "b": True, "none": None},
                )  # fmt: skip
                (done,) = await store.append(ALICE, [entry(new)])
                (read,) = await store.messages(ALICE)
                assert done.message == read
                for name in ("id", "session_id", "role", "content", "created_at", "speaker"):
                    assert getattr(read, name) == getattr(new, name)
                assert dict(read.metadata) == dict(new.metadata)
                assert isinstance(read.metadata["b"], bool)
                (node,) = (await store.list_nodes(ALICE)).items
                assert node.content == content
                assert await statuses(store, entry(new)) == ["known"]

        self.run(check())

    def test_times_come_back_with_their_zone(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                entries = [
                    entry(NewMessage(f"m{n}", "s", "user", "x", at)) for n, at in enumerate(TIMES)
                ]
                await store.append(ALICE, entries)
                read = await store.messages(ALICE)
                assert [m.created_at for m in read] == list(TIMES)
                assert [m.created_at.utcoffset() for m in read] == [t.utcoffset() for t in TIMES]
                listed = (await store.list_nodes(ALICE)).items
                assert [n.said_at for n in listed] == sorted(TIMES)

        self.run(check())

    @pytest.mark.parametrize(
        "bad",
        [
            np.full(8, np.nan),
            np.array([np.inf] + [0.0] * 7),
            np.zeros(8),
            np.ones(9),
            np.ones(0),
            np.ones((1, 8)),
        ],
        ids=["NaN", "infinity", "all zero", "too long", "empty", "two-dimensional"],
    )
    def test_bad_vectors_are_refused(self, bad: np.ndarray) -> None:
        async def check() -> None:
            async with self.store() as store:
                good = vector(Random(1))
                (node,) = entry(message("m1")).nodes
                for pair in ((bad, good), (good, bad)):
                    wrong = IndexedNode(node.node, node.terms, (), *pair)
                    with pytest.raises(InvalidInput, match="vector"):
                        await store.append(ALICE, [LogEntry(message("m1"), (wrong,))])
                assert await store.messages(ALICE) == ()
                await store.append(ALICE, [entry(message("m1"))])
                with pytest.raises(InvalidInput, match="vector"):
                    await store.set_vectors(ALICE, {"m1#0": (bad, good)})

        self.run(check())

    def test_lone_surrogates_never_arrive(self) -> None:
        with pytest.raises(InvalidInput, match="content"):
            message("m1", "broken \ud800 text")

    def test_states(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.append(ALICE, [entry(message(f"m{n}")) for n in range(4)])
                await store.mark(ALICE, ["m0", "m2"], "consolidated")
                await store.mark(ALICE, ["m1"], "parked", "model says no")
                pending = await store.messages(ALICE, state="pending")
                assert [m.id for m in pending] == ["m3"]
                done = await store.messages(ALICE, state="consolidated")
                assert [m.id for m in done] == ["m0", "m2"]
                (parked,) = await store.messages(ALICE, state="parked")
                assert parked.state_reason == "model says no"
                with pytest.raises(UnknownId):
                    await store.mark(ALICE, ["m3", "nobody"], "consolidated")
                assert len(await store.messages(ALICE, state="pending")) == 1
                await store.mark(ALICE, ["m1"], "pending")
                (again, _) = await store.messages(ALICE, state="pending")
                assert again.state_reason is None
                assert (await store.stats(ALICE)).pending == 2

        self.run(check())

    def test_sessions_and_around(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                news = [message(f"m{n}", session=f"s{n % 2}", minute=n) for n in range(10)]
                await store.append(ALICE, [entry(m) for m in news])
                log = await store.messages(ALICE)
                even = [m for m in log if m.session_id == "s0"]
                assert list(await store.messages(ALICE, session_id="s0")) == even
                last = await store.last_messages(ALICE, 2, session_id="s0")
                assert list(last) == even[-2:]
                seqs = [even[0].seq, even[2].seq, 10_000]
                around = await store.around(ALICE, seqs, 2, 1)
                assert set(around) == set(seqs[:2])
                assert around[seqs[0]] == ((), (even[1],))
                assert around[seqs[1]] == ((even[0], even[1]), (even[3],))

        self.run(check())

    def test_count(self) -> None:
        async def check() -> None:
            async with self.store() as store, self.store() as second:
                assert await store.count(ALICE, 10**9) == 0
                random = Random(4)
                await store.append(BOB, random_entries(random, 3))
                for number in range(3):
                    await store.append(ALICE, random_entries(random, 4, f"r{number}-"))
                    # what was appended is counted at once, also by who did not append it
                    assert await second.count(ALICE, 10**9) == 4 * (number + 1)
                log = await store.messages(ALICE)
                for place, held in enumerate(log):
                    assert await store.count(ALICE, held.seq) == place + 1
                    assert await store.count(ALICE, held.seq - 1) == place
                await store.forget(ALICE, message_ids=[log[0].id, log[5].id])
                await store.append(ALICE, random_entries(random, 2, "late-"))
                await store.mark(ALICE, [log[1].id], "parked", "why")
                assert await store.count(ALICE, log[5].seq) == 4
                assert await store.count(ALICE, log[-1].seq) == 10
                assert await store.count(ALICE, 10**9) == 12
                assert await store.count(ALICE, 0) == await store.count(ALICE, -5) == 0
                assert await store.count(BOB, 10**9) == 3
                await store.forget(ALICE, everything=True)
                assert await second.count(ALICE, 10**9) == 0

        self.run(check())

    def test_limits_are_checked(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                with pytest.raises(InvalidInput, match="limit"):
                    await store.messages(ALICE, limit=0)
                with pytest.raises(InvalidInput, match="limit"):
                    await store.list_nodes(ALICE, limit=0)
                with pytest.raises(InvalidInput, match="cursor"):
                    await store.list_nodes(ALICE, cursor="made up")

        self.run(check())

    def test_scopes_do_not_meet(self) -> None:
        async def check() -> None:
            random = Random(7)
            scopes = [Scope(u, a, t) for u in ("u", "v") for a in ("a", "b") for t in ("t", "w")]
            async with self.store() as store:
                for scope in scopes:
                    await store.append(scope, random_entries(random, 5))
                for scope in scopes:
                    log = await store.messages(scope)
                    assert len(log) == 5
                    assert {m.scope for m in log} == {scope}
                await store.forget(scopes[0], everything=True)
                await store.mark(scopes[1], ["m0"], "consolidated")
                await store.delete_nodes(scopes[2], ["m0#0"])
                assert await store.messages(scopes[0]) == ()
                for scope in scopes[3:]:
                    assert len(await store.messages(scope, state="pending")) == 5
                    assert await store.nodes(scope, ["m0#0"])
                assert sorted(await store.scopes()) == sorted(scopes[1:])
                nobody = Scope("nobody")
                assert await store.messages(nobody) == ()
                assert await store.get_messages(nobody, ["m0"]) == ()
                assert await store.nodes(nobody, ["m0#0"]) == ()
                assert await store.around(nobody, [1], 1, 1) == {}
                assert (await store.list_nodes(nobody)).items == ()
                assert await store.delete_nodes(nobody, ["m0#0"]) == ()
                assert nobody not in await store.scopes()

        self.run(check())

    def test_generation_rises_with_every_write(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                seen = [await store.generation(ALICE)]
                other = await store.generation(BOB)
                for number in range(3):
                    await store.append(ALICE, [entry(message(f"m{number}"))])
                    seen.append(await store.generation(ALICE))
                await store.mark(ALICE, ["m0"], "consolidated")
                seen.append(await store.generation(ALICE))
                await store.delete_nodes(ALICE, ["m0#0"])
                seen.append(await store.generation(ALICE))
                await store.forget(ALICE, message_ids=["m1"])
                seen.append(await store.generation(ALICE))
                assert await store.generation(BOB) == other
                await store.forget(ALICE, everything=True)
                seen.append(await store.generation(ALICE))
                await store.append(ALICE, [entry(message("m9"))])
                seen.append(await store.generation(ALICE))
                assert seen == sorted(set(seen))

        self.run(check())

    def test_leases(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                first = await store.acquire(ALICE, "consolidate", "one", 30)
                assert first is not None
                assert await store.acquire(ALICE, "consolidate", "two", 30) is None
                assert await store.acquire(BOB, "consolidate", "two", 30) is not None
                assert await store.acquire(ALICE, "reflect", "two", 30) is not None
                renewed = await store.acquire(ALICE, "consolidate", "one", 60)
                assert renewed is not None
                assert renewed.token == first.token
                assert renewed.expires_at > first.expires_at
                await store.release(renewed)
                short = await store.acquire(ALICE, "consolidate", "two", 0.05)
                assert short is not None
                assert short.token > first.token
                await asyncio.sleep(0.1)
                taken = await store.acquire(ALICE, "consolidate", "one", 30)
                assert taken is not None
                assert taken.token > short.token
                await store.release(short)
                assert await store.acquire(ALICE, "consolidate", "two", 30) is None
                with pytest.raises(InvalidInput):
                    await store.acquire(ALICE, "consolidate", "two", 0)

        self.run(check())

    def test_concurrent_tasks_lose_and_double_nothing(self) -> None:
        async def check() -> None:
            async with self.store() as store:

                async def write(task: int) -> None:
                    for number in range(10):
                        await store.append(ALICE, [entry(message(f"t{task}-{number}"), Random(1))])
                        await store.append(ALICE, [entry(message(f"shared{number}"), Random(1))])

                await asyncio.gather(*[write(task) for task in range(8)])
                log = await store.messages(ALICE)
                assert len(log) == 90
                assert len({m.id for m in log}) == len({m.seq for m in log}) == 90
                assert await store.check() == ()

        self.run(check())

    def test_stats_and_check(self) -> None:
        async def check() -> None:
            async with self.store() as store:
                await store.append(ALICE, [entry(message("m1"), Random(1)), entry(message("m2"))])
                await store.append(BOB, [entry(message("m1"), Random(1))])
                mine, whole = await store.stats(ALICE), await store.stats()
                assert (mine.scopes, mine.messages, mine.pending) == (1, 2, 2)
                assert mine.nodes["conversation"] == 2
                assert mine.missing_vectors == 1
                assert (whole.scopes, whole.messages) == (2, 3)
                assert whole.bytes > 0
                assert whole.embedder == SPEC
                assert await store.check() == ()

        self.run(check())

    def test_close_is_idempotent_and_final(self) -> None:
        async def check() -> None:
            store = await self.open_store(SPEC)
            writes = [store.append(ALICE, [entry(message(f"m{n}"))]) for n in range(5)]
            tasks = [asyncio.ensure_future(write) for write in writes]
            await asyncio.sleep(0)
            await store.close()
            await store.close()
            await asyncio.gather(*tasks)
            with pytest.raises(StoreUnavailable, match="closed"):
                await store.messages(ALICE)
            async with self.store() as again:
                assert len(await again.messages(ALICE)) == 5

        self.run(check())
