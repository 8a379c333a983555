"""Rows D1 to D8 of the parity list. D9 is what `bench speed` prints, D10 an example's test."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import numpy as np
import pytest

from memoryscope_rag import AsyncMemoryScope, MemoryScope, NewMessage, Scope, load_config
from memoryscope_rag.configs.load import packaged_text
from memoryscope_rag.errors import ModelError
from memoryscope_rag.ports import IndexedNode, Query, SearchRequest
from memoryscope_rag.schema import KINDS, Event, Interval, Kind, MemoryNode
from memoryscope_rag.stores.sqlite import SQLiteStore
from memoryscope_rag.testing.fakes import FrozenClock, HashEmbedder, ScriptedReranker
from memoryscope_rag.testing.samples import ALICE, SPEC, fact, vector
from memoryscope_rag.workers.indexed import index_facts

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
FACTS: frozenset[Kind] = frozenset({"observation", "insight"})


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(NOW)


@pytest.fixture
def memory(tmp_path: Path, clock: FrozenClock) -> Iterator[MemoryScope]:
    with MemoryScope.open(tmp_path / "memory.db", embedder=HashEmbedder(), clock=clock) as opened:
        yield opened


def keep(memory: MemoryScope, *nodes: MemoryNode) -> None:
    """Store facts of any kind, as the backend would."""

    async def add(inner: AsyncMemoryScope) -> None:
        await inner._store.add_nodes(Scope("ann"), await index_facts(HashEmbedder(), nodes))

    memory.call(add)


def found(memory: MemoryScope, query: str, **more: object) -> list[str]:
    """The contents found, best first."""
    evidence = memory.retrieve(query, scope="ann", floor=False, **more)  # type: ignore[arg-type]
    return [item.node.content for item in evidence.items]


def test_d1_recall_at_10_among_a_thousand_facts_is_that_of_brute_force(tmp_path: Path) -> None:
    async def check() -> None:
        random = Random(5)
        kinds: list[Kind] = ["observation", "insight"]
        nodes = [fact(f"f{n}", f"fact {n}", kind=random.choice(kinds)) for n in range(1000)]
        rows = np.stack([vector(random) for _ in nodes])
        store = SQLiteStore.open(tmp_path / "m.db", embedder=SPEC)
        await store.add_nodes(
            ALICE,
            [IndexedNode(node, (), (), row, row) for node, row in zip(nodes, rows, strict=True)],
        )
        rounded = rows.astype(np.float16).astype(np.float32)  # as the store keeps them
        rounded /= np.linalg.norm(rounded, axis=1, keepdims=True)
        shares = []
        for _ in range(50):
            asked = vector(random)
            request = SearchRequest((Query("q", (), asked),), FACTS, limit=10)
            (answer,) = await store.search(ALICE, [request])
            brute, exact = (np.argsort(matrix @ asked)[-10:] for matrix in (rounded, rows))
            assert set(answer.ids) == {f"f{n}" for n in brute}
            shares.append(len(set(answer.ids) & {f"f{n}" for n in exact}) / 10)
        assert np.mean(shares) >= 0.99
        await store.close()

    asyncio.run(check())


def test_d2_what_is_closed_is_no_answer_but_history(
    memory: MemoryScope, clock: FrozenClock
) -> None:
    old = memory.add_note("Ann works at the harbour", scope="ann")
    other = memory.add_note("Ann works out on Mondays", scope="ann")
    clock.advance(timedelta(days=30))
    memory.expire(old.id, scope="ann")
    clock.advance(timedelta(days=30))
    for limit in (1, 1000):
        assert found(memory, "Where does Ann work?", limit=limit) == [other.content]
    assert [n.id for n in memory.list(scope="ann").items] == [other.id]
    assert old.content in found(memory, "Where does Ann work?", as_of=NOW + timedelta(days=1))
    assert {n.id for n in memory.list(scope="ann", closed=True).items} == {old.id, other.id}
    first, last = memory.history(old.id, scope="ann")
    assert (first.valid_to, last.valid_to) == (None, NOW + timedelta(days=30))


def test_d3_the_reranker_is_a_choice_and_reads_no_more_than_the_shortlist(tmp_path: Path) -> None:
    def longest(query: str, text: str) -> float:
        return float(len(text))

    texts = [f"the cello lesson was {'very ' * n}long" for n in range(50)]
    found_by: dict[str, list[str]] = {}
    for name, reranker in (
        ("off", None),
        ("on", ScriptedReranker(longest)),
        ("down", ScriptedReranker(longest, failure=ModelError("down"))),
    ):
        with MemoryScope.open(
            tmp_path / f"{name}.db", embedder=HashEmbedder(), reranker=reranker
        ) as opened:
            for text in texts:
                opened.add_note(text, scope="ann", said_at=NOW)
            assert opened.retrieve("cello", scope="nobody").items == ()
            assert reranker is None or reranker.history == []  # nothing found, nothing asked
            evidence = opened.retrieve("cello lesson", scope="ann", floor=False)
        found_by[name] = [item.node.content for item in evidence.items]
        assert evidence.left_out == (("semantic_rank: down",) if name == "down" else ())
        if reranker is not None:
            ((_, read),) = reranker.history
            assert len(read) == 30
            if name == "on":
                assert found_by[name] == sorted(read, key=len, reverse=True)[:10]
    assert found_by["down"] == found_by["off"] != found_by["on"]


@pytest.mark.parametrize("reranked", [False, True])
def test_d4_duplicates_collapse_and_the_best_stays(tmp_path: Path, reranked: bool) -> None:
    reranker = ScriptedReranker(lambda query, text: float(len(text))) if reranked else None
    with MemoryScope.open(
        tmp_path / "m.db", embedder=HashEmbedder(), reranker=reranker, clock=FrozenClock(NOW)
    ) as opened:
        for number in range(5):  # the same words five times, in sessions of their own
            opened.record("I love green tea", scope="ann", session_id=f"s{number}", speaker="Ann")
        opened.add_note("i love  GREEN tea", scope="ann")
        opened.add_note("Ｉ love green ｔｅａ", scope="ann")
        opened.add_note("I love green teal", scope="ann")
        evidence = opened.retrieve("Who loves green tea?", scope="ann", floor=False, limit=50)
        texts = [" ".join(item.node.content.casefold().split()) for item in evidence.items]
        assert len(texts) == 2
        assert "i love green teal" in texts
        (kept,) = (item for item in evidence.items if not item.node.content.endswith("teal"))
        alone = max(
            item.score
            for kind in KINDS
            for item in opened.retrieve(
                "Who loves green tea?", scope="ann", floor=False, kinds=[kind]
            ).items
            if not item.node.content.endswith("teal")
        )
        if not reranked:
            assert kept.score == pytest.approx(alone, abs=0.05)


def weighing(tmp_path: Path, **weights: float) -> Path:
    """A ranker file: the one for words alone, with some weights of its own."""
    tree = json.loads(packaged_text("configs/rankers", "generic.json"))
    tree["weights"] |= weights
    path = tmp_path / f"ranker{len(list(tmp_path.glob('*.json')))}.json"
    path.write_text(json.dumps(tree), "utf-8")
    return path


def test_d5_the_weights_of_the_kinds_order_what_is_alike(tmp_path: Path) -> None:
    words = ["harbour", "boat", "blue"]
    kinds: list[Kind] = ["observation", "note", "insight"]
    for order in itertools.permutations(kinds):
        weights: Mapping[str, float] = {kind: 3.0 - place for place, kind in enumerate(order)}
        config = load_config(
            overrides={"retrieval": {"ranker": str(weighing(tmp_path, **weights))}}
        )
        path = tmp_path / f"{'-'.join(order)}.db"
        with MemoryScope.open(path, config=config, embedder=HashEmbedder()) as opened:
            for place, kind in enumerate(kinds):  # the same words, so the same everything else
                said = " ".join(words[place:] + words[:place])
                keep(opened, MemoryNode(f"{kind}-node", kind, said, NOW))
            evidence = opened.retrieve("blue boat harbour", scope="ann", floor=False)
            assert [item.node.kind for item in evidence.items] == list(order)


def test_d5_every_ranker_that_ships_prefers_what_was_distilled() -> None:
    for name in ("all-minilm-l6-v2", "bge-small-zh-v1.5", "e5-small-v2", "generic"):
        weights = json.loads(packaged_text("configs/rankers", f"{name}.json"))["weights"]
        assert all(weights[kind] > 0 for kind in ("observation", "note", "insight")), name


def day(year: int, month: int, number: int) -> Event:
    """That day."""
    start = datetime(year, month, number, tzinfo=UTC)
    return Event(Interval(start, start + timedelta(days=1)))


@pytest.mark.parametrize(
    ("one", "other", "query"),
    [
        ("choir concert hall", "hall choir concert", "Which concert was it in May 2025?"),
        ("合唱团 音乐会", "音乐会 合唱团", "2025年5月是哪场音乐会？"),
    ],
    ids=["en", "zh"],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_d6_the_event_at_the_time_asked_about_comes_first(
    memory: MemoryScope, one: str, other: str, query: str, swapped: bool
) -> None:
    in_may, in_august = (other, one) if swapped else (one, other)
    memory.add_note(in_may, scope="ann", event=day(2025, 5, 7))
    memory.add_note(in_august, scope="ann", event=day(2025, 8, 7))
    assert found(memory, query) == [in_may, in_august]
    may = Interval(datetime(2025, 5, 1, tzinfo=UTC), datetime(2025, 6, 1, tzinfo=UTC))
    assert found(memory, query, during=may) == [in_may]


SUBJECTS = (
    "my sister Clara", "our dog Rex", "the old boat", "my boss Henrik", "the garden",
    "my violin", "the new flat", "my cousin Ada", "the car", "our choir",
)  # fmt: skip
SAID = (
    "{} kept me busy all morning", "I told Bob about {}", "I dreamt of {} again",
    "{} will be fine I think", "we had a long talk about {}", "nobody asked about {}",
    "I worry about {} sometimes", "{} made me laugh today", "I took a photo of {}",
    "I promised to look after {}", "{} is all I think about", "there is news about {}",
)  # fmt: skip


def test_d7_never_more_than_the_cap_and_nothing_for_an_unrelated_query(tmp_path: Path) -> None:
    turns = [
        NewMessage(
            f"m{number}",
            f"s{number // 20}",
            "user",
            f"{said.format(who)}{ending}",
            NOW + timedelta(minutes=number),
            "Ann",
        )
        for number, (who, said, ending) in enumerate(
            itertools.product(SUBJECTS, SAID, ("", ", as ever"))
        )
    ]
    with MemoryScope.open(tmp_path / "m.db", clock=FrozenClock(NOW)) as opened:
        opened.record_many(turns, scope="ann")
        for limit in (1, 3, 20):
            evidence = opened.retrieve("What about the dog?", scope="ann", limit=limit, floor=False)
            assert len(evidence.items) == limit
        assert len(opened.retrieve("What about the dog?", scope="ann", floor=False).items) == 10
        assert opened.retrieve("Is our dog Rex fine?", scope="ann").items
        for unrelated in (
            "How is sulphuric acid produced in industry?",
            "What is the capital of Mongolia?",
            "Explain quicksort in Haskell",
        ):
            evidence = opened.retrieve(unrelated, scope="ann")
            assert (evidence.items, evidence.text) == ((), "")
            assert opened.retrieve(unrelated, scope="ann", floor=False).items


@pytest.mark.parametrize(
    ("speaker", "said", "known", "query", "lines"),
    [
        (
            "Ann",
            "I moved to Lisbon last week",
            "Ann's flight leaves on 7 May 2026",
            "Lisbon flight",
            "[m1 | 2026-03-02 Mon 18:00 | Ann] I moved to Lisbon last week\n"
            "[{} | 2026-03-02 Mon 18:01 | note] Ann's flight leaves on 7 May 2026 "
            "(when: 2026-05-07)",
        ),
        (
            "小伟",
            "我上周搬到里斯本了",
            "小伟的航班是2026年5月7日",
            "里斯本 航班",
            "[m1 | 2026-03-02 Mon 18:00 | 小伟] 我上周搬到里斯本了\n"
            "[{} | 2026-03-02 Mon 18:01 | note] 小伟的航班是2026年5月7日 (when: 2026-05-07)",
        ),
    ],
    ids=["en", "zh"],
)
def test_d8_a_line_has_date_and_weekday_of_the_words_and_the_time_of_the_event(
    memory: MemoryScope,
    clock: FrozenClock,
    speaker: str,
    said: str,
    known: str,
    query: str,
    lines: str,
) -> None:
    memory.record(said, scope="ann", speaker=speaker, message_id="m1")
    clock.advance(60)
    note = memory.add_note(known, scope="ann")
    evidence = memory.retrieve(query, scope="ann", time_zone="Asia/Tokyo", floor=False)
    assert evidence.text == lines.format(note.id)
