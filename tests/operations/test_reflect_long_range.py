"""The long-range check of reflection: fresh facts against open ones of any time (G1 to G4)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from memoryscope_rag.errors import ModelError
from memoryscope_rag.operations.record import index_fact
from memoryscope_rag.schema import MemoryNode
from tests.operations.reflecting import ANN, Thinker, World, day, world

WORK = {"employer": r"(?:works at|joined|left Google for) (\w+)"}


async def reflected_job(w: World) -> None:
    """Ann works at Google, and what else there is has nothing to do with it."""
    await w.learn("f1", "Ann works at Google in Zurich", on=1)
    for n, text in enumerate(
        ["Ben bought a lamp", "Cleo sleeps badly", "Dan is vegan", "Eva has a dog", "Finn sings"]
    ):
        await w.learn(f"g{n}", text, on=2 + n, who=None)
    await w.reflect()
    assert await w.fresh() == []


def test_g1_off_is_no_call_and_on_considers_neighbours_of_all_time(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await reflected_job(w)
            await w.learn("f2", "Ann left Google in Zurich for Apple, her employer", on=300)
            thinker.asked.clear()
            await w.reflect(long_range=False)
            assert "relations" not in thinker.asked
            await w.learn("f3", "Ann works at Google in Zurich no more, says her employer", on=301)
            thinker.prompts.clear()
            thinker.asked.clear()
            await w.reflect(long_range=True)
            assert thinker.asked[0] == "relations"
            assert '"known": "Ann works at Google in Zurich"' in thinker.prompts[0]
            # what is not near is not asked about
            assert "lamp" not in thinker.prompts[0]

    asyncio.run(check())


def test_g1_nothing_near_is_no_call(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await reflected_job(w)
            await w.learn("f2", "Her employer gave Ann a medal", on=300)
            thinker.asked.clear()
            await w.reflect(long_range=True)
            assert thinker.asked == ["insights"]

    asyncio.run(check())


def test_g1_the_number_of_pairs_is_bounded(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            for n in range(40):
                await w.learn(f"f{n:02}", f"Ann works at Google in Zurich on desk {n}", on=n)
            await w.reflect(long_range=True)
            assert thinker.asked.count("relations") == 1
            asked = thinker.prompts[thinker.asked.index("relations")]
            assert asked.count('"known"') == 20

    asyncio.run(check())


@pytest.mark.parametrize("relation", ["contained", "contradicted"])
def test_g2_what_is_contained_or_contradicted_is_closed_and_linked(
    tmp_path: Path, relation: str
) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await reflected_job(w)
            thinker.relation = relation
            await w.learn("f2", "Ann left Google for Apple in Zurich", on=300)
            report = await w.reflect(long_range=True)
            (old,) = await w.store.nodes(ANN, ["f1"])
            assert (old.valid_to, old.superseded_by) == (day(300), "f2")
            assert [n.valid_to for n in await w.store.history(ANN, "f1")] == [None, day(300)]
            assert {(a.did, a.node, a.because) for a in report.actions} >= {
                ("closed", "f1", relation)
            }
            # in the same run the insight goes over to what has taken the place of its evidence
            assert await w.insights() == ["Ann's employer: Apple"]
            assert await w.insights(as_of=day(299)) == ["Ann's employer: Google"]
            assert await w.fresh() == []
            assert (await w.reflect(long_range=True)).calls == 0

    asyncio.run(check())


def test_g2_the_one_said_later_stays_when_chats_come_late(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await reflected_job(w)
            thinker.relation = "contradicted"
            await w.learn("f0", "Ann works at Nokia in Zurich, employer", on=0)
            await w.reflect(long_range=True)
            older, newer = await w.store.nodes(ANN, ["f0", "f1"])
            assert (older.superseded_by, newer.valid_to) == ("f1", None)
            assert await w.insights() == ["Ann's employer: Google"]

    asyncio.run(check())


def test_g2_a_repetition_lends_its_messages_and_is_closed(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await reflected_job(w)
            thinker.relation = "repeated"
            await w.learn("f2", "Ann works at Google in Zurich, employer", on=300)
            note = MemoryNode("n1", "note", "Ann works at Google in Zurich, note", day(301))
            await w.store.add_nodes(ANN, [await index_fact(None, note)])
            await w.reflect(long_range=True, threshold=1)
            kept, gone, noted = await w.store.nodes(ANN, ["f1", "f2", "n1"])
            assert kept.provenance == ("m-f1", "m-f2")
            assert gone.superseded_by == "f1"
            assert noted.valid_to is None  # its author wrote it
            (insight,) = await w.nodes()
            assert insight.provenance[0] == "f1"
            assert "f2" not in insight.provenance

    asyncio.run(check())


def test_g3_compatible_facts_coexist(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker({}, [])
        async with world(tmp_path, thinker) as w:
            await w.learn("f1", "Ann likes apples very much", on=1)
            await w.learn("f2", "Ann likes pears very much", on=2)
            await w.reflect(long_range=True, threshold=1)
            assert thinker.asked == ["subjects", "relations"]
            assert all(node.valid_to is None for node in await w.store.nodes(ANN, ["f1", "f2"]))

    asyncio.run(check())


def test_g4_meta_then_apple(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")], relation="contradicted")
        async with world(tmp_path, thinker) as w:
            await w.learn("f1", "Ann works at Meta as an engineer", on=1)
            await w.learn("f2", "Ann works at Apple as an engineer", on=200)
            await w.reflect(long_range=True, threshold=1)
            assert await w.insights() == ["Ann's employer: Apple"]
            meta, apple = await w.store.nodes(ANN, ["f1", "f2"])
            assert (meta.superseded_by, apple.valid_to) == ("f2", None)

    asyncio.run(check())


@pytest.mark.parametrize("reply", ["nonsense", ModelError("the server is down")])
def test_a_failure_of_the_judge_closes_nothing(tmp_path: Path, reply: str | Exception) -> None:
    async def check() -> None:
        thinker = Thinker({}, [], failing={1: reply, 2: reply})
        async with world(tmp_path, thinker) as w:
            await w.learn("f1", "Ann likes apples very much", on=1)
            await w.learn("f2", "Ann likes pears very much", on=2)
            report = await w.reflect(long_range=True, threshold=1)
            assert (len(report.failures), report.again) == (1, True)
            assert all(node.valid_to is None for node in await w.store.nodes(ANN, ["f1", "f2"]))

    asyncio.run(check())
