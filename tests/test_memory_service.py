"""The operations by name. Rows A3 to A14 of the parity list by name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from memoryscope_rag import AsyncMemoryScope, InvalidInput, MemoryScope, NewMessage, Scope
from memoryscope_rag.errors import UnknownId
from memoryscope_rag.memory_service import (
    OPERATIONS,
    AsyncMemoryService,
    Deleted,
    MemoryService,
    UnknownOperation,
    as_text,
)
from memoryscope_rag.operations.consolidate import ConsolidationReport
from memoryscope_rag.operations.reflect import ReflectionReport
from memoryscope_rag.testing.fakes import FrozenClock, HashEmbedder

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(START)


@pytest.fixture
def memory(tmp_path: Path, clock: FrozenClock) -> Iterator[MemoryScope]:
    with MemoryScope.open(tmp_path / "memory.db", embedder=HashEmbedder(), clock=clock) as opened:
        yield opened


@pytest.fixture
def service(memory: MemoryScope) -> MemoryService:
    return MemoryService(memory)


def pair(number: int, question: str, answer: str, minute: int | None = None) -> list[NewMessage]:
    at = START + timedelta(minutes=number if minute is None else minute)
    return [
        NewMessage(f"q{number}", "s", "user", question, at, "Ann"),
        NewMessage(f"a{number}", "s", "assistant", answer, at + timedelta(seconds=1)),
    ]


def rows(memory: MemoryScope, scope: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in memory.export(scope=scope)]


def test_a3_instances_are_independent(tmp_path: Path, memory: MemoryScope) -> None:
    with MemoryScope.open(tmp_path / "other.db", embedder=HashEmbedder()) as other:
        MemoryService(other).add_memory("only there", scope="ann")
        assert rows(memory, "ann") == []
        assert len(rows(other, "ann")) == 1


def test_a4_retrieve_gives_objects_and_the_text(service: MemoryService) -> None:
    service.add_messages(pair(1, "My sister Clara plays the cello", "Lovely"), scope="ann")
    note = service.add_memory("Clara's concert is on 7 May 2026", scope="ann")
    evidence = service.retrieve_memory("When is Clara's concert?", scope="ann")
    best = evidence.items[0]
    assert (best.node.id, best.node.kind) == (note.id, "note")
    assert best.node.event is not None
    assert best.parts
    assert best.score == pytest.approx(sum(part.contribution for part in best.parts), abs=1e-3)
    sources = [item.node.provenance for item in evidence.items if item.node.kind != "note"]
    assert ("q1",) in sources
    assert as_text(evidence) == evidence.text
    assert f"[{note.id} | 2026-03-02 Mon 09:00 | note]" in evidence.text


def test_a5_a6_consolidate_and_reflect_report_typed_results(service: MemoryService) -> None:
    service.add_messages(pair(1, "I moved to Lisbon in May", "Nice"), scope="ann")
    report = service.consolidate_memory(scope="ann")
    assert isinstance(report, ConsolidationReport)
    assert report.consolidated == 2
    again = service.consolidate_memory(scope="ann")
    assert (again.messages, again.actions) == (0, ())
    assert service.read_message(scope="ann") == ()
    insights = service.reflect_and_reconsolidate(scope="ann")
    assert isinstance(insights, ReflectionReport)
    assert as_text(report) != ""
    assert as_text(insights) != ""


def test_a7_list_shows_status_and_pages_and_sorts(
    service: MemoryService, clock: FrozenClock
) -> None:
    names = []
    for number in range(5):
        names.append(service.add_memory(f"fact {number}", scope="ann").id)
        clock.advance(60)
    service.delete_memory(scope="ann", memory_id=names[1])
    listed = service.list_memory(scope="ann")
    assert [node.id for node in listed.items] == names
    assert [node.valid_to is not None for node in listed.items] == [False, True, *[False] * 3]
    assert "note until 2026-03-02" in as_text(listed)
    assert len(service.list_memory(scope="ann", closed=False).items) == 4
    first = service.list_memory(scope="ann", limit=2)
    second = service.list_memory(scope="ann", limit=2, cursor=first.cursor)
    assert [node.id for node in (*first.items, *second.items)] == names[:4]
    newest = service.list_memory(scope="ann", newest=True, limit=2)
    assert [node.id for node in newest.items] == names[:2:-1]
    assert service.list_memory(scope="ann", kinds=["insight"]).items == ()
    found = service.list_memory(scope="ann", query="fact 3", limit=1)
    assert [node.id for node in found.items] == [names[3]]


def test_a8_adding_twice_gives_the_one_that_is_there(service: MemoryService) -> None:
    note = service.add_memory("Ann is allergic to nuts", scope="ann")
    assert service.add_memory("Ann is allergic to nuts", scope="ann") == note
    assert note.kind == "note"
    assert service.retrieve_memory("allergic?", scope="ann").items[0].node == note
    assert len(service.list_memory(scope="ann").items) == 1


@pytest.mark.parametrize("content", ["I Love New York", "北京 的冬天 ❄", 'a "b" = c', "x" * 5000])
@pytest.mark.parametrize("hard", [False, True])
def test_a9_delete_by_exact_content_touches_nothing_else(
    memory: MemoryScope, service: MemoryService, content: str, hard: bool
) -> None:
    service.add_messages(pair(1, "hello", "hi"), scope="ann")
    for other in (f"{content}!", f"{content.swapcase()} "):
        service.add_memory(other, scope="ann")
    before = set(memory.export(scope="ann"))
    note = service.add_memory(content, scope="ann")
    receipt = service.delete_memory(scope="ann", content=content, hard=hard)
    assert receipt == (Deleted(removed=(note.id,)) if hard else Deleted(closed=(note.id,)))
    assert note.id in as_text(receipt)
    after = set(memory.export(scope="ann"))
    assert after >= before
    assert len(after) == len(before) + (0 if hard else 1)
    found = service.retrieve_memory(content[:500], scope="ann").items
    assert note.id not in {item.node.id for item in found}
    with pytest.raises(UnknownId):
        service.delete_memory(scope="ann", content=content)


def test_a9_by_id_soft_keeps_history_and_messages_need_hard(
    memory: MemoryScope, service: MemoryService, clock: FrozenClock
) -> None:
    service.add_messages(pair(1, "I Love New York", "Me too"), scope="ann")
    note = service.add_memory("Ann lives in Oslo", scope="ann")
    clock.advance(60)
    assert service.delete_memory(scope="ann", memory_id=note.id).closed == (note.id,)
    assert memory.list(scope="ann", kinds=["note"], as_of=START).items[0].id == note.id
    assert [n.valid_to for n in memory.history(note.id, scope="ann")] == [
        None,
        START + timedelta(seconds=60),
    ]
    memory.expire(note.id, scope="ann")  # again is harmless
    assert len(memory.history(note.id, scope="ann")) == 2
    for name in ("q1", "q1#0"):
        with pytest.raises(InvalidInput, match="hard=True"):
            service.delete_memory(scope="ann", memory_id=name)
    with pytest.raises(UnknownId):
        service.delete_memory(scope="ann", content="I Love New York")
    receipt = service.delete_memory(scope="ann", content="I Love New York", hard=True)
    assert receipt.forgotten is not None
    assert receipt.forgotten.proven
    assert "searched for and not found" in as_text(receipt)
    assert [m.id for m in memory.messages(scope="ann")] == ["a1"]
    assert service.delete_memory(scope="ann", memory_id="a1", hard=True).forgotten is not None
    with pytest.raises(UnknownId, match="'a1'"):
        service.delete_memory(scope="ann", memory_id="a1", hard=True)
    for wrong in ({}, {"memory_id": "x", "content": "y"}):
        with pytest.raises(InvalidInput, match="either"):
            service.delete_memory(scope="ann", **wrong)  # type: ignore[arg-type]


def test_a10_delete_all_empties_one_scope_and_no_other(
    memory: MemoryScope, service: MemoryService, tmp_path: Path
) -> None:
    batch = [
        NewMessage(f"m{n}", "s", "user", f"zugzwang {n}", START + timedelta(seconds=n))
        for n in range(1500)
    ]
    service.add_messages(batch, scope="ann")
    service.add_memory("zugzwang is Ann's word", scope="ann")
    service.add_messages(pair(1, "Bob plays chess", "Yes"), scope="bob")
    service.add_memory("another agent", scope=Scope("ann", "other"))
    kept = rows(memory, "bob")
    gone = service.delete_all(scope="ann")
    assert (gone.messages, gone.proven) == (1500, True)
    assert "1500 messages" in as_text(gone)
    assert rows(memory, "ann") == []
    assert service.retrieve_memory("zugzwang", scope="ann").items == ()
    assert rows(memory, "bob") == kept
    assert len(service.list_memory(scope=Scope("ann", "other")).items) == 1
    for file in tmp_path.glob("memory.db*"):
        assert b"zugzwang" not in file.read_bytes()


def test_a11_a12_pending_messages_are_durable_and_given_in_order(
    tmp_path: Path, clock: FrozenClock
) -> None:
    def opened() -> MemoryScope:
        return MemoryScope.open(tmp_path / "m.db", embedder=HashEmbedder(), clock=clock)

    # the second one sees what a process started after a crash of the first would see
    with opened() as memory, opened() as restarted:
        service = MemoryService(memory)
        late, early = pair(2, "second", "two"), pair(1, "first", "one")
        service.add_messages([*late, *early], scope="ann")
        for number in range(3, 203):  # more than any buffer of a hundred pairs
            service.add_messages(pair(number, f"q {number}", "a"), scope="ann")
        memory.call(lambda inner: _mark(inner, ["q1", "a1"]))
        service = MemoryService(restarted)
        pending = service.read_message(scope="ann")
        assert [m.id for m in pending[:2]] == ["q2", "a2"]
        assert len(pending) == 402
        assert [m.created_at for m in pending] == sorted(m.created_at for m in pending)
        assert [m.id for m in service.read_message(scope="ann", pairs=1)] == ["q202", "a202"]
        assert service.read_message(scope="ann", pairs=0) == ()
        assert service.read_message(scope="bob") == ()
        assert service.read_message(scope="ann", session_id="other") == ()
        assert as_text(pending[:1]) == "[q2 | 2026-03-02 Mon 09:02 | Ann] second"


async def _mark(inner: AsyncMemoryScope, ids: list[str]) -> None:
    await inner._store.mark(Scope("ann"), ids, "consolidated")


def test_a13_run_by_name_and_what_is_wrong_is_named(service: MemoryService) -> None:
    note = service.run("add_memory", content="tea", scope="ann")
    assert service.run("list_memory", scope="ann").items == (note,)
    arguments: dict[str, dict[str, Any]] = {
        "retrieve_memory": {"query": "tea"},
        "delete_memory": {"memory_id": note.id},
        "add_memory": {"content": "milk"},
    }
    for name in OPERATIONS:
        as_text(service.run(name, scope="ann", **arguments.get(name, {})))
    with pytest.raises(UnknownOperation, match=r"did you mean 'list_memory'\?.*retrieve_memory"):
        service.run("list_memori", scope="ann")
    with pytest.raises(UnknownOperation):
        service.run("run", scope="ann")
    with pytest.raises(UnknownOperation):
        service.run("__init__", scope="ann")
    with pytest.raises(InvalidInput, match=r"no 'quary'; did you mean 'query'\?"):
        service.run("retrieve_memory", scope="ann", quary="tea")
    with pytest.raises(InvalidInput, match="content"):
        service.run("add_memory", scope="ann")
    with pytest.raises(InvalidInput, match="no result"):
        as_text(3)


def test_a14_update_history_export_import(
    memory: MemoryScope, service: MemoryService, tmp_path: Path
) -> None:
    note = service.add_memory("Ann works at the harbour", scope="ann")
    memory.update(note.id, "Ann works at the museum", scope="ann")
    service.add_messages(pair(1, "I sail on Sundays", "Alone?"), scope="ann")
    service.delete_memory(scope="ann", memory_id=note.id)
    assert [node.version for node in memory.history(note.id, scope="ann")] == [1, 2, 3]
    lines = list(memory.export(scope="ann"))
    before = service.retrieve_memory("Who sails?", scope="ann")
    with MemoryScope.open(tmp_path / "other.db", embedder=HashEmbedder()) as other:
        other.import_(lines, scope="ann")
        assert list(other.export(scope="ann")) == lines
        after = MemoryService(other).retrieve_memory("Who sails?", scope="ann")
        assert after.text == before.text


def test_many_users_and_agents_at_once(service: MemoryService) -> None:
    scopes = [Scope(user, agent) for user in ("ann", "bob") for agent in ("x", "y")]

    def work(number: int) -> list[str]:
        scope = scopes[number % 4]
        service.add_memory(f"{scope.user_id} {scope.agent_id} fact {number}", scope=scope)
        return [
            item.node.content
            for item in service.retrieve_memory(f"fact {number}", scope=scope).items
        ]

    with ThreadPoolExecutor(16) as pool:
        for number, found in enumerate(pool.map(work, range(80))):
            scope = scopes[number % 4]
            assert found
            assert all(text.startswith(f"{scope.user_id} {scope.agent_id} ") for text in found)


def test_the_same_from_an_event_loop(tmp_path: Path) -> None:
    async def run() -> None:
        async with await AsyncMemoryScope.open(
            tmp_path / "m.db", embedder=HashEmbedder()
        ) as memory:
            service = AsyncMemoryService(memory)
            note = await service.add_memory("tea", scope="ann")
            assert (await service.run("list_memory", scope="ann")).items == (note,)

    asyncio.run(run())
