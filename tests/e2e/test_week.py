"""A week in two languages: a new job, a birthday, a trip planned and cancelled, a novel.

Nothing but the default install: MiniLM and the rules, no language model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memoryscope_rag import MemoryScope
from memoryscope_rag.schema import MemoryNode, Recurrence
from memoryscope_rag.testing.fakes import FrozenClock

MONDAY = datetime(2026, 5, 4, 9, tzinfo=UTC)


@dataclass(frozen=True)
class Story:
    """What Mia says by day, what is asked, and words that answers hold or must not."""

    days: Sequence[Sequence[str]]
    work: str
    old: str
    new: str
    trip: str
    place: str
    pet: str
    pet_answer: str
    fiction: Sequence[str]


ENGLISH = Story(
    days=(
        (
            "Hi! I work at Siemens as an engineer.",
            "My birthday is on 12 June.",
            "And I have a dog called Rex.",
        ),
        (
            "Let's write a novel together. My hero Leo is a spy who lives in Paris.",
            "In chapter two I want Leo to marry the queen. He works for the CIA.",
        ),
        (
            "I'm planning a trip to Rome next month.",
            "My sister Ann moved to Lisbon last week. She loves it there.",
        ),
        ("I left Siemens. I started a new job at Bosch today!", "What do you think about it?"),
        ("I cancelled my trip to Rome.",),
        ("I love hiking in the Alps.", "My favourite food is ramen."),
    ),
    work="Where does Mia work?",
    old="Siemens",
    new="Bosch",
    trip="Is Mia going to Rome?",
    place="Rome",
    pet="What pet does Mia have?",
    pet_answer="Rex",
    fiction=("Leo", "Paris", "CIA", "queen"),
)
CHINESE = Story(
    days=(
        ("你好！我在华为上班，做工程师。", "我的生日是6月12日。", "我养了一只狗，叫小白。"),
        (
            "我们一起写一部小说吧。主角李雷是个间谍，住在巴黎。",
            "第二章里，我想让李雷娶女王。他在中情局工作。",
        ),
        ("我打算下个月去罗马旅行。", "我姐姐小红上周搬到里斯本了。"),
        ("我从华为离职了，今天开始在腾讯上班！", "你觉得怎么样？"),
        ("我取消了去罗马的旅行。",),
        ("我很喜欢爬山。", "我最喜欢的食物是拉面。"),
    ),
    work="Mia在哪里上班？",
    old="华为",
    new="腾讯",
    trip="Mia要去罗马吗？",
    place="罗马",
    pet="Mia养了什么宠物？",
    pet_answer="狗",
    fiction=("李雷", "巴黎", "中情局", "女王"),
)


@pytest.fixture(scope="module", params=[ENGLISH, CHINESE], ids=["en", "zh"])
def told(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[MemoryScope, Story]]:
    """The memory after the week; each day was consolidated and reflected on in the evening."""
    story: Story = request.param
    clock = FrozenClock(MONDAY)
    path: Path = tmp_path_factory.mktemp("week") / "memory.db"
    with MemoryScope.open(path, clock=clock) as memory:
        for number, day in enumerate(story.days):
            for minute, text in enumerate(day):
                clock.advance(MONDAY + timedelta(days=number, minutes=minute) - clock.now())
                memory.record(text, scope="mia", session_id=f"day {number}", speaker="Mia")
            memory.consolidate(scope="mia")
            memory.reflect(scope="mia")
        clock.advance(timedelta(days=1))
        yield memory, story


def facts(memory: MemoryScope, *, as_of: datetime | None = None) -> list[MemoryNode]:
    """What is believed: observations and insights."""
    page = memory.list(scope="mia", kinds=["observation", "insight"], as_of=as_of, limit=200)
    return list(page.items)


def evening(day: int) -> datetime:
    """After the talk of that day."""
    return MONDAY + timedelta(days=day, hours=10)


def test_the_right_employer_at_each_date(told: tuple[MemoryScope, Story]) -> None:
    memory, story = told
    for day, (right, wrong) in {
        0: (story.old, story.new),
        2: (story.old, story.new),
        3: (story.new, story.old),
        6: (story.new, story.old),
    }.items():
        believed = [
            node.metadata.get("value", "")
            for node in facts(memory, as_of=evening(day))
            if str(node.metadata.get("attribute")) in {"employer", "工作单位"}
        ]
        assert believed, day
        assert all(right in str(value) and wrong not in str(value) for value in believed), day
        found = memory.retrieve(story.work, scope="mia", as_of=evening(day), floor=False)
        said = [item.node.content for item in found.items]
        first = next(text for text in said if story.old in text or story.new in text)
        assert right in first, (day, said)
    now = memory.retrieve(story.work, scope="mia", floor=False)
    assert story.new in now.items[0].node.content


def test_the_old_job_is_closed_and_linked(told: tuple[MemoryScope, Story]) -> None:
    memory, story = told
    page = memory.list(scope="mia", kinds=["observation"], closed=True, limit=200)
    (old,) = [n for n in page.items if story.old in n.content and n.valid_to is not None]
    assert old.superseded_by is not None
    assert story.new in memory.get(old.superseded_by, scope="mia").content
    versions = memory.history(old.id, scope="mia")
    assert versions[0].valid_to is None
    assert versions[-1].valid_to is not None


def test_the_birthday_comes_every_year(told: tuple[MemoryScope, Story]) -> None:
    memory, _ = told
    every = Recurrence("year", month=6, day=12)
    assert any(node.event and node.event.recurrence == every for node in facts(memory))


def test_the_cancelled_trip_is_no_plan_any_more(told: tuple[MemoryScope, Story]) -> None:
    memory, story = told
    before = [n.content for n in facts(memory, as_of=evening(2)) if story.place in n.content]
    after = [n.content for n in facts(memory) if story.place in n.content]
    assert len(before) == 1
    assert len(after) == 1
    assert any(word in after[0] for word in ("cancelled", "取消"))


def test_nothing_of_the_novel_is_a_fact(told: tuple[MemoryScope, Story]) -> None:
    memory, story = told
    for node in memory.list(scope="mia", kinds=["observation", "insight"], closed=True).items:
        assert not any(word in node.content for word in story.fiction), node.content


def test_the_pet_is_found(told: tuple[MemoryScope, Story]) -> None:
    memory, story = told
    found = memory.retrieve(story.pet, scope="mia", floor=False)
    assert story.pet_answer in found.items[0].node.content


def test_a_second_run_changes_nothing(told: tuple[MemoryScope, Story]) -> None:
    memory, _ = told
    before = [(n.id, n.version) for n in facts(memory)]
    assert memory.consolidate(scope="mia").messages == 0
    memory.reflect(scope="mia")
    memory.reflect(scope="mia")
    assert [(n.id, n.version) for n in facts(memory)] == before
