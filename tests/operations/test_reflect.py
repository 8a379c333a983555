"""Reflection with a scripted chat model; the tests name the behaviours that they hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from memoryscope_rag.errors import ConfigError, ModelError
from memoryscope_rag.operations.import_ import import_lines
from memoryscope_rag.operations.portability import export_lines
from memoryscope_rag.operations.record import index_fact
from memoryscope_rag.operations.reflect import LEASE, build_reflect, reflect
from memoryscope_rag.ports import ChatMessage
from memoryscope_rag.schema import MemoryNode, Scope
from memoryscope_rag.testing.fakes import HashEmbedder
from tests.operations.reflecting import ANN, Thinker, World, day, world

WORK = {"employer": r"(?:works at|joined) (\w+)"}
TOPICS = {
    **WORK,
    "home": r"(?:lives in|moved to) (\w+)",
    "pets": r"has a (\w+)",
    "diet": r"is (vegan|vegetarian)",
}


async def six_facts(w: World) -> None:
    """Facts about four attributes and two about none."""
    await w.learn("f1", "Ann works at Google", on=1)
    await w.learn("f2", "Ann lives in Lisbon", on=2)
    await w.learn("f3", "Ann has a dog", on=3)
    await w.learn("f4", "Ann is vegan", on=4)
    await w.learn("f5", "Ann bought a lamp", on=5)
    await w.learn("f6", "Ann slept badly", on=6)


# ---------------------------------------------------------------- F1: threshold


def test_f1_below_the_threshold_nothing_is_called(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(TOPICS, [("Ann", "employer")])
        embedder = HashEmbedder()
        async with world(tmp_path, thinker, embedder) as w:
            for n in range(5):
                await w.learn(f"f{n}", f"Ann works at Firm{n}", on=n)
            before = len(embedder.calls)
            generation = await w.store.generation(ANN)
            report = await w.reflect()
            assert (report.looked_at, report.left, report.again) == (5, 5, False)
            assert len(embedder.calls) == before
            assert thinker.asked == []
            assert await w.store.generation(ANN) == generation
            assert len(await w.fresh()) == 5
            await w.learn("f5", "Ann likes tea", on=5)
            report = await w.reflect()
            assert thinker.asked == ["subjects", "insights"]
            assert report.calls == 2
            assert report.usage.prompt_tokens > 0
            assert report.proposed == ("Ann: employer",)

    asyncio.run(check())


def test_f1_the_threshold_can_be_set(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(TOPICS, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await w.learn("f1", "Ann works at Google", on=1)
            await w.reflect(threshold=2)
            assert thinker.asked == []
            await w.reflect(threshold=1)
            assert await w.insights() == ["Ann's employer: Google"]

    asyncio.run(check())


# ---------------------------------------------------------------- F2: no duplicates


def test_f2_a_known_attribute_in_other_words_is_rejected(tmp_path: Path) -> None:
    async def check() -> None:
        topics = {**TOPICS, "current employer": WORK["employer"], "firm": WORK["employer"]}
        thinker = Thinker(topics, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            await w.reflect()
            assert await w.insights() == ["Ann's employer: Google"]
            thinker.proposals = [("ann", "Current Employer"), ("Ann", "firm"), ("Ben", "employer")]
            for n in range(6):
                await w.learn(
                    f"g{n}", "Ann works at Google", on=10 + n, subject="Ann", attribute="employer"
                )
            report = await w.reflect()
            # by its words, by what its facts name; of somebody else it is another attribute
            assert report.proposed == ("Ben: employer",)

    asyncio.run(check())


def test_f2_a_synonym_is_rejected_by_the_default_embedder(tmp_path: Path) -> None:
    from memoryscope_rag.build import build_embedder
    from memoryscope_rag.configs.model import Config

    async def check() -> None:
        topics = {**TOPICS, "workplace": WORK["employer"], "leisure activities": r"(tennis)"}
        thinker = Thinker(topics, [("Ann", "employer")])
        async with world(tmp_path, thinker, build_embedder(Config())) as w:
            await six_facts(w)
            await w.reflect()
            thinker.proposals = [("Ann", "workplace"), ("Ann", "leisure activities")]
            for n in range(6):
                text = "Ann plays tennis" if n % 2 else f"Ann joined Firm{n}"
                await w.learn(f"g{n}", text, on=10 + n)
            report = await w.reflect()
            assert report.proposed == ("Ann: leisure activities",)
            assert await w.insights() == [
                "Ann's employer: Firm4",
                "Ann's leisure activities: tennis",
            ]

    asyncio.run(check())


# ---------------------------------------------------------------- F3: how many


@pytest.mark.parametrize(("most", "begun"), [(1, 1), (3, 3), (0, 4)])
def test_f3_the_number_of_new_subjects_is_honoured(tmp_path: Path, most: int, begun: int) -> None:
    async def check() -> None:
        thinker = Thinker(TOPICS, [("Ann", name) for name in TOPICS])
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            report = await w.reflect(subjects=most)
            assert len(report.proposed) == begun
            assert len(await w.nodes()) == begun
            wanted = "at most: any number" if most == 0 else f"at most: {most}."
            assert wanted in thinker.prompts[0]

    asyncio.run(check())


def test_f3_facts_wait_while_there_may_be_more_subjects(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(TOPICS, [("Ann", name) for name in TOPICS])
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            report = await w.reflect(subjects=1)
            assert await w.insights() == ["Ann's employer: Google"]
            assert (report.left, report.again) == (5, False)
            report = await w.reflect(subjects=3, threshold=5)
            assert len(await w.nodes()) == 4
            assert report.left == 2  # again as many as allowed
            report = await w.reflect(subjects=3, threshold=2)
            assert (report.proposed, report.left) == ((), 0)
            assert await w.fresh() == []

    asyncio.run(check())


# ---------------------------------------------------------------- F4: newest wins


def test_f4_job_change(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            await w.reflect()
            (old,) = await w.nodes()
            assert (old.content, old.provenance) == ("Ann's employer: Google", ("f1",))
            assert (old.valid_from, old.valid_to) == (day(1), None)
            assert old.metadata["model"] == "scripted"
            assert str(old.metadata["prompt"]).startswith("update_insights/en/")
            await w.learn("f7", "Ann joined Apple, the employer she wanted", on=100)
            report = await w.reflect()
            (new,) = await w.nodes()
            assert (new.content, new.provenance) == ("Ann's employer: Apple", ("f7",))
            assert (report.updated, report.closed, report.left) == (1, 0, 0)
            assert report.actions[0].did == "updated"
            before, after = await w.store.history(ANN, old.id)
            assert (before.valid_to, before.superseded_by) == (None, None)
            assert (after.content, after.valid_to, after.superseded_by) == (
                "Ann's employer: Google",
                day(100),
                new.id,
            )
            for moment, told in ((0, []), (1, ["Google"]), (99, ["Google"]), (100, ["Apple"])):
                assert await w.insights(as_of=day(moment)) == [
                    f"Ann's employer: {name}" for name in told
                ]
            assert len(await w.nodes(closed=True)) == 2

    asyncio.run(check())


def test_f4_job_change_in_chinese(tmp_path: Path) -> None:
    async def check() -> None:
        topics = {"住处": r"(?:住在|搬到了)(\w\w)"}
        thinker = Thinker(topics, [("小伟", "住处")])
        async with world(tmp_path, thinker) as w:
            await w.learn("f0", "小伟住在上海", on=0, who="小伟")
            for n in range(1, 6):
                await w.learn(f"f{n}", f"小伟买了{n}本书", on=n, who="小伟")
            await w.reflect()
            (node,) = await w.nodes()
            assert node.content == "小伟的住处：上海"
            assert str(node.metadata["prompt"]).startswith("update_insights/zh/")
            assert "至多" not in thinker.prompts[0]
            assert "2024-06-01" in thinker.prompts[1]
            await w.learn(
                "f9", "小伟搬到了北京", on=50, who="小伟", subject="小伟", attribute="住处"
            )
            await w.reflect()
            assert await w.insights() == ["小伟的住处：北京"]
            assert await w.insights(as_of=day(49)) == ["小伟的住处：上海"]

    asyncio.run(check())


def test_f4_the_same_value_on_more_evidence_is_a_version(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            await w.reflect()
            await w.learn("f7", "Ann works at Google as her employer said", on=50)
            report = await w.reflect()
            (node,) = await w.nodes()
            assert (node.version, node.provenance) == (2, ("f1", "f7"))
            assert (node.valid_from, node.said_at) == (day(1), day(50))
            assert (report.updated, report.closed) == (1, 0)
            first, second = await w.store.history(ANN, node.id)
            assert (first.provenance, second.provenance) == (("f1",), ("f1", "f7"))

    asyncio.run(check())


def test_f4_what_is_learnt_late_does_not_change_the_past(tmp_path: Path) -> None:
    async def check() -> None:
        topics = {"hobbies": r"enjoys (\w+)"}
        thinker = Thinker(topics, [("Ann", "hobbies")])
        async with world(tmp_path, thinker) as w:
            await w.learn("f0", "Ann enjoys chess, of her hobbies", on=30)
            for n in range(1, 6):
                await w.learn(f"f{n}", f"Ann bought lamp {n}", on=30 + n)
            await w.reflect()
            await w.close("f0", on=40)
            await w.learn("f9", "Ann enjoys judo, of her hobbies", on=20)  # an old chat, imported
            await w.reflect()
            assert await w.insights() == ["Ann's hobbies: judo"]
            assert await w.insights(as_of=day(35)) == ["Ann's hobbies: chess"]

    asyncio.run(check())


# ---------------------------------------------------------------- F5: a budget


def test_f5_all_relevant_insights_are_updated_over_successive_runs(tmp_path: Path) -> None:
    async def check() -> None:
        names = [f"plan{letter}" for letter in "abcdefghijkl"]
        topics = {name: rf"{name} (\w+)" for name in names}
        thinker = Thinker(topics, [("Ann", name) for name in names])
        async with world(tmp_path, thinker) as w:
            for n, name in enumerate(names):
                await w.learn(f"f{n:02}", f"Ann says {name} begun", on=n)
            await w.reflect(subjects=0, calls=12)
            assert len(await w.nodes()) == 12
            assert await w.fresh() == []
            told = " ".join(f"{name} over," for name in names)
            await w.learn("last", f"Ann says {told}", on=100)
            thinker.asked.clear()
            runs = 0
            while await w.fresh():
                report = await w.reflect(calls=1)
                runs += 1
                assert report.calls == 1
                assert report.again is (runs < 3)
                assert report.left == (runs < 3)
            assert runs == 3
            assert thinker.asked == ["insights"] * 3
            assert await w.insights() == [f"Ann's {name}: over" for name in names]
            assert not any("seen" in node.metadata for node in await w.nodes() if node.version > 2)

    asyncio.run(check())


def test_f5_a_fact_that_changes_nothing_is_asked_about_once_each(tmp_path: Path) -> None:
    async def check() -> None:
        names = [f"plan{letter}" for letter in "abcdef"]
        topics = {name: rf"{name} (\w+)" for name in names}
        thinker = Thinker(topics, [("Ann", name) for name in names])
        async with world(tmp_path, thinker) as w:
            for n, name in enumerate(names):
                await w.learn(f"f{n}", f"Ann says {name} begun", on=n)
            await w.reflect(subjects=0, calls=12)
            await w.learn("last", f"Ann told us of {', '.join(names)}", on=100)
            thinker.topics = {}
            thinker.asked.clear()
            first = await w.reflect(calls=1)
            second = await w.reflect(calls=1)
            assert (first.left, second.left) == (1, 0)
            assert (first.updated, second.updated) == (0, 0)
            assert thinker.asked == ["insights"] * 2
            assert {node.content for node in await w.nodes()} == {
                f"Ann's {name}: begun" for name in names
            }

    asyncio.run(check())


# ---------------------------------------------------------------- F6: failures


@pytest.mark.parametrize(
    "reply", ["", "no idea", '{"insights": []}', ModelError("the server is down", retryable=True)]
)
def test_f6_a_failed_answer_leaves_everything_unset(tmp_path: Path, reply: str | Exception) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")], failing={1: reply, 2: reply})
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            report = await w.reflect()
            assert await w.nodes() == ()
            # those that bear on nothing are done with all the same
            assert "f1" in await w.fresh()
            assert report.again
            assert len(report.failures) == 1
            assert "Google" not in report.failures[0]
            thinker.failing = {}
            report = await w.reflect(threshold=1)
            assert await w.insights() == ["Ann's employer: Google"]
            assert report.failures == ()
            assert await w.fresh() == []

    asyncio.run(check())


@pytest.mark.parametrize("reply", ["", "{}", ModelError("the server is down")])
def test_f6_a_failed_proposal_leaves_everything_unset(
    tmp_path: Path, reply: str | Exception
) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")], failing={0: reply, 1: reply})
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            generation = await w.store.generation(ANN)
            report = await w.reflect()
            assert await w.store.generation(ANN) == generation
            assert len(await w.fresh()) == report.left == 6
            assert (len(report.failures), report.again) == (1, True)
            thinker.failing = {}
            await w.reflect()
            assert await w.fresh() == []

    asyncio.run(check())


def test_f6_a_failure_in_the_middle_keeps_what_was_done(tmp_path: Path) -> None:
    async def check() -> None:
        names = [f"plan{letter}" for letter in "abcdefghijkl"]
        topics = {name: rf"{name} (\w+)" for name in names}
        failing: dict[int, str | Exception] = {2: ModelError("the server is down")}
        thinker = Thinker(topics, [("Ann", name) for name in names], failing=failing)
        async with world(tmp_path, thinker) as w:
            for n, name in enumerate(names):
                await w.learn(f"f{n:02}", f"Ann says {name} begun", on=n)
            report = await w.reflect(subjects=0, calls=12)
            assert report.calls == 3
            assert len(report.proposed) == len(await w.nodes()) == 4
            assert await w.fresh() == [f"f{n:02}" for n in range(4, 12)]
            assert report.failures == ("update_insights: the server is down",)
            await w.reflect(subjects=0, calls=12)
            assert len(await w.nodes()) == 12
            assert await w.fresh() == []

    asyncio.run(check())


def test_f6_one_unreadable_subject_does_not_keep_the_others(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(TOPICS, [("Ann", name) for name in TOPICS])
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            thinker.poison = "pets"
            report = await w.reflect(subjects=0, calls=9)
            assert await w.insights() == [
                "Ann's diet: vegan",
                "Ann's employer: Google",
                "Ann's home: Lisbon",
            ]
            assert (await w.fresh(), report.again) == (["f3"], True)

    asyncio.run(check())


def test_f6_evidence_that_was_not_shown_is_none(tmp_path: Path) -> None:
    async def check() -> None:
        wrong = '{"insights": [{"n": 1, "value": "Google", "facts": [0, 7, 99]}]}'
        thinker = Thinker(WORK, [("Ann", "employer")], failing={1: wrong})
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            report = await w.reflect()
            assert await w.nodes() == ()
            assert "f1" in await w.fresh()
            assert len(report.failures) == 1

    asyncio.run(check())


# ---------------------------------------------------------------- F7: relevance


def test_f7_an_irrelevant_observation_is_not_passed_to_the_prompt(tmp_path: Path) -> None:
    from memoryscope_rag.build import build_embedder
    from memoryscope_rag.configs.model import Config

    async def check() -> None:
        thinker = Thinker(TOPICS, [("Ann", "employer"), ("Ann", "pets")])
        async with world(tmp_path, thinker, build_embedder(Config())) as w:
            await six_facts(w)
            await w.reflect()
            assert await w.insights() == ["Ann's employer: Google", "Ann's pets: dog"]
            thinker.prompts.clear()
            await w.learn("g1", "Ann moved to another desk in the office", on=20)
            await w.learn("g2", "Ann left Google", on=21)
            await w.learn("g3", "Ann is allergic to peanuts", on=22)
            await w.learn("g4", "Ben left Google", on=23, who="Ben")
            await w.learn("g5", "Ann took the dog to the vet", on=24)
            await w.reflect(threshold=100)
            (prompt,) = thinker.prompts
            assert "Ann left Google" in prompt
            assert "the vet" in prompt
            assert "peanuts" not in prompt
            assert "Ben" not in prompt
            assert {"g3", "g4"} <= set(await w.fresh())
            assert not {"g2", "g5"} & set(await w.fresh())

    asyncio.run(check())


# ---------------------------------------------------------------- when evidence dies


def test_an_insight_without_evidence_is_closed_without_a_call(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(TOPICS, [("Ann", "employer"), ("Ann", "pets")])
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            await w.reflect()
            await w.close("f1", on=80)
            await w.store.delete_nodes(ANN, ["f3"])
            thinker.asked.clear()
            report = await w.reflect()
            assert (report.closed, report.calls, thinker.asked) == (2, 0, [])
            assert await w.nodes() == ()
            closed = {node.content: node for node in await w.nodes(closed=True)}
            work, pets = closed["Ann's employer: Google"], closed["Ann's pets: dog"]
            assert (work.valid_to, work.superseded_by) == (day(80), None)
            assert work.metadata["closed_because"] == "evidence closed"
            assert pets.metadata["closed_because"] == "evidence gone"
            assert pets.valid_to == w.clock.now()
            assert (await w.reflect()).actions == ()

    asyncio.run(check())


def test_an_insight_that_lost_some_evidence_is_made_of_the_rest(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            for n in range(6):
                await w.learn(f"f{n}", "Ann works at Google", on=n)
            await w.reflect()
            (node,) = await w.nodes()
            assert len(node.provenance) == 6
            await w.close("f5", on=50)
            thinker.prompts.clear()
            await w.reflect()
            (node,) = await w.nodes()
            assert node.provenance == ("f0", "f1", "f2", "f3", "f4")
            # the present value may come from what is gone, so it is not shown
            assert "present value: (none)" in thinker.prompts[0]
            assert (await w.reflect()).calls == 0

    asyncio.run(check())


def test_forgetting_takes_the_values_that_rest_on_it_and_no_others(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            await w.learn("f7", "Ann works at Google still", on=50)
            await w.reflect()
            await w.learn("f8", "Ann joined Apple as employer", on=100)
            await w.reflect()
            forgotten = await w.store.forget(ANN, message_ids=["m-f1"])
            assert forgotten.proven
            assert await w.insights(closed=True) == ["Ann's employer: Apple"]
            assert await w.fresh() == ["f7"]  # it held the forgotten value, too
            await w.store.forget(ANN, message_ids=["m-f8"])
            assert await w.nodes(closed=True) == ()
            await w.reflect(threshold=1)
            assert await w.insights() == ["Ann's employer: Google"]
            (node,) = await w.nodes()
            assert node.provenance == ("f7",)

    asyncio.run(check())


def test_what_is_forgotten_meanwhile_does_not_come_back(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            generator = w.services.generator
            generator.delay = 0.2  # type: ignore[union-attr]
            run = asyncio.create_task(w.reflect())
            while "insights" not in thinker.asked:
                await asyncio.sleep(0.01)
                if run.done():
                    break
                if generator.calls == 2:  # type: ignore[union-attr]
                    await w.store.forget(ANN, message_ids=["m-f1"])
                    break
            report = await run
            assert await w.nodes(closed=True) == ()
            assert report.again
            assert report.failures[0].startswith("UnknownId")

    asyncio.run(check())


# ---------------------------------------------------------------- runs


def test_a_second_run_does_nothing(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(TOPICS, [("Ann", name) for name in TOPICS])
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            await w.reflect(subjects=0)
            generation, calls = await w.store.generation(ANN), len(thinker.asked)
            report = await w.reflect(subjects=0)
            assert await w.store.generation(ANN) == generation
            assert (len(thinker.asked), report.calls, report.actions) == (calls, 0, ())

    asyncio.run(check())


def test_two_runs_at_once(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            w.services.generator.delay = 0.05  # type: ignore[union-attr]
            first, second = await asyncio.gather(w.reflect(), w.reflect())
            assert sorted([first.busy, second.busy]) == [False, True]
            assert len(await w.nodes()) == 1
            lease = await w.store.acquire(ANN, LEASE, "another", 30)
            assert lease is not None
            assert (await w.reflect()).busy

    asyncio.run(check())


@pytest.mark.parametrize("seed", range(40))
def test_no_reply_breaks_a_run_or_names_what_was_not_shown(tmp_path: Path, seed: int) -> None:
    async def check() -> None:
        random = Random(seed)
        bits = [
            '{"insights": [', '{"subjects": [', "]}", '{"n": 1, ', '"value": "Google", ',
            '"value": null, ', '"facts": [1]}', '"facts": [99, -1]}', '"who": "Ann", ', ", ",
            '"attribute": "employer", ', "<think>", "</think>", "null", '"n": "x"', "\ud800", "```",
        ]  # fmt: skip
        thinker = Thinker(WORK, [("Ann", "employer")])
        for call in range(8):
            if random.random() < 0.8:
                thinker.failing[call] = "".join(random.choices(bits, k=random.randint(0, 9)))
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            for _ in range(2):
                report = await w.reflect()
                assert bool(await w.fresh()) == bool(report.left)
            shown = {f"f{n}" for n in range(1, 7)}
            assert all(shown.issuperset(node.provenance) for node in await w.nodes())
            thinker.failing = {}
            await w.reflect(threshold=1)
            assert await w.fresh() == []

    asyncio.run(check())


def test_a_run_that_lost_its_lease_writes_nothing(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            answer = thinker.answer

            def slowly(messages: Sequence[ChatMessage]) -> str:
                w.clock.advance(1000)  # as if the machine had slept
                return answer(messages)

            thinker.answer = slowly  # type: ignore[method-assign]
            report = await w.reflect()
            assert report.busy
            assert (await w.nodes(), len(await w.fresh())) == ((), 6)

    asyncio.run(check())


def test_without_a_model_its_workers_say_so(tmp_path: Path) -> None:
    async def check() -> None:
        async with world(tmp_path) as w:
            await six_facts(w)
            stages = ["propose_subjects", "match_subjects", "update_insights", "store_insights"]
            with pytest.raises(ConfigError, match="needs a language model"):
                await reflect(
                    w.services, ANN, operation=build_reflect(w.services, stages), now=w.clock.now()
                )
            with pytest.raises(ConfigError, match="reads 'relevant' before any"):
                build_reflect(w.services, ["match_subjects", "store_insights"])
            with pytest.raises(ConfigError, match="no worker gives 'changes'"):
                build_reflect(w.services, stages[:-1])

    asyncio.run(check())


def test_an_operation_of_ones_own(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(TOPICS, [("Ann", name) for name in TOPICS])
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            (tmp_path / "own.yaml").write_text(
                "stages: [propose_subjects, match_subjects,"
                " {update_insights: {subjects: 1}}, store_insights]",
                "utf-8",
            )
            report = await reflect(
                w.services,
                ANN,
                operation=build_reflect(w.services, tmp_path / "own.yaml"),
                now=w.clock.now(),
            )
            assert thinker.asked == ["subjects", "insights", "insights", "insights"]
            assert len(report.proposed) == 3

    asyncio.run(check())


def test_only_the_scope_itself_is_looked_at(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            other = MemoryNode("n1", "note", "Ann works at Elsewhere", day(1))
            await w.store.add_nodes(Scope("bob"), [await index_fact(w.services.embedder, other)])
            await w.reflect()
            assert await w.insights() == ["Ann's employer: Google"]
            assert not any("Elsewhere" in prompt for prompt in thinker.prompts)

    asyncio.run(check())


def test_a_new_subject_rests_on_facts_of_earlier_runs_too(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker({"pottery": r"(pottery)"}, [])
        async with world(tmp_path, thinker) as w:
            await w.learn("old", "Ann began with pottery", on=1)
            for n in range(5):
                await w.learn(f"f{n}", f"Ann bought lamp {n}", on=2 + n)
            await w.reflect()
            assert await w.fresh() == []
            thinker.proposals = [("Ann", "pottery")]
            await w.learn("new", "Ann sold her pottery", on=50)
            await w.reflect(threshold=1)
            (node,) = await w.nodes()
            assert node.provenance == ("old", "new")

    asyncio.run(check())


def test_an_edited_observation_is_taken_in_again(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            await w.reflect()
            (node,) = await w.store.nodes(ANN, ["f1"])
            edited = await index_fact(
                w.services.embedder, node.with_(content="Ann works at Siemens")
            )
            await w.store.update_node(ANN, edited, version=1)
            await w.reflect()
            assert await w.insights() == ["Ann's employer: Siemens"]
            assert await w.fresh() == []

    asyncio.run(check())


def test_exports_survive(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker(WORK, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await six_facts(w)
            await w.reflect()
            await w.learn("f7", "Ann joined Apple as employer", on=100)
            await w.reflect()
            lines = [line async for line in export_lines(w.store, ANN)]
            copy = Scope("copy")
            report = await import_lines(w.store, w.services.embedder, copy, lines)
            assert report.problems == ()
            assert [line async for line in export_lines(w.store, copy)] == lines

    asyncio.run(check())
