"""Rows L1, L3, L4 and M1 of the parity list, from the query down; tests/temporal has the tables."""

from __future__ import annotations

import asyncio
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml

from memoryscope_rag import MemoryScope, load_config
from memoryscope_rag.configs.load import packaged_text
from memoryscope_rag.schema import Grain
from memoryscope_rag.temporal import find_times
from memoryscope_rag.testing.fakes import FrozenClock, HashEmbedder, ScriptedGenerator
from memoryscope_rag.workers.prompts import Prompts
from tests.operations.consolidating import memory, reader

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ("What did I do last night?", (3, 1, 20), (3, 2, 4)),
        ("Where was I yesterday?", (3, 1, 0), (3, 2, 0)),
        ("我昨天在哪里？", (3, 1, 0), (3, 2, 0)),
        ("二月我去了哪里？", (2, 1, 0), (3, 1, 0)),
        ("What did we plan between 3 and 5 February?", (2, 3, 0), (2, 6, 0)),
        ("What did I eat after 20 February?", (2, 20, 0), None),  # a meal that same evening counts
        ("二月之前我住在哪里？", None, (2, 1, 0)),
    ],
)
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Shanghai"])
def test_l1_the_times_of_a_query_are_those_of_the_users_zone(
    tmp_path: Path,
    query: str,
    first: tuple[int, int, int] | None,
    last: tuple[int, int, int] | None,
    zone: str,
) -> None:
    with MemoryScope.open(
        tmp_path / "m.db", embedder=HashEmbedder(), clock=FrozenClock(NOW + timedelta(hours=6))
    ) as opened:  # 15 h UTC: it is the same day in New York and in Shanghai
        (found,) = opened.retrieve(query, scope="ann", time_zone=zone).intervals

    def local(side: tuple[int, int, int] | None) -> datetime | None:
        if side is None:
            return None
        return datetime(2026, *side, tzinfo=ZoneInfo(zone))

    assert (found.start, found.end) == (local(first), local(last))


TIMES = """
two months ago
3 days ago
tonight
in 2023
Monday!
yesterday's
3pm
next week
last May
昨晚
刚才
"""
"""What names a time; of these upstream's detector misses all but "next week" and "last May"."""
NO_TIMES = """
I may go
she fell
sun hat
march on
a second opinion
d
聊天
天津
有点
日本
三点建议
岁月
birthday
How many weeks
"""
"""What names none; upstream's detector hits all but the last two, which ask for a time."""


@pytest.mark.parametrize("text", TIMES.strip().splitlines())
def test_l3_what_names_a_time_is_found(text: str) -> None:
    assert len(find_times(text, reference=NOW)) == 1


@pytest.mark.parametrize("text", NO_TIMES.strip().splitlines())
def test_l3_what_names_none_is_left_alone(text: str) -> None:
    assert find_times(text, reference=NOW) == ()


def test_l3_the_fall_is_the_season_and_nothing_else_is() -> None:
    (found,) = find_times("She fell in the fall", reference=NOW)
    assert (found.text, found.grain) == ("the fall", Grain.SEASON)


ENGLISH = (
    "went skating", "painted the fence", "planted roses", "visited my aunt", "climbed a hill",
    "learned to juggle", "repaired the boat", "camped by the lake", "picked apples",
    "ran a race", "built a shelf", "baked cookies",
)  # fmt: skip
CHINESE = (
    "去滑冰了", "刷了篱笆", "种了玫瑰", "看望了姑妈", "爬了山", "学了杂耍",
    "修了小船", "在湖边露营", "摘了苹果", "参加了赛跑", "钉了书架", "烤了饼干",
)  # fmt: skip


@pytest.mark.parametrize(
    ("did", "said", "query", "shift"),
    [
        (ENGLISH, "I {} today", "What did I do last May?", -1),
        (ENGLISH, "I {} today", "What did I do in May 2024?", -2),
        (CHINESE, "我今天{}", "我去年五月做了什么？", -1),
        (CHINESE, "我今天{}", "我2024年5月做了什么？", -2),
    ],
    ids=["last May", "May 2024", "去年五月", "2024年5月"],
)
def test_l4_what_did_i_do_last_may(
    tmp_path: Path, did: tuple[str, ...], said: str, query: str, shift: int
) -> None:
    with MemoryScope.open(tmp_path / "m.db", clock=FrozenClock(NOW)) as opened:
        for year in (2024, 2025):
            for month, what in enumerate(did, 1):
                opened.record(
                    said.format(what),
                    scope="ann",
                    session_id=f"{year}-{month}",
                    created_at=datetime(year, month, 14, 12, tzinfo=UTC),
                    speaker="Ann",
                )
        found = opened.retrieve(query, scope="ann", floor=False)
        best = found.items[0].node
        assert (best.said_at.year, best.said_at.month) == (2026 + shift, 5)
        assert did[4] in best.content
        (interval,) = found.intervals
        only = opened.retrieve(query, scope="ann", during=interval, floor=False)
        assert [item.node.id for item in only.items] == [best.id]


def names(text: str) -> set[str]:
    """The values that a prompt asks for."""
    return set(string.Template(text).get_identifiers())


def test_m1_every_prompt_is_there_in_both_languages() -> None:
    english, chinese = (
        yaml.safe_load(packaged_text("workers/prompts", f"{language}.yaml"))
        for language in ("en", "zh")
    )
    assert english.keys() == chinese.keys()
    for worker, parts in english.items():
        other = chinese[worker]
        assert names(parts["system"]) == names(other["system"]), worker
        assert names(parts["user"]) == names(other["user"]), worker
        assert not any("一" <= char <= "鿿" for char in parts["system"]), worker


def test_m1_a_store_of_both_languages_is_asked_about_in_each(tmp_path: Path) -> None:
    async def check() -> None:
        packaged = Prompts.load()
        async with memory(tmp_path) as m:
            model = ScriptedGenerator([reader()] * 20)
            for text, language in (("I live in Oslo.", "en"), ("我在成都上班。", "zh")):
                await m.say(text, session=language)
                before = len(model.history)
                await m.run(model=model)
                asked = model.history[before][0].content
                assert asked == packaged.get("info_filter", language).system
            assert await m.contents() == ["Ann live in Oslo.", "Ann在成都上班。"]

    asyncio.run(check())


FRENCH = """
info_filter:
  system: 'Tu notes chaque tour. Réponds {"scores": [{"n": 1, "score": 2}]}.'
  user: |
    $turns
    Notes de 1 à $count.
"""


def test_m1_a_third_language_is_one_more_file(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "fr.yaml").write_text(FRENCH, "utf-8")
    config = load_config(overrides={"prompts": str(folder), "schedule": {"close_s": 0}})
    model = ScriptedGenerator([reader()] * 20)
    with MemoryScope.open(
        tmp_path / "m.db", config=config, embedder=HashEmbedder(), generator=model
    ) as opened:
        opened.record("J'habite à Lyon avec mon chien et mes deux filles.", scope="ann")
        assert opened.consolidate(scope="ann").consolidated == 1
        scored, drawn = (messages[0].content for messages in model.history[:2])
        assert scored.startswith("Tu notes chaque tour.")
        assert "Notes de 1 à 1." in model.history[0][1].content
        english = Prompts.load()
        assert drawn == english.get("extract_observations", "en").system  # what the file lacks
        (fact,) = opened.list(scope="ann", kinds=["observation"]).items
        assert "Lyon" in fact.content
        opened.record("I moved to Oslo in May.", scope="ann", session_id="other")
        before = len(model.history)
        opened.consolidate(scope="ann")
        assert model.history[before][0].content == english.get("info_filter", "en").system
