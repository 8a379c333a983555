"""Reflection without a chat model: attributes that facts name, and topics that they share."""

from __future__ import annotations

import asyncio
from pathlib import Path

from memoryscope_rag.operations.consolidate import build_consolidate, consolidate
from tests.operations.reflecting import ANN, World, day, world


async def named(
    w: World, name: str, content: str, attribute: str, value: str, *, on: int, who: str = "Ann"
) -> None:
    """A fact that names its attribute."""
    await w.learn(name, content, on=on, who=who, subject=who, attribute=attribute, value=value)


def test_a_single_value_is_the_newest_one(tmp_path: Path) -> None:
    async def check() -> None:
        async with world(tmp_path) as w:
            await named(w, "f1", "I work at Google", "employer", "Google", on=1)
            await named(w, "f2", "I am still at Google", "employer", "google", on=2)
            report = await w.reflect(threshold=2)
            assert await w.insights() == ["Ann's employer: google"]
            assert (report.proposed, report.calls, report.left) == (("Ann: employer",), 0, 0)
            (old,) = await w.nodes()
            assert old.provenance == ("f1", "f2")
            assert old.metadata["worker"] == "update_insights_by_rules"
            await named(w, "f3", "I started at Apple", "employer", "Apple", on=100)
            await w.reflect()
            assert await w.insights() == ["Ann's employer: Apple"]
            assert await w.insights(as_of=day(99)) == ["Ann's employer: google"]
            assert (await w.store.history(ANN, old.id))[-1].valid_to == day(100)

    asyncio.run(check())


def test_a_single_value_in_chinese(tmp_path: Path) -> None:
    async def check() -> None:
        async with world(tmp_path) as w:
            await named(w, "f1", "我住在上海", "住处", "上海", on=1, who="小伟")
            await w.reflect(threshold=1)
            assert await w.insights() == ["小伟的住处：上海"]
            await named(w, "f2", "我搬到了北京", "住处", "北京", on=50, who="小伟")
            await w.reflect()
            assert await w.insights() == ["小伟的住处：北京"]
            assert await w.insights(as_of=day(49)) == ["小伟的住处：上海"]

    asyncio.run(check())


def test_several_values_are_a_list_with_the_newest_last(tmp_path: Path) -> None:
    async def check() -> None:
        async with world(tmp_path) as w:
            await named(w, "f1", "I play chess", "hobby", "chess", on=1)
            await named(w, "f2", "I play golf", "hobby", "golf", on=2)
            await named(w, "f3", "I play Chess", "hobby", "Chess", on=3)
            await w.reflect(threshold=1)
            assert await w.insights() == ["Ann's hobby: golf; Chess"]
            (node,) = await w.nodes()
            assert node.provenance == ("f1", "f2", "f3")
            await named(w, "f4", "I play the harp", "hobby", "harp", on=4)
            await w.reflect()
            assert await w.insights() == ["Ann's hobby: golf; Chess; harp"]
            assert await w.insights(as_of=day(3)) == ["Ann's hobby: golf; Chess"]
            await w.close("f2", on=90)
            await w.reflect()
            assert await w.insights() == ["Ann's hobby: Chess; harp"]

    asyncio.run(check())


def test_a_topic_leads_to_all_messages_that_share_it(tmp_path: Path) -> None:
    async def check() -> None:
        async with world(tmp_path) as w:
            for n, text in enumerate(["a bowl", "a vase", "a class", "a mug"]):
                keywords = f"potteries, {text[2:]}" if n else f"pottery, {text[2:]}"
                await w.learn(f"p{n}", f"I made {text} at pottery", on=10 * n, keywords=keywords)
            for n in range(20):
                await w.learn(f"f{n}", f"Thing {n}", on=n, keywords=f"thing{n}")
            report = await w.reflect()
            assert report.proposed == ("Ann: pottery",)
            (node,) = await w.nodes()
            assert node.provenance == ("p0", "p1", "p2", "p3")
            assert node.metadata["value"] == (
                "I made a bowl at pottery; I made a vase at pottery; I made a class at pottery;"
                " I made a mug at pottery"
            )
            for n in range(4):
                await w.learn(f"q{n}", f"I sold pottery {n}", on=200 + n, keywords="pottery")
            await w.reflect()
            (node,) = await w.nodes()
            # the value is short, the evidence complete
            assert len(str(node.metadata["value"])) <= 160
            assert len(node.provenance) == 8
            assert str(node.metadata["value"]).endswith("I sold pottery 3")

    asyncio.run(check())


def test_facts_of_earlier_runs_count_for_a_topic(tmp_path: Path) -> None:
    async def check() -> None:
        async with world(tmp_path) as w:
            await w.learn("p0", "I love pottery", on=1, keywords="pottery")
            await w.learn("p1", "Pottery again", on=2, keywords="pottery")
            await w.learn("p2", "My pottery teacher", on=2, keywords="pottery")
            await w.reflect(threshold=1)
            assert await w.nodes() == ()
            assert await w.fresh() == []
            await w.learn("p3", "My pottery broke", on=3, keywords="pottery")
            await w.reflect(threshold=1)
            (node,) = await w.nodes()
            assert node.provenance == ("p0", "p1", "p2", "p3")

    asyncio.run(check())


def test_below_the_threshold_only_known_attributes_are_brought_up_to_date(tmp_path: Path) -> None:
    async def check() -> None:
        async with world(tmp_path) as w:
            await named(w, "f1", "I work at Google", "employer", "Google", on=1)
            assert (await w.reflect()).left == 1
            await w.reflect(threshold=1)
            await named(w, "f2", "I live in Rome", "home", "Rome", on=2)
            await named(w, "f3", "I joined Apple", "employer", "Apple", on=3)
            report = await w.reflect()
            assert await w.insights() == ["Ann's employer: Apple"]
            assert report.left == 1
            assert await w.fresh() == ["f2"]

    asyncio.run(check())


def test_two_people_have_two_sisters(tmp_path: Path) -> None:
    async def check() -> None:
        async with world(tmp_path) as w:
            for who, town in (("Ann", "Rome"), ("Ben", "Oslo")):
                content = f"My sister lives in {town}"
                named = {"subject": "sister", "attribute": "home", "value": town}
                await w.learn(f"f-{who}", content, on=1, who=who, **named)
            await w.reflect(threshold=1)
            assert await w.insights() == [
                "Ann's sister's home: Rome",
                "Ben's sister's home: Oslo",
            ]

    asyncio.run(check())


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    async def check() -> None:
        async with world(tmp_path) as w:
            for n in range(8):
                await named(w, f"f{n}", f"I like tea {n}", "likes", f"tea {n}", on=n)
            await w.reflect(long_range=True)
            generation = await w.store.generation(ANN)
            report = await w.reflect(long_range=True)
            assert await w.store.generation(ANN) == generation
            assert report.actions == ()

    asyncio.run(check())


def test_from_messages_to_an_insight_in_both_languages(tmp_path: Path) -> None:
    async def check() -> None:
        async with world(tmp_path) as w:
            await w.say("m1", "I work at Siemens.", on=1)
            await w.say("m2", "I live in Lisbon.", on=2)
            await w.say("m3", "我住在上海。", on=3, who="小伟")
            operation = build_consolidate(w.services)
            await consolidate(w.services, ANN, operation=operation, now=w.clock.now())
            await w.reflect(threshold=1)
            before = await w.insights()
            assert "Ann's employer: Siemens" in before
            assert "Ann's home: Lisbon" in before
            assert "小伟的住处：上海" in before
            await w.say("m4", "I started a new job at Bosch.", on=100)
            await w.say("m5", "我搬到北京了。", on=101, who="小伟")
            await consolidate(w.services, ANN, operation=operation, now=w.clock.now())
            await w.reflect(threshold=1)
            after = await w.insights()
            assert "Ann's employer: Bosch" in after
            assert "小伟的住处：北京" in after
            assert set(before) <= set(await w.insights(as_of=day(99)))

    asyncio.run(check())
