"""What becomes of facts and verdicts: merged, closed, newest said wins, whatever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import permutations
from pathlib import Path

import pytest

from memoryscope_rag.operations.record import index_fact
from memoryscope_rag.schema import MemoryNode, Message
from memoryscope_rag.workers.backend.facts import fact_id, observation_of
from memoryscope_rag.workers.backend.state import ConsolidationState, Fact, Relation, Verdict
from memoryscope_rag.workers.backend.store_observations import StoreObservations
from tests.operations.consolidating import ANN, NOON, Memory, memory


def make(content: str, day: int, source: str = "m0", **more: object) -> Fact:
    """A fact that was said on a day after :data:`NOON`."""
    return Fact(
        id=fact_id((source,), content),
        content=content,
        sources=(source,),
        said_at=NOON + timedelta(days=day),
        session_id="s1",
        seq=day,
        **more,  # type: ignore[arg-type]
    )


async def store(
    m: Memory, facts: Sequence[Fact], verdicts: Sequence[Verdict] = ()
) -> ConsolidationState:
    """Run the worker and commit what it gives."""
    messages: tuple[Message, ...] = await m.store.get_messages(ANN, ["m0", "m1", "m2"])
    neighbours: dict[str, tuple[MemoryNode, ...]] = {}
    state = ConsolidationState(
        scope=ANN, now=NOON, messages=messages, facts=tuple(facts),
        neighbours=neighbours, verdicts=tuple(verdicts),
    )  # fmt: skip
    done = await StoreObservations(m.services).run(state)
    assert done.changes is not None
    assert done.changes.consolidated == tuple(message.id for message in messages)
    await m.store.commit(ANN, done.changes)
    return done


def test_a_fact_said_later_closes_the_one_said_before_in_either_order(tmp_path: Path) -> None:
    """Meta, then Apple: consolidated in this order, the other way round, or at once."""

    async def check(order: Sequence[Sequence[int]], folder: Path) -> None:
        folder.mkdir()
        async with memory(folder) as m:
            await m.say("a", "b", "c")
            facts = [make("Ann works at Meta.", 1, "m0"), make("Ann works at Apple.", 5, "m1")]
            for batch in order:
                given = [facts[place] for place in batch]
                known = {node.id for node in await m.known()} | {fact.id for fact in given[:-1]}
                verdicts = [
                    Verdict(given[-1].id, older, "contradicted")
                    for older in known
                    if older != given[-1].id
                ]
                await store(m, given, verdicts)
            meta, apple = await m.known(closed=True)
            assert (meta.content, apple.content) == ("Ann works at Meta.", "Ann works at Apple.")
            assert (meta.valid_to, meta.superseded_by) == (apple.said_at, apple.id)
            assert (apple.valid_to, apple.superseded_by) == (None, None)
            assert meta.valid_at(NOON + timedelta(days=3))
            assert not apple.valid_at(NOON + timedelta(days=3))

    for number, order in enumerate(([[0], [1]], [[1], [0]], [[0, 1]], [[1, 0]])):
        asyncio.run(check(order, tmp_path / str(number)))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_chain_in_one_batch_ends_with_the_last_said(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            await m.say("a", "b", "c")
            chain = [make(f"Ann lives in {city}.", day, f"m{day}")
                     for day, city in enumerate(("Rome", "Oslo", "Bonn"))]  # fmt: skip
            verdicts = [
                Verdict(chain[newer].id, chain[older].id, "contradicted")
                for newer in range(3)
                for older in range(newer)
            ]
            await store(m, [chain[place] for place in order], verdicts)
            rome, oslo, bonn = await m.known(closed=True)
            assert (rome.superseded_by, rome.valid_to) == (oslo.id, oslo.said_at)
            assert (oslo.superseded_by, oslo.valid_to) == (bonn.id, bonn.said_at)
            assert bonn.valid_to is None

    asyncio.run(check())


def test_said_again_after_it_had_changed_is_a_fact_of_its_own(tmp_path: Path) -> None:
    """Rome, Oslo, Rome again, in one batch: the last one must not vanish into the closed one."""

    async def check() -> None:
        async with memory(tmp_path) as m:
            await m.say("a", "b", "c")
            rome, oslo, again = (
                make("Ann lives in Rome.", 0, "m0"),
                make("Ann lives in Oslo.", 1, "m1"),
                make("Ann lives in Rome again.", 2, "m2"),
            )
            verdicts = [
                Verdict(oslo.id, rome.id, "contradicted"),
                Verdict(again.id, rome.id, "repeated"),
                Verdict(again.id, oslo.id, "contradicted"),
            ]
            await store(m, [rome, oslo, again], verdicts)
            assert await m.contents() == ["Ann lives in Rome again."]
            assert len(await m.known(closed=True)) == 3

    asyncio.run(check())


@pytest.mark.parametrize(
    ("relation", "open_", "closed"),
    [
        ("repeated", ["Tom has a dog."], []),
        ("contained", ["Tom has a dog called Rex."], ["Tom has a dog."]),
        ("contradicted", ["Tom has a dog called Rex."], ["Tom has a dog."]),
        ("compatible", ["Tom has a dog.", "Tom has a dog called Rex."], []),
    ],
)
def test_what_each_relation_does(
    tmp_path: Path, relation: Relation, open_: list[str], closed: list[str]
) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            await m.say("a", "b", "c")
            old = make("Tom has a dog.", 0, "m0")
            await store(m, [old])
            new = make("Tom has a dog called Rex.", 1, "m1")
            done = await store(m, [new], [Verdict(new.id, old.id, relation)])
            assert await m.contents() == open_
            assert sorted(set(await m.contents(closed=True)) - set(open_)) == closed
            (first, *_) = await m.known(closed=True)
            if relation == "repeated":
                assert (first.provenance, first.version) == (("m0", "m1"), 2)
                assert first.said_at == old.said_at
                assert [action.did for action in done.actions] == ["merged"]
            else:
                assert first.provenance == ("m0",)
            if closed:
                assert done.actions[-1].did == "closed"
                assert done.actions[-1].because == relation

    asyncio.run(check())


def test_verdicts_about_a_fact_that_was_merged_go_to_where_it_went(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            await m.say("a", "b", "c")
            one, two, three = (make(f"fact {n}", n, f"m{n}") for n in range(3))
            verdicts = [
                Verdict(two.id, one.id, "repeated"),
                Verdict(three.id, two.id, "contradicted"),
            ]
            await store(m, [one, two, three], verdicts)
            first, last = await m.known(closed=True)
            assert (first.provenance, first.superseded_by) == (("m0", "m1"), last.id)
            assert first.version == 1

    asyncio.run(check())


def test_a_note_that_is_repeated_stays_as_it_is_and_can_be_closed(tmp_path: Path) -> None:
    """Were it to rest on messages, it would be forgotten with them."""

    async def check() -> None:
        async with memory(tmp_path) as m:
            await m.say("a", "b", "c")
            note = MemoryNode("note", "note", "Ann drinks tea.", NOON)
            await m.store.add_nodes(ANN, [await index_fact(m.services.embedder, note)])
            same = make("Ann likes to drink tea.", 1)
            await store(m, [same], [Verdict(same.id, "note", "repeated")])
            (known,) = await m.known()
            assert (known.id, known.provenance, known.version) == ("note", (), 1)
            other = make("Ann drinks no tea any more.", 2)
            await store(m, [other], [Verdict(other.id, "note", "contradicted")])
            note, _ = await m.known(closed=True)
            assert (note.superseded_by, note.valid_to) == (other.id, other.said_at)

    asyncio.run(check())


def test_a_verdict_about_something_deleted_is_passed_over(tmp_path: Path) -> None:
    async def check() -> None:
        async with memory(tmp_path) as m:
            await m.say("a", "b", "c")
            new = make("Ann sings.", 1)
            await store(m, [new], [Verdict(new.id, "gone", "repeated")])
            assert await m.contents() == ["Ann sings."]
            # the same once more, as after a crash before the report was read
            done = await store(m, [new], [Verdict(new.id, "gone", "repeated")])
            assert (done.changes and done.changes.add, done.actions) == ((), ())

    asyncio.run(check())


def test_the_node_of_a_fact_keeps_what_is_known_of_it() -> None:
    fact = make(
        "Ann works at Apple.", 1, keywords=("Apple",), subject="Ann", attribute="employer",
        value="Apple", score=3, origin={"worker": "w", "prompt": "p", "model": "m"},
    )  # fmt: skip
    node = observation_of(fact)
    assert node.valid_from == node.said_at == fact.said_at
    assert dict(node.metadata) == {
        "score": 3, "keywords": "Apple", "subject": "Ann", "attribute": "employer",
        "value": "Apple", "worker": "w", "prompt": "p", "model": "m",
    }  # fmt: skip
    huge = "😀" * 5000  # twelve bytes each in JSON
    observation_of(make("x", 1, keywords=(huge,), subject=huge, attribute=huge, value=huge))
    assert fact_id(("a", "b"), "c") != fact_id(("a",), "b\0c"[1:]) != fact_id(("a",), "c")
