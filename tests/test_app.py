"""The application over the real store, with the hash embedder."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from memoryscope_rag import AsyncMemoryScope, InvalidInput, MemoryScope, NewMessage, Scope
from memoryscope_rag.errors import DuplicateId, ModelError, StoreError, UnknownId
from memoryscope_rag.ports import EmbedderSpec, FloatArray
from memoryscope_rag.testing.fakes import FrozenClock, HashEmbedder, ScriptedReranker

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(START)


@pytest.fixture
def memory(tmp_path: Path, clock: FrozenClock) -> Iterator[MemoryScope]:
    with MemoryScope.open(tmp_path / "memory.db", embedder=HashEmbedder(), clock=clock) as opened:
        yield opened


def turns(*texts: str, session: str = "s1", start: datetime = START) -> list[NewMessage]:
    return [
        NewMessage(
            id=f"{session}-{index}",
            session_id=session,
            role="user" if index % 2 == 0 else "assistant",
            content=text,
            created_at=start + timedelta(minutes=index),
            speaker="Ann" if index % 2 == 0 else "Bot",
        )
        for index, text in enumerate(texts)
    ]


def found(memory: MemoryScope, query: str, scope: str = "ann") -> list[str]:
    return [i.node.content for i in memory.retrieve(query, scope=scope, floor=False, limit=5).items]


def test_a_recorded_message_is_retrievable_by_the_next_call(memory: MemoryScope) -> None:
    memory.record("My sister Clara plays the cello", scope="ann")
    memory.record("The weather was dull", scope="ann")
    assert found(memory, "Who plays the cello?")[0] == "My sister Clara plays the cello"


def test_recording_twice_is_harmless_and_other_content_is_refused(memory: MemoryScope) -> None:
    first = memory.record("tea", scope="ann", message_id="m1", created_at=START)
    again = memory.record("tea", scope="ann", message_id="m1", created_at=START)
    assert (first.status, again.status) == ("stored", "known")
    assert first.message == again.message
    with pytest.raises(DuplicateId, match="'m1'"):
        memory.record("coffee", scope="ann", message_id="m1", created_at=START)
    assert [m.content for m in memory.messages(scope="ann")] == ["tea"]


def test_a_refused_id_does_not_cost_the_rest_of_the_batch(memory: MemoryScope) -> None:
    memory.record_many(turns("one"), scope="ann")
    batch = [*turns("other"), *turns("two", session="s2")]
    with pytest.raises(DuplicateId, match="1 of 2 messages are stored"):
        memory.record_many(batch, scope="ann")
    assert [m.content for m in memory.messages(scope="ann")] == ["one", "two"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        " \n\t ",
        "a\x00b",
        "\u202eright to left עברית العربية",
        "👩‍👩‍👧‍👦 emoji \U0001f600",
        "combining e\u0301 and ﬁ ligature",
        "x" * 1_000_000,
        "北京的冬天",
        "line\r\nbreaks\u2028and\u0085others",
        "'; DROP TABLE messages; --",
    ],
)
def test_odd_content_is_kept_letter_for_letter(memory: MemoryScope, content: str) -> None:
    memory.record(content, scope="ann", message_id="m")
    (message,) = memory.messages(scope="ann")
    assert message.content == content
    pieces = memory.list(scope="ann", limit=1000, kinds=["conversation"])
    assert "".join(node.content for node in pieces.items) == content
    memory.retrieve(content[:2000], scope="ann")


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"content": "lone \ud800 surrogate"}, "content"),
        ({"content": "x", "role": "robot"}, "role"),
        ({"content": "x", "session_id": ""}, "session_id"),
        ({"content": "x", "session_id": "a\x00b"}, "session_id"),
        ({"content": "x", "message_id": "i" * 257}, "message id"),
        ({"content": "x", "speaker": "\udfff"}, "speaker"),
        ({"content": "x", "created_at": datetime(2026, 1, 1)}, "created_at"),
        ({"content": "x", "metadata": {"a": float("nan")}}, "metadata"),
        ({"content": "x", "metadata": {"a": [1]}}, "metadata"),
        ({"content": "x", "scope": ""}, "user_id"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(
    memory: MemoryScope, kwargs: dict[str, object], named: str
) -> None:
    arguments = {"scope": "ann", **kwargs}
    with pytest.raises(InvalidInput, match=named):
        memory.record(**arguments)  # type: ignore[arg-type]
    assert memory.messages(scope="ann") == ()


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1938, 7, 1, 12, 30, 5, 123456, tzinfo=UTC),
        datetime(2150, 2, 28, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
)
def test_far_dates_come_back_as_they_were(memory: MemoryScope, moment: datetime) -> None:
    memory.record("then", scope="ann", created_at=moment)
    assert memory.messages(scope="ann")[0].created_at == moment
    assert memory.retrieve("then", scope="ann", floor=False, now=moment).items


def test_ids_of_256_characters_in_any_script(memory: MemoryScope) -> None:
    name = "名" * 256
    memory.record("x", scope=Scope(name, name, name), session_id=name, message_id=name)
    assert memory.scopes() == (Scope(name, name, name),)
    assert memory.retrieve("x", scope=Scope(name, name, name), floor=False).items


def test_no_scope_sees_another(memory: MemoryScope) -> None:
    memory.record("Ann's secret garden", scope="ann")
    memory.record("Bob's secret cellar", scope="bob")
    memory.record("the agent's secret", scope=Scope("ann", agent_id="other"))
    assert found(memory, "secret") == ["Ann's secret garden"]
    assert found(memory, "secret", "carol") == []


def test_notes_are_found_once_and_carry_their_event(memory: MemoryScope) -> None:
    note = memory.add_note("Ann's flight leaves on 7 May 2026", scope="ann")
    assert memory.add_note("Ann's flight leaves on 7 May 2026", scope="ann") == note
    assert note.event is not None
    assert note.event.interval.start == datetime(2026, 5, 7, tzinfo=UTC)
    assert found(memory, "flight")[0] == note.content
    with pytest.raises(InvalidInput, match="empty"):
        memory.add_note("  ", scope="ann")


def test_a_note_with_an_id_of_the_hosts_is_kept_once(memory: MemoryScope) -> None:
    note = memory.add_note("Ann likes tea", scope="ann", note_id="tea")
    assert note.id == "tea"
    assert memory.add_note("Ann likes tea", scope="ann", note_id="tea") == note
    assert memory.add_note("Ann likes tea", scope="ann", note_id="twin").id == "twin"
    with pytest.raises(DuplicateId):
        memory.add_note("Ann likes coffee", scope="ann", note_id="tea")


def test_the_time_of_a_whole_document_is_looked_for_at_its_beginning(memory: MemoryScope) -> None:
    late = memory.add_note(f"{'word ' * 10_000} on 7 May 2026", scope="ann")
    assert late.event is None


def test_update_keeps_history_and_as_of_sees_what_was_believed(
    memory: MemoryScope, clock: FrozenClock
) -> None:
    note = memory.add_note("Ann works at the harbour", scope="ann")
    clock.advance(timedelta(days=30))
    changed = memory.update(note.id, "Ann works at the museum", scope="ann")
    assert changed.version == 2
    contents = [n.content for n in memory.history(note.id, scope="ann")]
    assert contents == ["Ann works at the harbour", "Ann works at the museum"]
    assert found(memory, "Where does Ann work?") == ["Ann works at the museum"]
    with pytest.raises(UnknownId, match="'nothing'"):
        memory.update("nothing", "x", scope="ann")


def test_messages_are_neither_updated_nor_deleted_but_forgotten(memory: MemoryScope) -> None:
    memory.record("hello there", scope="ann", message_id="m")
    node = memory.list(scope="ann").items[0]
    with pytest.raises(InvalidInput, match="never changes"):
        memory.update(node.id, "x", scope="ann")
    with pytest.raises(InvalidInput, match="forget"):
        memory.delete(node.id, scope="ann")
    assert memory.forget(scope="ann", message_ids=["m"]).proven
    assert memory.messages(scope="ann") == ()


def test_forget_wants_exactly_one_selection_and_known_ids(memory: MemoryScope) -> None:
    memory.record("hello", scope="ann", message_id="m")
    with pytest.raises(InvalidInput, match="exactly one"):
        memory.forget(scope="ann")
    with pytest.raises(InvalidInput, match="exactly one"):
        memory.forget(scope="ann", message_ids=["m"], everything=True)
    with pytest.raises(UnknownId, match="'n'"):
        memory.forget(scope="ann", message_ids=["m", "n"])
    assert len(memory.messages(scope="ann")) == 1


def test_forget_leaves_the_text_in_no_file(tmp_path: Path) -> None:
    canary = "xylophonecanary"
    path = tmp_path / "memory.db"
    with MemoryScope.open(path, embedder=HashEmbedder()) as memory:
        memory.record_many(turns("hello", f"the {canary} sings", "bye"), scope="ann")
        memory.retrieve(canary, scope="ann")
        result = memory.forget(scope="ann", message_ids=["s1-1"])
        assert (result.messages, result.proven) == (1, True)
        for file in tmp_path.iterdir():
            assert canary.encode() not in file.read_bytes(), file
        assert canary not in " ".join(found(memory, canary))


def test_export_wipe_import_gives_the_same_retrieval(memory: MemoryScope, tmp_path: Path) -> None:
    memory.record_many(
        turns("I moved to Lisbon", "How is it?", "Sunny, I swim daily", "Great"), scope="ann"
    )
    memory.record_many(turns("My cat Otto is ill", "Oh no", session="s2"), scope="ann")
    note = memory.add_note("Ann is allergic to nuts", scope="ann")
    memory.update(note.id, "Ann is allergic to peanuts", scope="ann")
    lines = list(memory.export(scope="ann"))
    queries = ["Where did Ann move?", "cat", "allergic to what?", "swim"]
    before = [memory.retrieve(q, scope="ann", floor=False) for q in queries]
    memory.forget(scope="ann", everything=True)
    assert memory.list(scope="ann", closed=True).items == ()
    with MemoryScope.open(tmp_path / "other.db", embedder=HashEmbedder()) as other:
        report = other.import_(lines, scope="ann")
        assert (report.stored, report.facts, report.problems) == (6, 1, ())
        again = other.import_(lines, scope="ann")
        assert (again.stored, again.known) == (0, 7)
        after = [other.retrieve(q, scope="ann", floor=False) for q in queries]
        assert [e.text for e in after] == [e.text for e in before]
        assert [[i.score for i in e.items] for e in after] == [
            [pytest.approx(i.score) for i in e.items] for e in before
        ]
        assert list(other.export(scope="ann")) == lines


def test_import_reports_bad_lines_by_number_and_takes_the_rest(memory: MemoryScope) -> None:
    memory.record_many(turns("one", "two"), scope="ann")
    lines = list(memory.export(scope="ann"))
    broken = ["{not json", lines[0], '{"type": "message"}', "[]", "", lines[1], '{"type": "x"}']
    report = memory.import_(broken, scope="bob")
    assert report.stored == 2
    assert [number for number, _ in report.problems] == [1, 3, 4, 7]


class FailingEmbedder(HashEmbedder):
    """Fails while ``broken`` is set."""

    broken = True

    async def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> FloatArray:
        if self.broken:
            raise ModelError("the model server is away", retryable=True)
        return await super().embed(texts, kind)


def test_a_failing_embedder_costs_no_message(tmp_path: Path) -> None:
    embedder = FailingEmbedder()
    with MemoryScope.open(tmp_path / "m.db", embedder=embedder) as memory:
        memory.record("The spare key is under the pot", scope="ann")
        evidence = memory.retrieve("Where is the spare key?", scope="ann", floor=False)
        assert evidence.items[0].node.content == "The spare key is under the pot"
        assert any("model server is away" in reason for reason in evidence.left_out)
        assert memory.stats(scope="ann").missing_vectors == 1
        embedder.broken = False
        assert memory.reembed() == 1
        assert memory.stats(scope="ann").missing_vectors == 0


def test_switching_the_embedder_is_refused_then_done(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    with MemoryScope.open(path, embedder=HashEmbedder(64)) as memory:
        memory.record_many(turns("I moved to Lisbon", "How nice"), scope="ann")
    with pytest.raises(StoreError, match="reembed"):
        MemoryScope.open(path, embedder=HashEmbedder(32))
    with MemoryScope.open(path, embedder=HashEmbedder(32), reembedding=True) as memory:
        assert memory.reembed() == 3  # two turns, and the fact that closing drew from them
        assert found(memory, "Lisbon")[0] == "I moved to Lisbon"
    with MemoryScope.open(path, embedder=HashEmbedder(32)) as memory:
        assert memory.check() == ()


class SlowEmbedder(HashEmbedder):
    """Takes a second for a query."""

    async def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> FloatArray:
        if kind == "query":
            await asyncio.sleep(1)
        return await super().embed(texts, kind)

    @property
    def spec(self) -> EmbedderSpec:
        return super().spec


def test_what_misses_the_deadline_is_left_out_and_named(tmp_path: Path) -> None:
    with MemoryScope.open(tmp_path / "m.db", embedder=SlowEmbedder()) as memory:
        memory.record("The spare key is under the pot", scope="ann")
        evidence = memory.retrieve("spare key", scope="ann", budget_ms=50, floor=False)
    assert evidence.items
    assert "dense search: deadline" in evidence.left_out


def test_d3_a_reranker_reorders_and_its_failure_falls_back(tmp_path: Path) -> None:
    def by_length(query: str, text: str) -> float:
        return float(len(text))

    texts = ("the cello is old", "the cello is a very old and dear instrument of hers")
    for reranker, first in (
        (ScriptedReranker(by_length), texts[1]),
        (ScriptedReranker(by_length, failure=ModelError("down")), None),
    ):
        with MemoryScope.open(
            tmp_path / f"{first is None}.db", embedder=HashEmbedder(), reranker=reranker
        ) as memory:
            memory.record_many(turns(*texts), scope="ann")
            evidence = memory.retrieve("old cello", scope="ann", floor=False)
        assert len(evidence.items) == 2
        if first is None:
            assert evidence.left_out == ("semantic_rank: down",)
        else:
            assert evidence.items[0].node.content == first
            assert evidence.left_out == ()


def test_the_current_sessions_last_turns_are_not_repeated(memory: MemoryScope) -> None:
    memory.record_many(turns("I like the cello"), scope="ann")
    memory.record_many(turns("the cello again", session="now"), scope="ann")
    evidence = memory.retrieve("cello", scope="ann", current_session="now", floor=False)
    assert [i.node.session_id for i in evidence.items] == ["s1"]


def test_n2_explain_shows_every_part_of_the_score(memory: MemoryScope) -> None:
    memory.record_many(turns("I like the cello", "Do you play it?", "Not well"), scope="ann")
    evidence = memory.retrieve("cello", scope="ann", explain=True, floor=False)
    top = evidence.items[0]
    assert top.parts
    assert top.score == pytest.approx(sum(part.contribution for part in top.parts), abs=1e-3)
    assert top.found_by == ("query",)
    assert {"set_query", "retrieve_candidates", "fuse_rerank"} <= set(evidence.timings)
    assert memory.retrieve("cello", scope="ann", floor=False).items[0].parts == ()


def test_the_packed_text_keeps_to_its_budget_and_to_the_order_of_time(memory: MemoryScope) -> None:
    memory.record_many(turns(*[f"cello lesson number {i}" for i in range(40)]), scope="ann")
    evidence = memory.retrieve(
        "cello lesson", scope="ann", limit=30, budget_tokens=200, floor=False
    )
    assert 0 < evidence.tokens <= 200
    lines = evidence.text.splitlines()
    stamps = [line.split(" | ")[1] for line in lines]
    assert stamps == sorted(stamps)
    assert sum(item.packed for item in evidence.items) < 30
    assert memory.retrieve("cello", scope="ann", budget_tokens=0, floor=False).text == ""


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"limit": 0}, "limit"),
        ({"budget_tokens": -1}, "budget_tokens"),
        ({"budget_ms": -1}, "budget_ms"),
        ({"kinds": ["dream"]}, "kinds"),
        ({"kinds": []}, "kinds"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"query": "\ud800"}, "query"),
    ],
)
def test_a_wrong_argument_of_retrieve_is_named(
    memory: MemoryScope, kwargs: dict[str, object], named: str
) -> None:
    arguments = {"query": "x", "scope": "ann", **kwargs}
    with pytest.raises(InvalidInput, match=named):
        memory.retrieve(**arguments)  # type: ignore[arg-type]


def test_many_threads_share_one_memory(memory: MemoryScope) -> None:
    def work(user: int) -> list[str]:
        seen = []
        for index in range(20):
            memory.record(f"user{user} fact {index}", scope=f"u{user}", session_id="s")
            seen += found(memory, f"user{user} fact", f"u{user}")
        return seen

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    for user, seen in enumerate(results):
        assert seen
        assert all(text.startswith(f"user{user} ") for text in seen)
        log = memory.messages(scope=f"u{user}")
        assert [m.content for m in log] == [f"user{user} fact {i}" for i in range(20)]
        assert [m.seq for m in log] == sorted({m.seq for m in log})


def test_many_tasks_share_one_memory(tmp_path: Path) -> None:
    async def main() -> None:
        async with await AsyncMemoryScope.open(
            tmp_path / "m.db", embedder=HashEmbedder()
        ) as memory:

            async def work(user: int) -> None:
                for index in range(10):
                    await memory.record(f"user{user} fact {index}", scope=f"u{user}")
                    evidence = await memory.retrieve("fact", scope=f"u{user}", floor=False)
                    assert all(i.node.content.startswith(f"user{user} ") for i in evidence.items)

            await asyncio.gather(*(work(user) for user in range(20)))
            assert (await memory.stats()).messages == 200

    asyncio.run(main())


def test_a2_close_is_final_and_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    memory = MemoryScope.open(tmp_path / "m.db", embedder=HashEmbedder())
    memory.record("hello", scope="ann")
    memory.close()
    memory.close()
    assert set(threading.enumerate()) <= before
    with pytest.raises(StoreError, match="closed"):
        memory.record("more", scope="ann")
    with MemoryScope.open(tmp_path / "m.db", embedder=HashEmbedder()) as again:
        assert again.stats().messages == 1
