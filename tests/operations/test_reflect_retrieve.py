"""What reflection does for retrieval: the right value at each date, and insights first."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import pytest

from memoryscope_rag.operations.retrieve import build_retrieve, retrieve
from memoryscope_rag.schema import KINDS, Evidence, Kind
from memoryscope_rag.workers.base import Deadline
from memoryscope_rag.workers.frontend import RetrievalState
from tests.operations.reflecting import ANN, Thinker, World, day, world

ALL: frozenset[Kind] = frozenset(KINDS)


async def find(
    w: World, text: str, *, kinds: frozenset[Kind] = ALL, as_of: datetime | None = None
) -> Evidence:
    """What is found for ``text``."""
    return await retrieve(
        build_retrieve(w.services),
        RetrievalState(
            scope=ANN,
            text=text,
            now=w.clock.now(),
            kinds=kinds,
            limit=10,
            budget_tokens=1000,
            deadline=Deadline(),
            floor=False,
            explain=False,
            as_of=as_of,
            during=None,
            session_id=None,
            current_session=None,
        ),
    )


@pytest.mark.parametrize(
    ("language", "question", "told"),
    [
        ("en", "Where does Ann work?", "Ann's employer: {}"),
        ("zh", "小伟的工作单位是什么？", "小伟的工作单位：{}"),
    ],
)
def test_f4_as_of_finds_the_employer_of_that_day(
    tmp_path: Path, language: str, question: str, told: str
) -> None:
    async def check() -> None:
        who, attribute, firms = (
            ("Ann", "employer", ["Google", "Apple", "Google"])
            if language == "en"
            else ("小伟", "工作单位", ["谷歌", "苹果", "谷歌"])
        )
        text = "{} works at {}" if language == "en" else "{}在{}上班"
        pattern = r"works at (\w+)" if language == "en" else r"在(\w\w)上班"
        thinker = Thinker({attribute: pattern}, [(who, attribute)])
        async with world(tmp_path, thinker) as w:
            for n, firm in enumerate(firms):
                await w.learn(
                    f"f{n}",
                    text.format(who, firm),
                    on=100 * n,
                    who=who,
                    subject=who,
                    attribute=attribute,
                )
                if n:
                    await w.close(f"f{n - 1}", on=100 * n, by=f"f{n}")
                await w.reflect(threshold=1)
            insights: frozenset[Kind] = frozenset({"insight"})
            for moment, firm in ((50, firms[0]), (150, firms[1]), (250, firms[2])):
                found = await find(w, question, kinds=insights, as_of=day(moment))
                assert [item.node.content for item in found] == [told.format(firm)]
            (now,) = await find(w, question, kinds=insights)
            assert now.node.content == told.format(firms[2])
            assert len(await w.nodes(closed=True)) == 3

    asyncio.run(check())


def test_f8_insights_outrank_observations(tmp_path: Path) -> None:
    async def check() -> None:
        thinker = Thinker({"employer": r"is (Google Zurich)"}, [("Ann", "employer")])
        async with world(tmp_path, thinker) as w:
            await w.learn("f1", "Ann's employer is Google Zurich", on=1)
            for n in range(5):
                await w.learn(f"g{n}", f"Ann bought lamp {n}", on=2 + n)
            await w.reflect()
            facts: frozenset[Kind] = frozenset({"insight", "observation"})
            found = await find(w, "Ann's employer", kinds=facts)
            assert [item.node.kind for item in found][:2] == ["insight", "observation"]
            assert found.items[0].node.provenance == ("f1",)

    asyncio.run(check())
